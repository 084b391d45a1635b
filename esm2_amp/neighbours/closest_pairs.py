"""The nearest pairs of all vectors, exactly, in the memory of two blocks of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np

from esm2_amp.errors import InputError
from esm2_amp.neighbours.analogy_bounds import TINY, UNIT
from esm2_amp.neighbours.best import Best, Doubles, Floats, Indices, bound, new_best, offer
from esm2_amp.neighbours.compiled import compiled

Metric = Literal["cosine", "ip", "l2"]
METRICS: tuple[Metric, ...] = ("cosine", "ip", "l2")

_COSINE, _PRODUCT, _DISTANCE = range(3)
_CELLS = 1 << 22  # numbers of a block of vectors: 16 MB
_ROWS = 1024
_TILE = 512


class ClosestPairs(NamedTuple):
    """Pairs of rows, nearest first.

    Attributes:
        a: (found,) rows.
        b: (found,) rows, each larger than its a.
        score: (found,) cosines or inner products, largest first, or Euclidean distances, smallest first.
    """

    a: Indices
    b: Indices
    score: Doubles


class _Scaling(NamedTuple):
    """How vectors are brought to a length of 1 or less before they are multiplied in float32.

    Attributes:
        metric: number of the metric.
        centre: (d,) subtracted, which leaves distances as they are; 0 for the other metrics.
        factor: (n,) multiplied with.
        length: (n,) of the vectors as they are, of 0 where a cosine is wanted and there is none.
    """

    metric: int
    centre: Floats
    factor: Doubles
    length: Doubles


class _Block(NamedTuple):
    """Some rows.

    Attributes:
        start: the first.
        raw: (m, d) as they are.
        points: (m, d) scaled.
        add: (m,) such that points.points + add + add is at least the score, scaled, whatever was rounded.
        length: (m,) as in the scaling.
    """

    start: int
    raw: Floats
    points: Floats
    add: Floats
    length: Doubles


def closest_pairs(
    block: Callable[[int, int], Floats],
    n: int,
    d: int,
    k: int,
    metric: Metric,
    advance: Callable[[int], object] | None = None,
) -> ClosestPairs:
    """The k nearest of the n (n - 1) / 2 pairs of rows.

    A product in float32, with the most that rounding can have taken from it, rules out all pairs but few; these are
    scored in float64 from the vectors as they are. Of equal scores the smaller rows come first. A vector of length zero
    has no cosine and is in no pair then.

    Args:
        block: ``block(start, stop)`` gives the rows from start to stop as float32 (stop - start, d).
        n: how many rows there are.
        d: dimensions.
        k: how many pairs, 1 or more; fewer come back where there are fewer.
        metric: cosine, ip (inner product) or l2 (Euclidean distance).
        advance: called with the number of rows done, n in all.

    Raises:
        InputError: k below 1, or an unknown metric.
    """
    if k < 1:
        raise InputError(f"k is {k}", remedy="Ask for one pair or more.")
    if metric not in METRICS:
        raise InputError(f"unknown metric {metric!r}", remedy=f"Choose one of {', '.join(METRICS)}.")
    rows = max(_TILE, min(_ROWS, _CELLS // max(1, d)))
    scaling = _scaling(block, n, d, METRICS.index(metric), rows)
    best = new_best(k)
    for start in range(0, n, rows):
        left = _block(block, start, min(start + rows, n), scaling)
        for other in range(start, n, rows):
            right = left if other == start else _block(block, other, min(other + rows, n), scaling)
            for tile in range(0, len(right.points), _TILE):
                product = left.points @ right.points[tile : tile + _TILE].T
                _scan(best, scaling.metric, _unit_score(scaling), left, right, tile, product)
        if advance is not None:
            advance(len(left.points))
    found, score = best.ranked()
    return ClosestPairs(found[:, 0], found[:, 1], np.sqrt(np.abs(score)) if metric == "l2" else score)


def _scaling(block: Callable[[int, int], Floats], n: int, d: int, metric: int, rows: int) -> _Scaling:
    """Lengths of all vectors, and what brings them to 1 or less."""
    centre = np.zeros(d, np.float32)
    if metric == _DISTANCE and n:
        total = sum(block(s, min(s + rows, n)).sum(axis=0, dtype=np.float64) for s in range(0, n, rows))
        centre = np.asarray(total / n, dtype=np.float32)
    length, moved = np.empty(n), np.empty(n)
    for start in range(0, n, rows):
        raw = block(start, min(start + rows, n))
        some = slice(start, start + len(raw))
        length[some] = np.sqrt(np.einsum("ij,ij->i", raw, raw, dtype=np.float64))
        moved[some] = length[some] if metric != _DISTANCE else _lengths(raw - centre)
    largest = moved.max(initial=0.0)
    whole = np.full(n, 1 / largest if largest > 0 else 1.0)
    own = np.divide(1.0, length, out=np.zeros(n), where=length > 0)
    return _Scaling(metric, centre, own if metric == _COSINE else whole, length)


def _lengths(rows: Floats) -> Doubles:
    return np.asarray(np.sqrt(np.einsum("ij,ij->i", rows, rows, dtype=np.float64)))


def _unit_score(scaling: _Scaling) -> float:
    """What a score is multiplied with when its vectors are scaled; of a distance, the halved square is meant."""
    if scaling.metric == _COSINE or not scaling.factor.size:
        return 1.0
    return float(scaling.factor[0]) ** 2 * (0.5 if scaling.metric == _DISTANCE else 1.0)


def _block(block: Callable[[int, int], Floats], start: int, stop: int, scaling: _Scaling) -> _Block:
    """Rows with their bound.

    A product of d terms of vectors of lengths p and q is off by at most d u p q <= d u (p² + q²) / 2, u = 2**-24;
    rounding the vectors themselves, and the few sums after, by less than 16 u (p² + q²).
    """
    raw = np.ascontiguousarray(block(start, stop), dtype=np.float32)
    points = ((raw - scaling.centre) * scaling.factor[start:stop, None]).astype(np.float32)
    squares = np.einsum("ij,ij->i", points, points, dtype=np.float64)
    add = (raw.shape[1] / 2 + 16) * UNIT * squares + TINY
    if scaling.metric == _DISTANCE:
        add -= squares / 2
    length = scaling.length[start:stop]
    if scaling.metric == _COSINE:
        add[length == 0] = -np.inf
    return _Block(start, raw, points, add.astype(np.float32), length)


@compiled
def _score(metric: int, left: _Block, right: _Block, i: int, j: int) -> float:
    """The score in float64, larger for nearer: for l2 the square of the distance, negative."""
    score = 0.0
    if metric == _DISTANCE:
        for m in range(left.raw.shape[1]):
            step = np.float64(left.raw[i, m]) - np.float64(right.raw[j, m])
            score -= step * step
        return score
    for m in range(left.raw.shape[1]):
        score += np.float64(left.raw[i, m]) * np.float64(right.raw[j, m])
    if metric == _COSINE:
        return min(1.0, max(-1.0, score / (left.length[i] * right.length[j])))
    return score


@compiled
def _scan(best: Best, metric: int, unit: float, left: _Block, right: _Block, tile: int, product: Floats) -> None:
    """Offer every pair (row of ``left``, later row of ``right`` from ``tile`` on) whose bound reaches the k-th best."""
    add = right.add[tile : tile + product.shape[1]]
    for i in range(product.shape[0]):
        first = max(0, left.start + i + 1 - right.start - tile)
        row, least = product[i], bound(best) * unit
        enough = np.float32(least - abs(least) * 1e-6) - left.add[i]
        hits = 0
        for j in range(first, row.size):
            hits += row[j] + add[j] >= enough
        if hits == 0 or left.add[i] == -np.inf:
            continue
        for j in range(first, row.size):
            if row[j] + add[j] >= enough and add[j] > -np.inf:
                score = _score(metric, left, right, i, tile + j)
                offer(best, score, left.start + i, right.start + tile + j, 0)
