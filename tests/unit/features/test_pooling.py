"""Residue states to tokens, against three lines of numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from esm2_amp.features.pooling import pool, pooling_weights
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


@given(st.lists(st.integers(1, 45), min_size=1, max_size=6), st.integers(0, 1000))
def test_pooling_is_the_mean_of_each_run(lengths: list[int], seed: int) -> None:
    states = np.random.default_rng(seed).normal(size=(len(lengths), max(lengths) + 2 + seed % 3, 4))
    tokens = pool(torch.from_numpy(states), lengths).numpy()
    expected = np.stack([reference(row, length) for row, length in zip(states, lengths, strict=True)])
    np.testing.assert_allclose(tokens, expected, atol=1e-6)


def test_what_stands_in_the_padding_does_not_matter() -> None:
    states = torch.randn(2, 30, 4, generator=torch.Generator().manual_seed(0))
    other = states.clone()
    other[0, 7:] = 1e30
    assert torch.equal(pool(states, [5, 28]), pool(other, [5, 28]))


def test_half_precision_states_are_averaged_in_float32() -> None:
    states = torch.full((1, 4098, 2), 30_000.0, dtype=torch.float16)  # the sum of these is beyond float16
    tokens = pool(states, [4096])
    assert tokens.dtype == torch.float32
    torch.testing.assert_close(tokens, torch.full((1, 13, 2), 30_000.0), rtol=1e-4, atol=0)


def test_weights_sum_to_one_or_to_zero_where_a_segment_is_empty() -> None:
    sums = pooling_weights([3, 25], 27).sum(dim=-1)
    torch.testing.assert_close(sums[0], torch.tensor([1.0] * 4 + [0.0] * 7 + [1.0] * 2))
    torch.testing.assert_close(sums[1], torch.ones(13))
