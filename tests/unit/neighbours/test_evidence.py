"""Nearest training pairs against brute force and against the baseline's maximum; who is far."""

from __future__ import annotations

import numpy as np
import pytest

from esm2_amp.errors import InputError
from esm2_amp.evaluation.nearest_pairs import KnownPairs
from esm2_amp.neighbours import evidence as module
from esm2_amp.neighbours.evidence import far, far_threshold, nearest_similarities, nearest_training_pairs


def unit(n: int, seed: int, mean: float = 0.0) -> np.ndarray:
    x = mean + np.random.default_rng(seed).normal(size=(n, 8))
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def draw(count: int, size: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, size, count), rng.integers(0, size, count)


@pytest.mark.parametrize("rows", [256, 5])
@pytest.mark.parametrize("mean", [0.0, 2.0])
@pytest.mark.parametrize("k", [1, 7, 300])
def test_it_equals_all_training_pairs_one_by_one(rows: int, mean: float, k: int, monkeypatch) -> None:
    monkeypatch.setattr(module, "_ROWS", rows)
    queries, training = unit(20, 0, mean), unit(30, 1, mean)
    pairs, known = draw(40, 20, 2), draw(200, 30, 3)
    seen: list[int] = []
    found = nearest_training_pairs(queries, pairs, training, known, k, seen.append)
    assert sum(seen) == 40
    s = (queries @ training.T).astype(np.float64)
    straight = s[pairs[0]][:, known[0]] + s[pairs[1]][:, known[1]]
    crossed = s[pairs[0]][:, known[1]] + s[pairs[1]][:, known[0]]
    similarity = np.maximum(straight, crossed) / 2
    filled = min(k, 200)
    np.testing.assert_allclose(found.similarity[:, :filled], -np.sort(-similarity)[:, :k], atol=1e-6)
    for row, numbers in enumerate(found.pair):
        assert len(set(numbers[:filled])) == filled
        np.testing.assert_allclose(found.similarity[row, :filled], similarity[row, numbers[:filled]], atol=1e-6)
        clear = np.abs(straight - crossed)[row, numbers[:filled]] > 1e-6
        turned = (crossed > straight)[row, numbers[:filled]]
        assert (found.swapped[row, :filled] == turned)[clear].all()
    assert (found.pair[:, filled:] == -1).all()
    assert np.isnan(found.similarity[:, filled:]).all()


def test_the_nearest_is_as_near_as_the_baseline_says() -> None:
    everything = unit(50, 0, 1.0)
    pairs, known = draw(100, 50, 1), draw(300, 50, 2)
    found = nearest_training_pairs(everything, pairs, everything, known, 1)
    np.testing.assert_allclose(
        found.similarity[:, 0], KnownPairs(*known, everything).similarity(*pairs), rtol=0, atol=1e-6
    )


def test_a_training_pair_finds_itself_in_either_order() -> None:
    training = unit(30, 0)
    known = np.arange(15), np.arange(15, 30)
    straight = nearest_training_pairs(training, known, training, known, 1)
    crossed = nearest_training_pairs(training, known[::-1], training, known, 1)
    for found, swapped in ((straight, False), (crossed, True)):
        assert found.pair[:, 0].tolist() == list(range(15))
        np.testing.assert_allclose(found.similarity[:, 0], 1, atol=1e-6)
        assert (found.swapped[:, 0] == swapped).all()


def test_pairs_listed_twice_come_twice_and_in_order() -> None:
    training = unit(4, 0)
    known = np.array([0, 2, 0, 1]), np.array([1, 3, 1, 0])
    found = nearest_training_pairs(training, (np.array([0]), np.array([1])), training, known, 3)
    assert found.pair[0].tolist() == [0, 2, 3]
    assert found.swapped[0].tolist() == [False, False, True]


def test_nothing_known_nothing_found() -> None:
    nothing = np.zeros(0, np.int64)
    found = nearest_training_pairs(unit(3, 0), (np.array([0]), np.array([1])), unit(5, 1), (nothing, nothing), 2)
    assert found.pair.tolist() == [[-1, -1]]
    assert nearest_training_pairs(unit(3, 0), (nothing, nothing), unit(5, 1), draw(9, 5, 0), 2).pair.shape == (0, 2)
    with pytest.raises(InputError, match="k is 0"):
        nearest_training_pairs(unit(3, 0), (nothing, nothing), unit(5, 1), draw(9, 5, 0), 0)


def test_far_is_what_one_training_protein_in_twenty_would_be(monkeypatch) -> None:
    monkeypatch.setattr(module, "_ROWS", 64)
    training = unit(400, 0)
    cosine = (training @ training.T).astype(np.float64)
    np.fill_diagonal(cosine, -2)
    threshold = far_threshold(training, 0.05)
    assert threshold == pytest.approx(np.quantile(cosine.max(axis=1), 0.05), abs=1e-6)
    assert (cosine.max(axis=1) < threshold).mean() == pytest.approx(0.05, abs=0.003)
    np.testing.assert_allclose(nearest_similarities(training, training), 1, atol=1e-6)


def test_a_pair_is_far_only_if_both_proteins_are() -> None:
    nearest = np.array([0.9, 0.1, 0.2], np.float32)
    assert far(nearest, (np.array([0, 0, 1, 2]), np.array([0, 1, 0, 1])), 0.5).tolist() == [False, False, False, True]
    assert far_threshold(unit(1, 0), 0.05) == 1.0
    assert nearest_similarities(unit(2, 0), unit(0, 0)).tolist() == [-1, -1]
