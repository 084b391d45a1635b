"""Pair lists in which the number of pairs of a protein says nothing about their labels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
Counts = NDArray[np.int64]

_RESTARTS = 20


def balanced_pairs(
    rng: np.random.Generator, positive: Mask, negative: Mask, each: int, eagerness: float, exact: bool
) -> tuple[Mask, Mask] | None:
    """Draw positive pairs, and negative pairs that follow the same degrees.

    With ``exact`` every protein gets as many negative as positive pairs. Without, it gets as many negative pairs as
    it has positive ones in a second, independent draw: the same number on average. That is what keeps the labels of
    a list out of its degrees. In an exactly balanced list the other positive pairs of a protein are one fewer where
    the pair in question is positive itself, which whoever counts them can see.

    Args:
        rng: source of randomness.
        positive: which pairs may be positive: symmetric, shape (n, n), false on the diagonal.
        negative: which pairs may be negative; disjoint from ``positive``.
        each: number of pairs of each class.
        eagerness: standard deviation of the logarithm of a protein's weight in the draw.
        exact: whether the degrees are equal, or equal on average.

    Returns:
        Two symmetric masks with ``each`` pairs each; None if that was not found in a bounded number of fresh starts.
    """
    if positive.sum() < 2 * each:
        return None
    for _ in range(_RESTARTS):
        weights = np.exp(eagerness * rng.standard_normal(len(positive)))
        drawn = _draw(rng, positive, weights, each)
        model = drawn if exact else _draw(rng, positive, weights, each)
        matched = with_degrees(rng, negative, model.sum(axis=1))
        if matched is not None:
            return drawn, matched
    return None


def _draw(rng: np.random.Generator, allowed: Mask, weights: NDArray[np.float64], count: int) -> Mask:
    """Draw ``count`` of the allowed pairs, each in proportion to the product of the weights of its proteins."""
    rows, columns = np.nonzero(np.triu(allowed))
    # weighted sampling without replacement: the smallest of exponential waiting times
    waits = rng.exponential(size=len(rows)) / (weights[rows] * weights[columns])
    chosen = np.argsort(waits, kind="stable")[:count]
    drawn = np.zeros_like(allowed)
    drawn[rows[chosen], columns[chosen]] = drawn[columns[chosen], rows[chosen]] = True
    return drawn


def with_degrees(rng: np.random.Generator, allowed: Mask, degrees: Counts) -> Mask | None:
    """Find a graph inside ``allowed`` in which node i has exactly ``degrees[i]`` edges.

    Edges are added at random, the node that lacks most first. What is then still lacking is repaired along
    alternating paths: u-x and y-v come in, x-y goes out.

    Args:
        rng: source of randomness.
        allowed: symmetric mask of the edges that may be used, shape (n, n), false on the diagonal.
        degrees: wanted number of edges of every node, shape (n,).

    Returns:
        A symmetric mask, or None if the repair got stuck (the graph may or may not exist).
    """
    graph = np.zeros_like(allowed)
    lacking = degrees.astype(np.int64).copy()
    node = int(np.argmax(lacking))
    while lacking[node] > 0:
        free = np.flatnonzero(allowed[node] & ~graph[node] & (lacking > 0))
        if not len(free):
            if not _repair(rng, allowed, graph, lacking, node):
                return None
        else:
            # prefer partners that lack much themselves; noise breaks ties
            other = int(free[np.argmin(rng.exponential(size=len(free)) / lacking[free])])
            _toggle(graph, node, other)
            lacking[[node, other]] -= 1
        node = int(np.argmax(lacking))
    return graph


def _repair(rng: np.random.Generator, allowed: Mask, graph: Mask, lacking: Counts, node: int) -> bool:
    """Give ``node`` and one other lacking node (or ``node`` twice) an edge, by one alternating path."""
    ends = [int(end) for end in rng.permutation(np.flatnonzero(lacking > 0))]
    for end in ends:
        if end == node and lacking[node] < 2:
            continue
        first = np.flatnonzero(allowed[node] & ~graph[node])
        last = np.flatnonzero(allowed[end] & ~graph[end])
        steps = np.argwhere(graph[np.ix_(first, last)])
        steps = steps[(first[steps[:, 0]] != end) & (last[steps[:, 1]] != node)]
        if len(steps):
            i, j = steps[rng.integers(len(steps))]
            x, y = int(first[i]), int(last[j])
            _toggle(graph, x, y)
            _toggle(graph, node, x)
            _toggle(graph, y, end)
            lacking[node] -= 1
            lacking[end] -= 1
            return True
    return False


def _toggle(graph: Mask, a: int, b: int) -> None:
    graph[a, b] = graph[b, a] = not graph[a, b]
