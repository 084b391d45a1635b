"""Bounds for one-row analogies: the largest products of each vector with a group of directions.

With u_b the unit direction of A - B (A + B) and s_cb = u_b.x_c, the score of (b, c, d) is
(s_cb -+ s_db) / |x_c -+ x_d|. For all b of a group it is at most (max s_cb + max -+s_db) / |x_c -+ x_d|, the second
maximum over the b that the threshold on cos(b, d) allows for d. With a table of n x groups for each maximum, one sum
bounds a pair and a group.
"""

from __future__ import annotations

from typing import NamedTuple

import faiss
import numpy as np

from esm2_amp.neighbours.analogy_bounds import UNIT, Frame, blocks, shifted
from esm2_amp.neighbours.best import Doubles, Floats, Indices
from esm2_amp.neighbours.compiled import compiled

_SIZE = 32
_GROUPS = 512
_ROUNDS = 4
_ROWS = 2048
GROUPS_TOGETHER = 16
"""Neighbouring groups that share a wider bound, and a matrix product."""
_EVERYTHING = 2.0  # a threshold that no cosine is above


class Directions(NamedTuple):
    """The directions of a with every other row, in groups of similar ones.

    Attributes:
        unit: (m, d) of length 1.
        b: (m,) their rows, those of a group side by side.
        starts: (groups + 1,) where the groups begin in ``b``.
        length: (n,) |A - B| or |A + B|, scaled as the frame; 0 where there is no direction.
    """

    unit: Floats
    b: Indices
    starts: Indices
    length: Doubles


class Reaches(NamedTuple):
    """(n, groups) tables: what c and what d can add to num, at most."""

    c: Floats
    d: Floats


class Threshold(NamedTuple):
    """What is needed to tell whether cos(b, d) may be allowed, from the product of u_b and the shifted x_d.

    x_b.x_d = sign (length_b u_b.y_d - y_a.y_d) + |m|² + m.y_b + m.y_d for y = x - m, m the centre.

    Attributes:
        highest: the largest cosine allowed.
        sign: -1 for differences, 1 for sums.
        own: (n,) y_a.y.
        mean: (n,) m.y.
        square: |m|².
        length: (n,) |x|.
        spare: (n,) such that spare_b' spare_d is more than what rounding can add.
        spare_b: the same for b.
    """

    highest: float
    sign: float
    own: Floats
    mean: Floats
    square: float
    length: Floats
    spare: Floats
    spare_b: Floats


