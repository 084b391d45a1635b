"""Graphs with given degrees: exact where they exist, None where they cannot."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from esm2_amp.sources.matching import balanced_pairs, with_degrees


def random_graph(rng: np.random.Generator, n: int, density: float) -> NDArray[np.bool_]:
    upper = np.triu(rng.random((n, n)) < density, 1)
    return upper | upper.T


@given(st.integers(0, 10_000), st.integers(4, 40), st.floats(0.1, 0.9))
def test_degrees_are_exact_and_edges_are_allowed(seed: int, n: int, density: float) -> None:
    rng = np.random.default_rng(seed)
    allowed = random_graph(rng, n, 0.8)
    degrees = (allowed & random_graph(rng, n, density)).sum(axis=1)  # of a subgraph: they can be had
    graph = with_degrees(rng, allowed, degrees)
    if graph is not None:
        assert (graph.sum(axis=1) == degrees).all()
        assert not (graph & ~allowed).any()
        assert (graph == graph.T).all()


def test_what_exists_is_nearly_always_found() -> None:
    found = 0
    for seed in range(50):
        rng = np.random.default_rng(seed)
        allowed = random_graph(rng, 40, 0.7)
        found += with_degrees(rng, allowed, (allowed & random_graph(rng, 40, 0.4)).sum(axis=1)) is not None
    assert found >= 48


@pytest.mark.parametrize("degrees", [[3, 1, 1, 1], [2, 0, 0, 0], [4, 4, 4, 4], [1, 0, 0, 0]])
def test_what_does_not_exist_is_not_found(degrees: list[int]) -> None:
    ring = np.zeros((4, 4), dtype=bool)
    for i in range(4):
        ring[i, (i + 1) % 4] = ring[(i + 1) % 4, i] = True
    assert with_degrees(np.random.default_rng(0), ring, np.array(degrees)) is None


@pytest.mark.parametrize("exact", [True, False])
def test_positives_and_negatives_come_from_their_own_pairs(exact: bool) -> None:
    rng = np.random.default_rng(7)
    positive = random_graph(rng, 60, 0.3)
    negative = ~positive & ~np.eye(60, dtype=bool)
    drawn = balanced_pairs(rng, positive, negative, 150, 0.5, exact)
    assert drawn is not None
    assert [int(mask.sum()) for mask in drawn] == [300, 300]
    assert not (drawn[0] & ~positive).any()
    assert not (drawn[1] & ~negative).any()
    assert (drawn[0].sum(axis=1) == drawn[1].sum(axis=1)).all() == exact


def test_degrees_that_match_on_average_hide_the_labels_of_the_other_pairs() -> None:
    """The count of the other positive pairs of both proteins: one AUROC a list, averaged over many lists."""
    aurocs: dict[bool, list[float]] = {True: [], False: []}
    for seed in range(12):
        rng = np.random.default_rng(seed)
        positive = random_graph(rng, 60, 0.3)
        for exact, seen in aurocs.items():
            drawn = balanced_pairs(rng, positive, ~positive & ~np.eye(60, dtype=bool), 150, 0.4, exact)
            assert drawn is not None
            count = np.add.outer(drawn[0].sum(axis=1), drawn[0].sum(axis=1))
            good, bad = count[np.triu(drawn[0])] - 2, count[np.triu(drawn[1])]
            ahead = good[:, None] - bad[None, :]
            seen.append(float((ahead > 0).mean() + (ahead == 0).mean() / 2))
    assert abs(np.mean(aurocs[False]) - 0.5) < 0.08
    assert np.mean(aurocs[True]) < 0.4
