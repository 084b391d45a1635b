"""Codes are computed once and never mixed up; vectors and their sums over tokens are what loops would give."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from esm2_amp.explain import codes as module
from esm2_amp.explain.autoencoder import Autoencoder
from esm2_amp.explain.codes import CodedPairs, Codes, cached_codes, encode, mean_of_orders, token_sums
from esm2_amp.features.store import FeatureStore
from esm2_amp.layout import MEAN, SEGMENTS

ROWS = np.array([5, 2, 17, 5, 9])


@pytest.fixture
def autoencoder(small_store: FeatureStore) -> Autoencoder:
    torch.manual_seed(0)
    return Autoencoder(len(SEGMENTS), small_store.width, (12, 4)).eval()


@pytest.fixture
def coded() -> Codes:
    rng = np.random.default_rng(0)
    return Codes(np.array([2, 5, 9]), rng.normal(size=(3, 4, 6)).astype(np.float32))


def test_a_pairs_vector_is_the_tokens_of_a_then_those_of_b(coded: Codes) -> None:
    vectors = coded.pairs(np.array([9, 2]), np.array([2, 2]))
    for vector, (a, b) in zip(vectors, [(2, 0), (0, 0)], strict=True):
        expected = [n for place in (a, b) for token in coded.values[place] for n in token]
        assert vector.tolist() == expected


@pytest.mark.parametrize("stranger", [0, 3, 100])
def test_a_protein_without_a_code_is_an_error(coded: Codes, stranger: int) -> None:
    with pytest.raises(KeyError):
        coded.pairs(np.array([2, stranger]), np.array([5, 5]))


def test_both_orders(coded: Codes) -> None:
    pairs = CodedPairs(coded, np.array([2, 5, 9]), np.array([5, 5, 2]), np.array([1, 0, 0], np.int8))
    vectors, label = pairs.both_orders(np.array([2, 0]))
    assert label.tolist() == [0, 1, 0, 1]
    np.testing.assert_array_equal(vectors[:2], coded.pairs(np.array([9, 2]), np.array([2, 5])))
    np.testing.assert_array_equal(vectors[2:], np.roll(vectors[:2], 24, axis=1))
    assert mean_of_orders(np.array([1.0, 2, 3, 5])).tolist() == [2, 3.5]


def test_sums_over_tokens_are_those_of_a_loop() -> None:
    pairs, tokens, code = 3, 8, 5
    values = np.random.default_rng(0).normal(size=(2 * pairs, tokens * code))
    signed, absolute = token_sums(values, tokens)
    for i in range(pairs):
        for chain in (0, 1):
            for token in range(tokens // 2):
                listed = (chain * tokens // 2 + token) * code
                swapped = ((1 - chain) * tokens // 2 + token) * code
                both = [(values[i, listed + c] + values[pairs + i, swapped + c]) / 2 for c in range(code)]
                assert signed[i, chain * tokens // 2 + token] == pytest.approx(sum(both))
                assert absolute[i, chain * tokens // 2 + token] == pytest.approx(sum(map(abs, both)))


def test_codes_of_a_file_are_those_in_memory(
    small_store: FeatureStore, autoencoder: Autoencoder, tmp_path: Path
) -> None:
    told: list[int] = []
    mapped = cached_codes(autoencoder, small_store, SEGMENTS, ROWS, tmp_path, told.append)
    straight = encode(autoencoder, small_store, SEGMENTS, ROWS)
    assert mapped.rows.tolist() == straight.rows.tolist() == [2, 5, 9, 17]
    np.testing.assert_array_equal(mapped.values, straight.values)
    assert isinstance(mapped.values, np.memmap)
    assert sum(told) == 4
    alone = encode(autoencoder, small_store, SEGMENTS, np.array([17]))
    np.testing.assert_allclose(alone.values[0], straight.values[3], rtol=0, atol=1e-5)


def test_a_second_time_nothing_is_computed(
    small_store: FeatureStore, autoencoder: Autoencoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = cached_codes(autoencoder, small_store, SEGMENTS, ROWS, tmp_path, lambda _: None)
    monkeypatch.setattr(module, "_encode", None)
    again = cached_codes(autoencoder, small_store, SEGMENTS, ROWS[::-1], tmp_path, lambda _: None)
    np.testing.assert_array_equal(first.values, again.values)


def test_other_weights_proteins_or_tokens_are_another_file(
    small_store: FeatureStore, autoencoder: Autoencoder, tmp_path: Path
) -> None:
    def cached(network: Autoencoder, layout: Any = SEGMENTS, rows: Any = ROWS) -> Codes:
        return cached_codes(network, small_store, layout, rows, tmp_path, lambda _: None)

    first = cached(autoencoder)
    cached(autoencoder, rows=ROWS[1:3])
    cached(Autoencoder(1, small_store.width, (12, 4)).eval(), layout=MEAN)
    with torch.no_grad():
        next(autoencoder.parameters()).mul_(1.5)
    changed = cached(autoencoder)
    assert len(list(tmp_path.iterdir())) == 4
    assert not np.allclose(first.values, changed.values)


@pytest.mark.parametrize("content", [b"", b"\x80\x04pickle", b"\x93NUMPY\x01\x00 cut"])
def test_a_damaged_file_is_written_again(
    content: bytes, small_store: FeatureStore, autoencoder: Autoencoder, tmp_path: Path
) -> None:
    first = np.array(cached_codes(autoencoder, small_store, SEGMENTS, ROWS, tmp_path, lambda _: None).values)
    (file,) = tmp_path.iterdir()
    file.write_bytes(content)
    again = cached_codes(autoencoder, small_store, SEGMENTS, ROWS, tmp_path, lambda _: None)
    np.testing.assert_array_equal(first, again.values)


def test_an_interruption_leaves_no_file(small_store: FeatureStore, autoencoder: Autoencoder, tmp_path: Path) -> None:
    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cached_codes(autoencoder, small_store, SEGMENTS, ROWS, tmp_path, interrupt)
    assert list(tmp_path.iterdir()) == []
