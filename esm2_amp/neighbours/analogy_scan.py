"""The inner loops of the analogy queries."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from esm2_amp.neighbours.analogy_bounds import LOWEST_BOUND
from esm2_amp.neighbours.best import Best, Doubles, Floats, Indices, Masks, bound, offer
from esm2_amp.neighbours.compiled import compiled

_LOWEST = LOWEST_BOUND


class Question(NamedTuple):
    """A pair query.

    Attributes:
        vectors: (n, d) all vectors.
        direction: (d,) of length 1.
        sign: -1.0 for differences, 1.0 for sums.
        as_c: (n,) which rows may be c.
        as_d: (n,) which rows may be d.
    """

    vectors: Floats
    direction: Doubles
    sign: float
    as_c: Masks
    as_d: Masks


class Side(NamedTuple):
    """One side of a block of pairs: rows (m,), and what bounds them: points (m, w), along (m,), room (m,)."""

    rows: Indices
    points: Floats
    along: Floats
    room: Floats


@compiled
def cosine(vectors: Floats, direction: Doubles, sign: float, c: int, d: int) -> float:
    """The cosine of ``direction`` (of length 1) and x_c + sign * x_d in float64; NaN where the latter is zero."""
    along, square = 0.0, 0.0
    for i in range(direction.size):
        step = np.float64(vectors[c, i]) + sign * np.float64(vectors[d, i])
        along += direction[i] * step
        square += step * step
    return min(1.0, max(-1.0, along / np.sqrt(square))) if square > 0.0 else np.nan


@compiled
def _consider(best: Best, asked: Question, c: int, d: int, ahead: bool) -> None:
    """Score the ordered pair (c, d) and keep it if it is good enough.

    Of a sum, (c, d) and (d, c) are one pair. Where both are allowed, the one that is ``ahead`` counts, as (smaller row,
    larger row).
    """
    if c == d:
        return
    either = asked.sign > 0.0 and asked.as_c[d] and asked.as_d[c]
    if either and not ahead:
        return
    score = cosine(asked.vectors, asked.direction, asked.sign, c, d)
    if not np.isnan(score):
        if either and c > d:
            c, d = d, c
        offer(best, score, c, d, 0)


@compiled
def scan(best: Best, floor: float, asked: Question, left: Side, right: Side, product: Floats) -> None:
    """Offer every pair (c of ``left``, d of ``right``) whose bound reaches ``floor`` and the k-th best so far.

    Of a sum that both orders allow, the order with the larger product with the direction first counts.

    Args:
        best: what is kept.
        floor: a score that the k best are known to reach, or -inf.
        asked: the query.
        left: rows that may be c.
        right: rows that may be d.
        product: (rows of left, rows of right) products of their points.
    """
    sign, two = np.float32(asked.sign), np.float32(2.0 * asked.sign)
    for i in range(left.rows.size):
        c, along, room, row = left.rows[i], left.along[i], left.room[i], product[i]
        least = max(bound(best), floor)
        everything = least <= _LOWEST
        square = np.float32(least * least * (1.0 - 1e-6))
        hits = 0
        for j in range(right.rows.size):
            num = along + sign * right.along[j]
            hits += num * num >= square * (room + right.room[j] + two * row[j])
        if hits == 0 and not everything:
            continue
        for j in range(right.rows.size):
            num = along + sign * right.along[j]
            if everything or num * num >= square * (room + right.room[j] + two * row[j]):
                d = right.rows[j]
                ahead = along > right.along[j] or (along == right.along[j] and c < d)
                _consider(best, asked, c, d, ahead)


@compiled
def passing(least: float, sign: float, left: Side, right: Side, product: Floats) -> int:
    """How many pairs of a block have a bound that reaches the score ``least``, 0 or more."""
    square, two = np.float32(least * least), np.float32(2.0 * sign)
    hits = 0
    for i in range(left.rows.size):
        along, room, row = left.along[i], left.room[i], product[i]
        for j in range(right.rows.size):
            num = along + np.float32(sign) * right.along[j]
            hits += num * num >= square * (room + right.room[j] + two * row[j])
    return hits
