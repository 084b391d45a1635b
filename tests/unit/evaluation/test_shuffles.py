"""Shuffles: what they keep is kept exactly, what they destroy is gone, and the seed decides."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import spearmanr

from esm2_amp.evaluation.metrics import ranking_metrics
from esm2_amp.evaluation.shuffles import rewired, shuffled_labels, shuffled_partners

N = 9
pair_lists = st.lists(
    st.tuples(st.integers(0, N - 1), st.integers(0, N - 1), st.integers(0, 1)),
    max_size=36,
    unique_by=lambda row: frozenset(row[:2]),
)


def columns(rows: list[tuple[int, int, int]]) -> NDArray[np.int64]:
    return np.array(rows, dtype=np.int64).reshape(-1, 3).T


def unordered(a: NDArray[np.int64], b: NDArray[np.int64]) -> list[tuple[int, int]]:
    return [(min(x, y), max(x, y)) for x, y in zip(a.tolist(), b.tolist(), strict=True)]


def degrees(a: NDArray[np.int64], b: NDArray[np.int64], n: int) -> list[int]:
    return np.bincount(np.concatenate([a, b]), minlength=n).tolist()


@given(pair_lists, st.integers(0, 3))
def test_rewiring_keeps_degrees_and_no_known_pair(rows: list[tuple[int, int, int]], seed: int) -> None:
    a, b, label = columns(rows)
    found = rewired(a, b, label, N, seed)
    positive = label == 1
    assert degrees(found.a[positive], found.b[positive], N) == degrees(a[positive], b[positive], N)
    assert unordered(found.a[~positive], found.b[~positive]) == unordered(a[~positive], b[~positive])
    new = unordered(found.a, found.b)
    assert len(set(new)) == len(new)
    known = set(unordered(a, b))
    kept = [pair for pair, one in zip(new, positive, strict=True) if one and pair in known]
    assert found.unswapped == len(kept)
    loops = [pair for pair, one in zip(new, positive, strict=True) if one and pair[0] == pair[1]]
    assert loops == [pair for pair in unordered(a[positive], b[positive]) if pair[0] == pair[1]]
    again = rewired(a, b, label, N, seed)
    assert (again.a.tolist(), again.b.tolist()) == (found.a.tolist(), found.b.tolist())


def test_a_sparse_graph_is_rewired_whole_and_a_complete_one_stays() -> None:
    rng = np.random.default_rng(0)
    every = np.array(list(combinations(range(120), 2)))
    a, b = every[rng.choice(len(every), 600, replace=False)].T
    label = np.repeat([1, 0], 300)
    first, second = rewired(a, b, label, 120, 1), rewired(a, b, label, 120, 2)
    assert first.unswapped == second.unswapped == 0
    assert len(set(unordered(first.a[:300], first.b[:300])) & set(unordered(second.a[:300], second.b[:300]))) < 60
    a, b = np.array(list(combinations(range(6), 2))).T
    assert rewired(a, b, np.ones(15), 6, 0).unswapped == 15
    assert rewired([], [], [], 6, 0).unswapped == 0


def test_a_hub_of_all_edges_ends_and_is_counted() -> None:
    a, b = np.zeros(50, dtype=np.int64), np.arange(1, 51)
    assert rewired(a, b, np.ones(50), 51, 0).unswapped == 50


@given(pair_lists, st.integers(0, 3))
def test_new_partners_are_others_of_the_same_set(rows: list[tuple[int, int, int]], seed: int) -> None:
    a, b, _ = columns(rows)
    degree = np.array(degrees(a, b, N))
    new = shuffled_partners(a, b, N, degree, seed)
    assert new.tolist() == shuffled_partners(a, b, N, degree, seed).tolist()
    present = set(a.tolist() + b.tolist())
    assert set(new.tolist()) <= present
    if len(present) > 1:
        assert (new != b).all()
    if len(present) > 2:
        assert (new != a).all()


def test_new_partners_have_similar_degrees_and_all_of_them_are_drawn() -> None:
    rng = np.random.default_rng(0)
    degree = np.sort(rng.geometric(0.05, 500))
    a, b = rng.integers(500, size=(2, 20_000))
    new = shuffled_partners(a, b, 500, degree, 0)
    assert spearmanr(degree[b], degree[new]).statistic > 0.99
    reached = [set(new[b == protein].tolist()) for protein in (0, 250, 499)]
    assert [len(some) for some in reached] == pytest.approx([20, 20, 20], abs=5)


def test_a_score_of_the_partner_falls_to_chance_with_shuffled_partners_and_labels() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.integers(300, size=(2, 4000))
    secret = rng.normal(size=300)
    label = (secret[a] * secret[b] > 0).astype(np.int64)
    new = shuffled_partners(a, b, 300, np.bincount(np.concatenate([a, b]), minlength=300), 0)
    assert ranking_metrics(label, secret[a] * secret[b])["auroc"] == 1
    for other, scores in ((label, secret[a] * secret[new]), (shuffled_labels(label, 0), secret[a] * secret[b])):
        assert ranking_metrics(other, scores)["auroc"] == pytest.approx(0.5, abs=0.04)
    assert shuffled_labels(label, 0).sum() == label.sum()
    assert shuffled_labels(label, 0).tolist() == shuffled_labels(label, 0).tolist()
    assert shuffled_labels(label, 0).tolist() != shuffled_labels(label, 1).tolist()


def test_nonsense_is_refused() -> None:
    with pytest.raises(ValueError, match=r"degrees of shape \(2,\), expected \(3,\)"):
        shuffled_partners([0], [1], 3, [1, 1], 0)
    with pytest.raises(ValueError, match="there are 3 proteins"):
        rewired([0], [3], [1], 3, 0)