def directions(vectors: Floats, a: int, sign: float, within: Frame) -> Directions:
    """The directions of row a, grouped by k-means of their coordinates within the frame."""
    n = len(vectors)
    length, unit, points = np.zeros(n), np.empty(vectors.shape, np.float32), np.empty((n, within.basis.shape[1]))
    own = vectors[a].astype(np.float64)
    for some in blocks(n):
        step = own + sign * vectors[some]
        length[some] = np.sqrt(np.einsum("ij,ij->i", step, step))
        step /= np.where(length[some] > 0, length[some], 1)[:, None]
        unit[some], points[some] = step, step @ within.basis
    length[a] = 0
    rows = np.flatnonzero(length)
    order, starts = _grouped(points[rows].astype(np.float32), max(_SIZE, -(-n // _GROUPS)))
    rows = rows[order]
    return Directions(unit[rows], rows, starts, length * within.scale)


def threshold(vectors: Floats, a: int, sign: float, highest: float | None, within: Frame) -> Threshold:
    """What masks b for d; with ``highest`` None nothing is masked."""
    n = len(vectors)
    centre = within.centre * within.scale
    own, mean, length = np.empty(n), np.empty(n), np.empty(n)
    first = shifted(vectors, slice(a, a + 1), within)[0]
    for some in blocks(n):
        block = shifted(vectors, some, within)
        own[some], mean[some] = block @ first, block @ centre
        block += centre
        length[some] = np.sqrt(np.einsum("ij,ij->i", block, block))
    square = float(centre @ centre)
    spare = np.sqrt(within.squares) + np.sqrt(square) + 1e-15
    lost = 8 * (vectors.shape[1] + 32) * UNIT
    return Threshold(
        _EVERYTHING if highest is None else highest,
        sign,
        own.astype(np.float32),
        mean.astype(np.float32),
        square,
        length.astype(np.float32),
        spare.astype(np.float32),
        (lost * (spare + spare[a])).astype(np.float32),
    )


def reaches(points: Floats, asked: Directions, allowed: Threshold, squares: Doubles) -> Reaches:
    """Both tables; ``points`` (n, d) are the vectors shifted and scaled, ``squares`` their squared lengths."""
    n, groups = len(points), asked.starts.size - 1
    found = Reaches(np.empty((n, groups), np.float32), np.empty((n, groups), np.float32))
    spare = (np.sqrt(squares) * (points.shape[1] + 32) * UNIT + 1e-15).astype(np.float32)
    for start in range(0, n, _ROWS):
        some = points[start : start + _ROWS]
        for first in range(0, groups, GROUPS_TOGETHER):
            last = min(first + GROUPS_TOGETHER, groups)
            product = asked.unit[asked.starts[first] : asked.starts[last]] @ some.T
            for group in range(first, last):
                _reach(found, product, asked, allowed, spare, start, group, int(asked.starts[first]))
    return found


def _grouped(points: Floats, size: int) -> tuple[Indices, Indices]:
    """An order that puts similar points side by side, and where groups of at most ``size`` begin.

    Neighbouring groups are similar too: the centres of clusters are clustered once more.
    """
    if len(points) == 0:
        return np.zeros(0, np.int64), np.zeros(1, np.int64)
    label, centres = _clusters(points, -(-len(points) // size))
    wide, _ = _clusters(centres, -(-len(centres) // GROUPS_TOGETHER))
    order = np.lexsort((label, wide[label]))
    begins = np.flatnonzero(np.diff(label[order], prepend=-1))
    ends = [*begins[1:], len(points)]
    starts = [np.arange(begin, end, size) for begin, end in zip(begins, ends, strict=True)]
    return order, np.concatenate([*starts, [len(points)]]).astype(np.int64)


def _clusters(points: Floats, count: int) -> tuple[Indices, Floats]:
    """(n,) which cluster each point is in, and (count, m) the centres."""
    means = faiss.Kmeans(points.shape[1], count, niter=_ROUNDS, seed=0, min_points_per_centroid=1)
    means.train(points)
    label: Indices = means.index.search(points, 1)[1].ravel()
    return label, np.asarray(means.centroids, dtype=np.float32)


@compiled
def _reach(
    found: Reaches,
    product: Floats,
    asked: Directions,
    allowed: Threshold,
    spare: Floats,
    start: int,
    group: int,
    first: int,
) -> None:
    """Fill a column of both tables for the rows from ``start`` on."""
    rows = product.shape[1]
    none, sign = np.float32(-np.inf), np.float32(allowed.sign)
    as_c, as_d = np.full(rows, none), np.full(rows, none)
    for place in range(asked.starts[group], asked.starts[group + 1]):
        b, row = asked.b[place], product[place - first]
        if start <= b < start + rows:
            row[b - start] = np.nan  # larger than nothing: b is not c or d itself
        length, constant = np.float32(asked.length[b]), np.float32(allowed.mean[b] + allowed.square)
        highest, doubt = np.float32(allowed.highest * allowed.length[b]), allowed.spare_b[b]
        for j in range(rows):
            along, d = row[j], start + j
            both = sign * (length * along - allowed.own[d]) + constant + allowed.mean[d]
            may = both <= highest * allowed.length[d] + doubt * allowed.spare[d]
            as_c[j] = along if along > as_c[j] else as_c[j]
            added = sign * along if may else none
            as_d[j] = added if added > as_d[j] else as_d[j]
    for j in range(rows):
        found.c[start + j, group] = as_c[j] + spare[start + j]
        found.d[start + j, group] = as_d[j] + spare[start + j]
