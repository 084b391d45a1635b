"""The inner loops of the analogies of one row."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from esm2_amp.neighbours.analogy_bounds import LOWEST_BOUND, UNIT
from esm2_amp.neighbours.analogy_groups import Directions
from esm2_amp.neighbours.best import Best, Doubles, Floats, Indices, Masks, bound, offer
from esm2_amp.neighbours.compiled import compiled

_LOWEST = LOWEST_BOUND
_UNIT = UNIT
_CHUNK = 64  # groups whose bounds are compared before any is looked at


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
        most_c: (n,) the maxima over the groups.
        most_d: (n,) the same of d.
        room: (n,) as in a projection.
        scale: of the frame.
    """

    c: Floats
    d: Floats
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
def look(best: Best, asked: Asked, b: int, some_c: Indices, some_d: Indices) -> None:
    """Offer all (b, c, d) of some rows c and d."""
    for c in some_c:
        for d in some_d:
            _consider(best, asked, b, c, d)


@compiled
def _group(
    best: Best, asked: Asked, lines: Directions, group: int, c: int, d: int, step: Floats, turn: float, limit: float
) -> None:
    """Offer the b of a group whose product with the step from d to c, times ``turn``, reaches a limit."""
    for place in range(lines.starts[group], lines.starts[group + 1]):
        along = np.float32(0)
        for i in range(step.size):
            along += lines.unit[place, i] * step[i]
        if turn * along >= limit:
            _consider(best, asked, lines.b[place], c, d)


@compiled
def _groups(
    best: Best,
    floor: float,
    asked: Asked,
    lines: Directions,
    tables: Tables,
    pair: tuple[int, int],
    step: Floats,
    turn: float,
    length: float,
) -> None:
    """Go through the groups of directions for the ordered pair (c, d), whose step is ``turn`` * ``step``."""
    c, d = pair
    least = max(bound(best), floor)
    everything = least <= _LOWEST
    limit = -np.inf if everything else least * length * (1.0 - 1e-6)
    if tables.most_c[c] + tables.most_d[d] < limit:
        return
    exact_limit = limit - (step.size + 8) * _UNIT * length
    add_c, add_d, enough = tables.c[c], tables.d[d], np.float32(limit * (1.0 - 1e-6))
    for start in range(0, add_c.size, _CHUNK):
        end, hits = min(start + _CHUNK, add_c.size), 0
        for group in range(start, end):
            hits += add_c[group] + add_d[group] >= enough
        if hits == 0:
            continue
        for group in range(start, end):
            if add_c[group] + add_d[group] >= enough:
                _group(best, asked, lines, group, c, d, step, turn, exact_limit)


@compiled
def _pair(
    best: Best, floor: float, asked: Asked, lines: Directions, tables: Tables, c: int, d: int, step: Floats
) -> None:
    """Go through both orders of a pair; ``step`` is room for d numbers."""
    square, sign = 0.0, np.float32(asked.sign)
    scale = np.float32(tables.scale)
    for i in range(step.size):
        step[i] = (asked.vectors[c, i] + sign * asked.vectors[d, i]) * scale
        square += np.float64(step[i]) * np.float64(step[i])
    length = np.sqrt(square)
    if asked.as_c[c] and d != asked.a:
        _groups(best, floor, asked, lines, tables, (c, d), step, 1.0, length)
    if asked.as_c[d] and c != asked.a:
        _groups(best, floor, asked, lines, tables, (d, c), step, asked.sign, length)


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
    room, most_c, most_d = tables.room, tables.most_c, tables.most_d
    for i in range(product.shape[0]):
        c, row, second = starts[0] + i, product[i], starts[1]
        first = i + 1 if starts[0] == second else 0
        least = max(bound(best), floor)
        everything = least <= _LOWEST
        square, hits = np.float32(least * least * (1.0 - 2e-6)), 0
        for j in range(first, row.size):
            num = max(most_c[c] + most_d[second + j], most_c[second + j] + most_d[c])
            num = max(num, np.float32(0))
            hits += num * num >= square * (room[c] + room[second + j] + two * row[j])
        if hits == 0 and not everything:
            continue
        for j in range(first, row.size):
            num = max(most_c[c] + most_d[second + j], most_c[second + j] + most_d[c])
            num = max(num, np.float32(0))
            if everything or num * num >= square * (room[c] + room[second + j] + two * row[j]):
                _pair(best, floor, asked, lines, tables, c, second + j, step)
