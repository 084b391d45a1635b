"""What training holds that is like a pair: its nearest training pairs, and whether anything is near at all."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from esm2_amp.errors import InputError
from esm2_amp.neighbours.best import Best, Floats, Indices, Masks, bound, new_best, offer
from esm2_amp.neighbours.compiled import compiled

_ROWS = 256


class Evidence(NamedTuple):
    """The nearest training pairs of each query pair, nearest first.

    Attributes:
        pair: (n, k) numbers of training pairs; -1 where there are fewer than k.
        similarity: (n, k) in [-1, 1]; NaN where there is no pair.
        swapped: (n, k) whether A is compared with the second protein of the training pair and B with the first.
    """

    pair: Indices
    similarity: Floats
    swapped: Masks


class _Known(NamedTuple):
    """Training pairs, those with the same first protein side by side.

    Attributes:
        first: (g,) the first proteins.
        starts: (g + 1,) where the pairs of each begin.
        second: (m,) the second proteins.
        number: (m,) the numbers of the pairs, as given.
    """

    first: Indices
    starts: Indices
    second: Indices
    number: Indices


def nearest_training_pairs(
    queries: Floats,
    pairs: tuple[Indices, Indices],
    training: Floats,
    known: tuple[Indices, Indices],
    k: int,
    advance: Callable[[int], object] | None = None,
) -> Evidence:
    """The k nearest training pairs of every query pair (A, B), exactly.

    The similarity is that of ``evaluation.nearest_pairs``: the mean cosine of the proteins in the better of both
    orders, max(cos(A, C) + cos(B, D), cos(A, D) + cos(B, C)) / 2. Of equal ones the training pair listed first comes
    first; pairs listed twice come twice. Memory is that of the result and of a block of similarities.

    Args:
        queries: (q, d) vectors of the query proteins, of length 1 (or 0).
        pairs: rows (n,) of A and (n,) of B in ``queries``.
        training: (p, d) vectors of the training proteins, of length 1 (or 0).
        known: rows (m,) and (m,) of the training pairs in ``training``.
        k: how many.
        advance: called with the number of query pairs done.

    Raises:
        InputError: k below 1.
    """
    if k < 1:
        raise InputError(f"k is {k}", remedy="Ask for one training pair or more.")
    a, b = pairs
    listed = _known(*known)
    shape = a.size, k
    found = Evidence(np.full(shape, -1), np.full(shape, np.nan, np.float32), np.zeros(shape, np.bool_))
    order = np.lexsort((b, a))
    for start in range(0, order.size, _ROWS):
        some = order[start : start + _ROWS]
        rows, place = np.unique(np.concatenate([a[some], b[some]]), return_inverse=True)
        similar = queries[rows] @ training.T
        for query, one, other in zip(some, place[: some.size], place[some.size :], strict=True):
            _answer(found, query, listed, similar[one], similar[other])
        if advance is not None:
            advance(some.size)
    return found


def nearest_similarities(vectors: Floats, training: Floats) -> Floats:
    """(n,) the largest cosine of each vector with one of ``training``; both of length 1. -1 where there is none."""
    nearest = np.full(len(vectors), -1, np.float32)
    for start in range(0, len(vectors) if len(training) else 0, _ROWS):
        nearest[start : start + _ROWS] = (vectors[start : start + _ROWS] @ training.T).max(axis=1)
    return nearest


def far_threshold(training: Floats, quantile: float) -> float:
    """The similarity below which a protein is far from everything seen.

    For every training protein its largest cosine with any other one (leave one out); of these the quantile: with 0.05,
    one training protein in twenty would be called far from the rest. With fewer than two proteins it is 1.

    Args:
        training: (p, d) vectors of the training proteins, of length 1.
        quantile: in [0, 1].
    """
    if len(training) < 2:
        return 1.0
    nearest = np.empty(len(training), np.float32)
    for start in range(0, len(training), _ROWS):
        similar = training[start : start + _ROWS] @ training.T
        rows = np.arange(len(similar))
        similar[rows, start + rows] = -np.inf
        nearest[start : start + _ROWS] = similar.max(axis=1)
    return float(np.quantile(nearest, quantile))


def far(nearest: Floats, pairs: tuple[Indices, Indices], threshold: float) -> Masks:
    """(n,) whether both proteins of a pair are far from every training protein.

    Args:
        nearest: (q,) from ``nearest_similarities`` of the query proteins.
        pairs: rows (n,) of A and (n,) of B.
        threshold: from ``far_threshold``.
    """
    a, b = pairs
    return np.asarray((nearest[a] < threshold) & (nearest[b] < threshold))


def _known(first: Indices, second: Indices) -> _Known:
    order = np.argsort(first, kind="stable")
    proteins, counts = np.unique(first, return_counts=True)
    starts = np.concatenate([[0], np.cumsum(counts)])
    return _Known(proteins.astype(np.int64), starts.astype(np.int64), second[order].astype(np.int64), order)


def _answer(found: Evidence, query: int, listed: _Known, one: Floats, other: Floats) -> None:
    """Write the nearest pairs of one query, given its proteins' similarities to all training proteins."""
    best = new_best(found.pair.shape[1])
    if listed.number.size:
        _search(best, listed, one, other, one.max(), other.max())
    rows, score = best.ranked()
    found.pair[query, : score.size] = rows[:, 0]
    found.similarity[query, : score.size] = score
    found.swapped[query, : score.size] = rows[:, 1]


@compiled
def _search(best: Best, listed: _Known, one: Floats, other: Floats, most: float, others: float) -> None:
    """Offer the training pairs, leaving out first proteins with which no second one could be near enough."""
    for group in range(listed.first.size):
        c = listed.first[group]
        least = np.float32(2.0 * bound(best) - 1e-5)
        if one[c] + others < least and other[c] + most < least:
            continue
        for place in range(listed.starts[group], listed.starts[group + 1]):
            d = listed.second[place]
            straight, crossed = one[c] + other[d], one[d] + other[c]
            offer(best, max(straight, crossed) / np.float32(2), listed.number[place], crossed > straight, 0)
