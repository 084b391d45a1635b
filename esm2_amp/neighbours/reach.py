"""How far each vector is from its nearest other one: computed once, it prunes every pair query afterwards."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from esm2_amp.neighbours.analogy_bounds import SIGNS, TINY, UNIT, Frame, Operation, frame, shifted
from esm2_amp.neighbours.best import Doubles, Floats
from esm2_amp.neighbours.compiled import compiled

_ROWS = 1024


def nearest_distances(vectors: Floats, op: Operation, advance: Callable[[int], object] | None = None) -> Floats:
    """(n,) for each row c a length that no |x_c - x_d| (op="sum": |x_c + x_d|) of another row d falls short of.

    It is the smallest such length but for the rounding of float32; lengths of zero, which no analogy has, are left out.
    Half of all products are computed: n² d operations, in the memory of one block. The array is good for all pair
    queries of the same vectors and operation.

    Args:
        vectors: (n, d).
        op: what analogies are made of.
        advance: called with the number of rows done.
    """
    sign = SIGNS[op]
    within = frame(vectors, sign, 0)
    least = np.full(len(vectors), np.inf)
    room = (within.squares * (1 - (vectors.shape[1] + 32) * UNIT) - TINY).astype(np.float32)
    starts = range(0, len(vectors), _ROWS)
    for start in starts:
        left = _points(vectors, start, within)
        for other in range(start, len(vectors), _ROWS):
            right = left if other == start else _points(vectors, other, within)
            _lower(least, start, other, vectors, sign, room, within.scale, left @ right.T)
        if advance is not None:
            advance(len(left))
    lengths = np.sqrt(least) / within.scale
    return np.nextafter((lengths * (1 - 1e-6)).astype(np.float32), np.float32(0))


def _points(vectors: Floats, start: int, within: Frame) -> Floats:
    return shifted(vectors, slice(start, start + _ROWS), within).astype(np.float32)


@compiled
def _square(vectors: Floats, sign: float, c: int, d: int) -> float:
    """|x_c + sign * x_d|² in float64."""
    square = 0.0
    for i in range(vectors.shape[1]):
        step = np.float64(vectors[c, i]) + sign * np.float64(vectors[d, i])
        square += step * step
    return square


@compiled
def _lower(
    least: Doubles,
    start: int,
    other: int,
    vectors: Floats,
    sign: float,
    room: Floats,
    scale: float,
    product: Floats,
) -> None:
    """Lower the squared lengths of the rows from ``start`` and from ``other`` on to what a block of products says.

    Where rounding may be half of a length, as of near duplicates, it is computed in float64.
    """
    two = np.float32(2.0 * sign)
    near = np.float32(2 * (vectors.shape[1] + 32) * UNIT)
    none = np.float32(np.inf)
    columns = product.shape[1]
    lowest = np.full(columns, np.inf, np.float32)
    for i in range(product.shape[0]):
        c, row = start + i, product[i]
        first = i + 1 if start == other else 0
        own, hits = none, 0
        for j in range(first, columns):
            both = room[c] + room[other + j]
            square = both + two * row[j]
            close = square <= near * both
            hits += close
            square = none if close else square
            own = min(own, square)
            lowest[j] = min(lowest[j], square)
        least[c] = min(least[c], own)
        if hits == 0:
            continue
        for j in range(first, columns):
            both = room[c] + room[other + j]
            if both + two * row[j] <= near * both:
                exact = _square(vectors, sign, c, other + j) * scale * scale
                if exact > 0.0:
                    least[c] = min(least[c], exact)
                    least[other + j] = min(least[other + j], exact)
    for j in range(columns):
        least[other + j] = min(least[other + j], lowest[j])
