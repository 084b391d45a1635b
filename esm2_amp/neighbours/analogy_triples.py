"""The inner loops of the analogies of one row."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from esm2_amp.neighbours.analogy_bounds import LOWEST_BOUND, UNIT
from esm2_amp.neighbours.analogy_groups import GROUPS_TOGETHER, Directions
from esm2_amp.neighbours.best import Best, Doubles, Floats, Indices, Masks, bound, offer
from esm2_amp.neighbours.compiled import compiled

_LOWEST = LOWEST_BOUND
_UNIT = UNIT
_TOGETHER = GROUPS_TOGETHER


class Asked(NamedTuple):
    """A one-row query.

    Attributes:
        vectors: (n, d) all vectors.
        lengths: (n,) their lengths.
        a: the row.
        sign: -1.0 for differences, 1.0 for sums.
        highest: the largest cos(b, d) allowed.
        as_c: (n,) which rows may be c.
    """

    vectors: Floats
    lengths: Doubles
    a: int
    sign: float
    highest: float
    as_c: Masks


class Tables(NamedTuple):
    """Bounds, in the scale of a frame: what c and d can add to num, and how long v is at least.

    Attributes:
        c: (n, groups) what c can add.
        d: (n, groups) what d can add.
        wide_c: (n, ceil(groups / 16)) the maxima over 16 groups each.
        wide_d: the same of d.
        most_c: (n,) the maxima over all groups.
        most_d: the same of d.
        room: (n,) as in a projection.
        scale: of the frame.
    """

    c: Floats
    d: Floats
    wide_c: Floats
    wide_d: Floats
    most_c: Floats
    most_d: Floats
    room: Floats
    scale: float


@compiled
def _cosine(asked: Asked, b: int, c: int, d: int) -> float:
    """cos(x_a + sign x_b, x_c + sign x_d) in float64; NaN where one is zero."""
    vectors, a, sign = asked.vectors, asked.a, asked.sign
    along, one, other = 0.0, 0.0, 0.0
    for i in range(vectors.shape[1]):
        first = np.float64(vectors[a, i]) + sign * np.float64(vectors[b, i])
        second = np.float64(vectors[c, i]) + sign * np.float64(vectors[d, i])
        along += first * second
        one += first * first
        other += second * second
    length = np.sqrt(one) * np.sqrt(other)
    return min(1.0, max(-1.0, along / length)) if length > 0.0 else np.nan


@compiled
def _may(asked: Asked, b: int, d: int) -> bool:
    """Whether cos(b, d) is within the threshold; the cosine with a zero vector is 0."""
    if asked.highest >= 1.0:
        return True
    along, length = 0.0, asked.lengths[b] * asked.lengths[d]
    for i in range(asked.vectors.shape[1]):
        along += np.float64(asked.vectors[b, i]) * np.float64(asked.vectors[d, i])
    return (max(-1.0, along / length) if length > 0.0 else 0.0) <= asked.highest


@compiled
def _consider(best: Best, asked: Asked, b: int, c: int, d: int) -> None:
    """Keep (b, c, d) if all is allowed and it is good enough; of the two orders of a sum, c < d where both are."""
    if c == d or b in (asked.a, c, d) or d == asked.a or not asked.as_c[c] or not _may(asked, b, d):
        return
    if asked.sign > 0.0 and c > d and asked.as_c[d] and _may(asked, b, c):
        return
    score = _cosine(asked, b, c, d)
    if not np.isnan(score):
        offer(best, score, b, c, d)


@compiled
def look(best: Best, asked: Asked, lines: Directions, groups: Indices, some_c: Indices, some_d: Indices) -> None:
    """Offer the pairs (c, d), one at each place of the arrays, with all b of the group there."""
    for i in range(groups.size):
        for place in range(lines.starts[groups[i]], lines.starts[groups[i] + 1]):
            _consider(best, asked, lines.b[place], some_c[i], some_d[i])


@compiled
def _step(asked: Asked, c: int, d: int, scale: float, step: Floats) -> float:
    """Write x_c + sign x_d, scaled, into ``step`` and return its length."""
    square = 0.0
    for i in range(step.size):
        step[i] = (asked.vectors[c, i] + np.float32(asked.sign) * asked.vectors[d, i]) * np.float32(scale)
        square += np.float64(step[i]) * np.float64(step[i])
    return np.sqrt(square)


@compiled
def _group(best: Best, asked: Asked, lines: Directions, group: int, c: int, d: int, step: Floats, limit: float) -> None:
    """Offer the b of a group whose product with ``step`` reaches a limit."""
    for place in range(lines.starts[group], lines.starts[group + 1]):
        along = np.float32(0)
        for i in range(step.size):
            along += lines.unit[place, i] * step[i]
        if along >= limit:
            _consider(best, asked, lines.b[place], c, d)


@compiled
def _wide_hits(wide_c: Floats, wide_d: Floats, c: int, d: int, limit: np.float32) -> int:
    """How many wide groups may hold directions whose product with x_c + sign x_d reaches a limit."""
    hits = 0
    for wide in range(wide_c.shape[1]):
        hits += wide_c[c, wide] + wide_d[d, wide] >= limit
    return hits


@compiled
def _pair(
    best: Best,
    least: float,
    asked: Asked,
    lines: Directions,
    tables: Tables,
    c: int,
    d: int,
    limit: np.float32,
    step: Floats,
) -> None:
    """Go through the groups of directions for the ordered pair (c, d).

    Args:
        best: what is kept.
        least: what a score must reach, or -inf.
        asked: the query.
        lines: directions.
        tables: bounds.
        c: row.
        d: row.
        limit: what num must reach for that, at least.
        step: room for d numbers.
    """
    length, wide_c, wide_d = -1.0, tables.wide_c[c], tables.wide_d[d]
    add_c, add_d = tables.c[c], tables.d[d]
    for wide in range(wide_c.size):
        if wide_c[wide] + wide_d[wide] < limit:
            continue
        for group in range(wide * _TOGETHER, min((wide + 1) * _TOGETHER, add_c.size)):
            if add_c[group] + add_d[group] < limit:
                continue
            if length < 0.0:
                length = _step(asked, c, d, tables.scale, step)
            exact = -np.inf if least <= _LOWEST else (least - (step.size + 16) * _UNIT) * length
            _group(best, asked, lines, group, c, d, step, exact)


@compiled
def scan_triples(
    best: Best,
    floor: float,
    asked: Asked,
    lines: Directions,
    tables: Tables,
    starts: tuple[int, int],
    product: Floats,
) -> None:
    """Offer every triple of a block of pairs whose bounds reach ``floor`` and the k-th best so far.

    Args:
        best: what is kept.
        floor: a score that the k best are known to reach, or -inf.
        asked: the query.
        lines: directions of a with every b.
        tables: bounds.
        starts: the first rows of the two sides; where they are the same, each pair is looked at once.
        product: products of the points of the two sides.
    """
    two, step = np.float32(2.0 * asked.sign), np.empty(asked.vectors.shape[1], np.float32)
    second, columns = starts[1], product.shape[1]
    room = tables.room[second : second + columns]
    most_c, most_d = tables.most_c[second : second + columns], tables.most_d[second : second + columns]
    passes = np.empty(columns, np.bool_)
    for i in range(product.shape[0]):
        c, row = starts[0] + i, product[i]
        first = i + 1 if starts[0] == second else 0
        own_room, own_c, own_d = tables.room[c], tables.most_c[c], tables.most_d[c]
        least = max(bound(best), floor)
        bounded = least > _LOWEST
        square = np.float32(least * least * (1.0 - 2e-6))
        for j in range(columns):
            one, other = own_c + most_d[j], own_d + most_c[j]
            num = one if one > other else other
            num = num if num > np.float32(0) else np.float32(0)
            passes[j] = num * num >= square * (own_room + room[j] + two * row[j])
        for j in range(first, columns):
            if bounded and not passes[j]:
                continue
            d, limit = second + j, np.float32(-np.inf)
            if bounded:
                shortest = np.sqrt(max(own_room + room[j] + two * row[j], np.float32(0)))
                limit = np.float32(least * (1.0 - 2e-6)) * shortest
            if own_c + most_d[j] >= limit and _wide_hits(tables.wide_c, tables.wide_d, c, d, limit) > 0:
                _pair(best, least, asked, lines, tables, c, d, limit, step)
            if own_d + most_c[j] >= limit and _wide_hits(tables.wide_c, tables.wide_d, d, c, limit) > 0:
                _pair(best, least, asked, lines, tables, d, c, limit, step)
