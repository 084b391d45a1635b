"""All pairs of two sets of proteins, each once, cut into square tiles."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from esm2_amp.screening.work import Rows, Unit


class Sides(NamedTuple):
    """The proteins of two sets in one order: those only in A, those in both, those only in B.

    Attributes:
        ids: (n,) each protein once.
        first: A is the proteins 0..first-1.
        second: B is the proteins second..n-1.
    """

    ids: tuple[str, ...]
    first: int
    second: int


def order_sides(ids_a: Iterable[str], ids_b: Iterable[str]) -> Sides:
    """Number the proteins of A and B, in the order given within the three groups; the same id is the same protein."""
    a, b = dict.fromkeys(ids_a), dict.fromkeys(ids_b)
    only_a = [name for name in a if name not in b]
    both = [name for name in a if name in b]
    only_b = [name for name in b if name not in a]
    return Sides((*only_a, *both, *only_b), len(a), len(only_a))


class Grid:
    """Every pair of a protein in A with one in B, once, as :class:`~esm2_amp.screening.work.Work`.

    With proteins numbered as in :class:`Sides`, the pairs are those of a row i in A and a column j in B with i < j.
    That is the upper triangle where A = B, every pair where A and B have no protein in common, and a few queries
    against all where A is a few proteins of B. The tiles are those of the full n x n square, cut to A's rows and B's
    columns, row by row; one without a pair is left out.

    Args:
        n: proteins.
        first: A is 0..first-1.
        second: B is second..n-1; at most ``first``.
        edge: proteins along a tile.
        with_self: whether a protein in both is paired with itself, too (i <= j).
    """

    def __init__(self, n: int, first: int, second: int, edge: int, with_self: bool) -> None:
        if not 0 <= second <= first <= n or edge < 1:
            raise ValueError(
                f"n {n}, first {first}, second {second}, edge {edge}: 0 <= second <= first <= n, edge >= 1"
            )
        self.n, self.first, self.second, self.edge, self.with_self = n, first, second, edge, with_self
        self.pairs = self._count(0, first, second, n)
        leftmost = np.maximum(np.arange(-(-first // edge) if self.pairs else 0), second // edge)
        # a tile on the diagonal can be without a pair: that of one protein in both sets
        bare = [p == q and not self._count(*self._bounds(p, q)) for p, q in enumerate(leftmost.tolist())]
        leftmost += np.array(bare, np.int64)
        self._leftmost = leftmost
        self._begins = np.concatenate([[0], np.cumsum(np.maximum(-(-n // edge) - leftmost, 0))])

    def __len__(self) -> int:
        return int(self._begins[-1])

    def size(self, number: int) -> int:
        """Pairs of a tile, without listing them."""
        return self._count(*self._bounds(*self._tile(number)))

    def unit(self, number: int) -> Unit:
        """The pairs of a tile."""
        top, bottom, left, right = self._bounds(*self._tile(number))
        a, b = np.arange(top, bottom), np.arange(left, right)
        if self._count(top, bottom, left, right) == a.size * b.size:
            return Unit(a, b, *_all_pairs(a.size, b.size), whole=True)
        i, j = np.nonzero(a[:, None] <= b if self.with_self else a[:, None] < b)
        return Unit(a, b, i, j, whole=False)

    def _tile(self, number: int) -> tuple[int, int]:
        """Its row and column among the blocks of ``edge`` proteins."""
        if not 0 <= number < len(self):
            raise IndexError(f"unit {number} of {len(self)}")
        row = int(np.searchsorted(self._begins, number, side="right")) - 1
        return row, int(self._leftmost[row]) + number - int(self._begins[row])

    def _bounds(self, row: int, column: int) -> tuple[int, int, int, int]:
        """First row, row after the last, first column, column after the last."""
        edge = self.edge
        rows = row * edge, min((row + 1) * edge, self.first)
        return *rows, max(column * edge, self.second), min((column + 1) * edge, self.n)

    def _count(self, top: int, bottom: int, left: int, right: int) -> int:
        """Pairs in a rectangle that holds its corner of the diagonal, if any: all but a triangle of ``shared``."""
        if right <= left or bottom <= top:
            return 0
        shared = max(0, bottom - left)
        return (bottom - top) * (right - left) - shared * (shared - 1 if self.with_self else shared + 1) // 2


@lru_cache(maxsize=4)  # most tiles have one shape
def _all_pairs(rows: int, columns: int) -> tuple[Rows, Rows]:
    i, j = np.indices((rows, columns)).reshape(2, -1)
    i.flags.writeable = j.flags.writeable = False
    return i, j
