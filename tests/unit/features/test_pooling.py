"""Residue states to tokens, against three lines of numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from esm2_amp.features.identity import LongPolicy
from esm2_amp.features.pooling import BatchPool, Piece
from esm2_amp.layout import segment_bounds


@given(st.integers(0, 3000))
def test_segments_cover_a_protein_and_the_longer_ones_come_first(length: int) -> None:
    bounds = segment_bounds(length)
    assert [residue for start, stop in bounds for residue in range(start, stop)] == list(range(length))
    sizes = [stop - start for start, stop in bounds]
    assert len(sizes) == 10
    assert max(sizes) - min(sizes) <= 1
    assert sizes == sorted(sizes, reverse=True)


@pytest.mark.parametrize(
    ("length", "sizes"),
    [(1, [1] + [0] * 9), (9, [1] * 9 + [0]), (10, [1] * 10), (11, [2] + [1] * 9), (1022, [103] * 2 + [102] * 8)],
)
def test_segment_sizes_by_hand(length: int, sizes: list[int]) -> None:
    assert [stop - start for start, stop in segment_bounds(length)] == sizes


def test_no_protein_has_a_negative_length() -> None:
    with pytest.raises(ValueError, match="-1 residues"):
        segment_bounds(-1)


def reference(states: np.ndarray, length: int) -> np.ndarray:
    residues = states[1 : length + 1]
    segments = [run.mean(axis=0) if len(run) else 0 * states[0] for run in np.array_split(residues, 10)]
    return np.stack([states[0], *segments, states[length + 1], residues.mean(axis=0)])


def whole(lengths: list[int]) -> list[Piece]:
    return [Piece(protein, 0, length) for protein, length in enumerate(lengths)]


def pooled(lengths: list[int], pieces: list[Piece], states: torch.Tensor, batch: int = 100) -> BatchPool:
    pool = BatchPool(lengths, pieces, states.shape[1], states.device, residue_states=True)
    parts = torch.split(states, [len(piece) for piece in pieces])
    for start in range(0, len(pieces), batch):
        pool.add(pieces[start : start + batch], torch.cat(parts[start : start + batch]))
    return pool


@given(st.lists(st.integers(1, 45), min_size=1, max_size=6), st.integers(1, 4), st.integers(0, 1000))
def test_pooling_is_the_mean_of_each_run(lengths: list[int], batch: int, seed: int) -> None:
    rows = [np.random.default_rng((seed, n)).normal(size=(length + 2, 4)) for n, length in enumerate(lengths)]
    pool = pooled(lengths, whole(lengths), torch.from_numpy(np.concatenate(rows)), batch)
    expected = np.stack([reference(row, length) for row, length in zip(rows, lengths, strict=True)])
    np.testing.assert_allclose(pool.tokens().numpy(), expected, atol=1e-6)
    np.testing.assert_allclose(pool.residue_states().numpy(), np.concatenate([row[1:-1] for row in rows]), atol=1e-6)


@pytest.mark.parametrize("last", [1, 2, 3])
def test_where_memory_runs_out_nothing_is_added_and_the_same_call_may_be_made_again(
    last: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    lengths, states = [15, 3], torch.randn(22, 4, generator=torch.Generator().manual_seed(0))
    expected = pooled(lengths, whole(lengths), states)
    pool, onto, calls = BatchPool(lengths, whole(lengths), 4, states.device, residue_states=True), BatchPool._onto, []

    def small_device(*arguments: Any) -> torch.Tensor:
        calls.append(arguments)
        if len(calls) == last:
            raise MemoryError
        return onto(*arguments)

    monkeypatch.setattr(BatchPool, "_onto", staticmethod(small_device))
    with pytest.raises(MemoryError):
        pool.add(whole(lengths), states)
    pool.add(whole(lengths), states)
    assert torch.equal(pool.tokens(), expected.tokens())
    assert torch.equal(pool.residue_states(), expected.residue_states())


@given(st.integers(11, 300), st.integers(10, 40), st.integers(1, 5))
def test_chunks_are_averaged_where_they_overlap(length: int, size: int, batch: int) -> None:
    cuts = LongPolicy("chunk", size).pieces(length)
    pieces = [Piece(0, start, stop) for start, stop in cuts]
    parts = [np.random.default_rng(n).normal(size=(len(piece), 3)) for n, piece in enumerate(pieces)]
    covered, total = np.zeros(length), np.zeros((length, 3))
    for (start, stop), part in zip(cuts, parts, strict=True):
        covered[start:stop] += 1
        total[start:stop] += part[1:-1]
    merged = np.concatenate(
        [parts[0][:1], total / covered[:, None], parts[-1][-1:]]
    )  # cls of the first, eos of the last
    pool = pooled([length], pieces, torch.from_numpy(np.concatenate(parts)), batch)
    np.testing.assert_allclose(pool.tokens()[0].numpy(), reference(merged, length), atol=1e-6)
    np.testing.assert_allclose(pool.residue_states().numpy(), merged[1:-1], atol=1e-6)


def test_half_precision_states_are_averaged_in_float32() -> None:
    states = torch.full((4098, 2), 30_000.0, dtype=torch.float16)  # the sum of these is beyond float16
    tokens = pooled([4096], whole([4096]), states).tokens()
    assert tokens.dtype == torch.float32
    torch.testing.assert_close(tokens, torch.full((1, 13, 2), 30_000.0), rtol=1e-4, atol=0)


@given(st.integers(1, 4000), st.integers(10, 1200))
def test_chunks_cover_every_residue_within_the_limit_and_overlap_by_a_quarter(length: int, size: int) -> None:
    pieces = LongPolicy("chunk", size).pieces(length)
    assert (pieces[0][0], pieces[-1][1]) == (0, length)
    assert all(stop - start == min(size, length) for start, stop in pieces)
    overlaps = [before[1] - after[0] for before, after in zip(pieces[:-1], pieces[1:], strict=True)]
    assert all(overlap >= size // 4 for overlap in overlaps)
    fewest = 1 if length <= size else -(-(length - size // 4) // (size - size // 4))
    assert len(pieces) == fewest


@pytest.mark.parametrize(
    ("mode", "pieces"),
    [("full", [(0, 25)]), ("truncate", [(0, 10)]), ("chunk", [(0, 10), (7, 17), (15, 25)])],
)
def test_pieces_of_25_residues_by_hand(mode: str, pieces: list[tuple[int, int]]) -> None:
    assert LongPolicy(mode, 10).pieces(25) == pieces
    assert LongPolicy(mode, 10).pieces(10) == [(0, 10)]
