"""The best analogies of one pair among all pairs, exactly."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from esm2_amp.neighbours.analogy_bounds import LOWEST_BOUND, Projection, frame, project, whole
from esm2_amp.neighbours.analogy_scan import Question, Side, passing, scan
from esm2_amp.neighbours.best import Best, Doubles, Floats, Indices, Masks, bound, new_best

_WIDTHS = (31, 127)
_PASSING = 0.002  # scoring a pair costs as much as some hundred bounds
_BLOCK = 1024
_EXTREMES = 256
_SLACK = 1e-6  # of lengths of 1 or less; float32 is off by a tenth of it


def best_pairs(
    asked: Question, k: int, reach: Floats | None, advance: Callable[[int], object] | None = None
) -> tuple[Indices, Doubles]:
    """(found, 3) rows (c, d, 0) and (found,) scores of the k best pairs of a question, best first.

    A first look at rows of extreme products with the direction gives a score that the k best reach. A pair (c, d) can
    reach it only if num >= t max(r_c, r_d), r the lengths that |v| does not fall short of; c in the order of the
    largest num that is left to it needs ever fewer d. With r unknown, that is every pair once, in the order num > 0.

    Args:
        asked: the query.
        k: how many.
        reach: (n,) lengths from ``nearest_distances``, or None.
        advance: called with the number of rows done, n in all.
    """
    bounds, floor, scale = _bounds(asked, k)
    lengths = np.zeros(len(asked.vectors)) if reach is None else reach.astype(np.float64) * scale
    needed = max(floor, 0.0) * lengths
    order = np.flatnonzero(asked.as_c)
    order = order[np.argsort(-(bounds.along - needed)[order], kind="stable")]
    best = new_best(k)
    for start in range(0, order.size, _BLOCK):
        rows = order[start : start + _BLOCK]
        others = np.flatnonzero(_partners(asked, bounds.along, needed, rows, floor))
        _scan(best, floor, asked, bounds, rows, others)
        if advance is not None:
            advance(rows.size)
    if advance is not None:
        advance(len(asked.vectors) - order.size)
    return best.ranked()


def _bounds(asked: Question, k: int) -> tuple[Projection, float, float]:
    """A projection wide enough that few pairs pass, a score that the k best pairs reach (or -inf), and the scale."""
    for width in _WIDTHS:
        if width < asked.vectors.shape[1]:
            within = frame(asked.vectors, asked.sign, width)
            bounds = project(asked.vectors, asked.direction, within)
            floor = _floor(asked, k, bounds)
            if floor <= LOWEST_BOUND or _share(asked, bounds, floor) <= _PASSING:
                return bounds, floor, within.scale
    within = frame(asked.vectors, asked.sign, 0)
    bounds = whole(asked.vectors, asked.direction, within)
    return bounds, _floor(asked, k, bounds), within.scale


def _floor(asked: Question, k: int, bounds: Projection) -> float:
    """The k-th best score of the pairs with c among the largest products and d among the most opposite (or largest)."""
    size = max(_EXTREMES, int(np.ceil(np.sqrt(2 * k))))
    c, d = np.flatnonzero(asked.as_c), np.flatnonzero(asked.as_d)
    c = c[np.argsort(-bounds.along[c], kind="stable")[:size]]
    d = d[np.argsort(-asked.sign * bounds.along[d], kind="stable")[:size]]
    best = new_best(k)
    _scan(best, -np.inf, asked, bounds, c, d)
    return bound(best)


def _share(asked: Question, bounds: Projection, floor: float) -> float:
    """The share of a sample of pairs whose bound reaches a score."""
    rows = np.linspace(0, len(asked.vectors) - 1, 2 * _BLOCK).astype(np.int64)
    left, right = _side(bounds, rows[::2]), _side(bounds, rows[1::2])
    return passing(floor, asked.sign, left, right, left.points @ right.points.T) / _BLOCK**2


def _partners(asked: Question, along: Floats, needed: Doubles, rows: Indices, floor: float) -> Masks:
    """(n,) which d can make a pair that reaches the floor with one of the rows c."""
    if floor <= LOWEST_BOUND:
        return asked.as_d
    opposite = -asked.sign * along
    most, left = along[rows].max() + _SLACK, (along - needed)[rows].max() + _SLACK
    partners = asked.as_d & (opposite <= left) & (opposite + needed <= most)
    both = asked.as_c & asked.as_d
    if asked.sign > 0 and both[rows].all():  # of (c, d) and (d, c), the one with the larger product first is enough
        partners &= ~both | (along <= most)
    return partners


def _scan(best: Best, floor: float, asked: Question, bounds: Projection, rows: Indices, others: Indices) -> None:
    left = _side(bounds, rows)
    for start in range(0, others.size, _BLOCK):
        right = _side(bounds, others[start : start + _BLOCK])
        scan(best, floor, asked, left, right, left.points @ right.points.T)


def _side(bounds: Projection, rows: Indices) -> Side:
    return Side(rows, bounds.points[rows], bounds.along[rows], bounds.room[rows])
