"""The best analogies of one row among all triples, exactly."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from esm2_amp.neighbours.analogy_bounds import TINY, blocks, frame, room, shifted
from esm2_amp.neighbours.analogy_groups import GROUPS_TOGETHER, Directions, Reaches, directions, reaches, threshold
from esm2_amp.neighbours.analogy_triples import Asked, Tables, look, scan_triples
from esm2_amp.neighbours.best import Doubles, Floats, Indices, Masks, bound, new_best

_GROUPING = 31
_BLOCK = 1024
_TRIED = 1 << 14
_EXTREMES = 32


def best_triples(
    vectors: Floats,
    a: int,
    as_c: Masks,
    k: int,
    max_similarity: float | None,
    sign: float,
    advance: Callable[[int], object] | None = None,
) -> tuple[Indices, Doubles]:
    """(found, 3) rows (b, c, d) and (found,) scores of the k best triples, best first.

    Every pair (c, d) is bounded over all b by one sum and a length; what passes, for each group of
    similar directions; what passes again, for each b of the group; what is left is scored in float64.

    Args:
        vectors: (n, d), contiguous.
        a: the row asked for.
        as_c: (n,) which rows may be c.
        k: how many.
        max_similarity: of b and d.
        sign: -1 for differences, 1 for sums.
        advance: called with the number of rows done, n in all.
    """
    n = len(vectors)
    within = frame(vectors, sign, 0)
    asked = Asked(vectors, _lengths(vectors), a, sign, 2.0 if max_similarity is None else max_similarity, as_c)
    lines = directions(vectors, a, sign, frame(vectors, sign, min(_GROUPING, vectors.shape[1])))
    if lines.b.size == 0:
        if advance is not None:
            advance(n)
        return new_best(k).ranked()  # every other row is equal (opposite)
    points = np.concatenate([shifted(vectors, some, within).astype(np.float32) for some in blocks(n)])
    found = reaches(points, lines, threshold(vectors, a, sign, max_similarity, within), within.squares)
    tables = _tables(asked, found, room(points, within), within.scale)
    floor = _floor(asked, lines, points, tables, k)
    best = new_best(k)
    for start in range(0, n, _BLOCK):
        left = points[start : start + _BLOCK]
        for other in range(start, n, _BLOCK):
            product = left @ points[other : other + _BLOCK].T
            scan_triples(best, floor, asked, lines, tables, (start, other), product)
        if advance is not None:
            advance(len(left))
    return best.ranked()


def _lengths(vectors: Floats) -> Doubles:
    """(n,) in float64."""
    lengths = np.empty(len(vectors))
    for some in blocks(len(vectors)):
        block = vectors[some].astype(np.float64)
        lengths[some] = np.sqrt(np.einsum("ij,ij->i", block, block))
    return lengths


def _tables(asked: Asked, found: Reaches, space: Floats, scale: float) -> Tables:
    """The bounds with what may never be c or d struck out, and their maxima."""
    found.c[~asked.as_c] = -np.inf
    found.d[asked.a] = -np.inf
    firsts = np.arange(0, found.c.shape[1], GROUPS_TOGETHER)
    wide_c, wide_d = (np.maximum.reduceat(table, firsts, axis=1) for table in found)
    return Tables(*found, wide_c, wide_d, wide_c.max(axis=1), wide_d.max(axis=1), space, scale)


def _floor(asked: Asked, lines: Directions, points: Floats, tables: Tables, k: int) -> float:
    """The k-th best score among pairs and groups with the largest bounds, of the c and d that add most in a group."""
    size = min(len(points), _EXTREMES)
    groups = tables.c.shape[1]
    bounds = np.full((groups, size * size), -np.inf, np.float32)
    some_c, some_d = np.empty((2, groups, size), np.int64)
    for group in range(groups):
        c, d = (np.argpartition(-table[:, group], size - 1)[:size] for table in (tables.c, tables.d))
        squares = tables.room[c][:, None] + tables.room[d] + 2 * asked.sign * (points[c] @ points[d].T)
        add = tables.c[c, group][:, None] + tables.d[d, group]
        bounds[group] = (add / np.sqrt(np.maximum(squares, TINY))).ravel()
        some_c[group], some_d[group] = c, d
    tried = min(max(_TRIED, k), bounds.size)
    chosen = np.argpartition(-bounds.ravel(), tried - 1)[:tried]
    which, cell = np.divmod(chosen, size * size)
    best = new_best(k)
    look(best, asked, lines, which, some_c[which, cell // size], some_d[which, cell % size])
    return bound(best)
