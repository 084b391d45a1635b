"""Chosen pairs as units of work: those of the same proteins together, so that what is prepared once serves many."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from esm2_amp.screening.work import Rows, Unit


class Eligible(Protocol):
    """Which pairs there are: (i, j) with i in 0..first-1, j in second..n-1, and i < j (i <= j with ``with_self``)."""

    @property
    def n(self) -> int:
        """Proteins."""
        ...

    @property
    def first(self) -> int:
        """Rows: the proteins 0..first-1 are of the first side."""
        ...

    @property
    def second(self) -> int:
        """Where columns begin: the proteins second..n-1 are of the second side."""
        ...

    @property
    def with_self(self) -> bool:
        """Whether a protein is paired with itself."""
        ...


class PairList:
    """Pairs in any order, none twice, as :class:`~esm2_amp.screening.work.Work`.

    A unit is what lies in one square of ``edge`` x ``edge`` proteins, squares row by row; empty squares are left out.

    Args:
        a: (m,) number of each pair's first protein.
        b: (m,) of its second.
        edge: proteins of a square's side.

    Attributes:
        a: the same pairs, ordered by unit, then by (a, b).
        b: as ``a``.

    Raises:
        ValueError: a pair comes twice.
    """

    def __init__(self, a: Rows, b: Rows, edge: int) -> None:
        order = np.lexsort((b, a, b // edge, a // edge))
        self.a, self.b, self.edge = a[order], b[order], edge
        if len(a) > 1 and ((np.diff(self.a) == 0) & (np.diff(self.b) == 0)).any():
            raise ValueError("a pair comes twice")
        new = np.diff(self.a // edge, prepend=-1).astype(bool) | np.diff(self.b // edge, prepend=-1).astype(bool)
        self._starts = np.append(np.flatnonzero(new), len(a))

    @property
    def pairs(self) -> int:
        """How many in all."""
        return len(self.a)

    def __len__(self) -> int:
        return len(self._starts) - 1

    def size(self, number: int) -> int:
        """Pairs of a unit."""
        return int(self._starts[number + 1] - self._starts[number])

    def unit(self, number: int) -> Unit:
        """A unit's pairs and the proteins that occur in them."""
        these = slice(self._starts[number], self._starts[number + 1])
        a, i = np.unique(self.a[these], return_inverse=True)
        b, j = np.unique(self.b[these], return_inverse=True)
        return Unit(a, b, i, j, whole=len(i) == len(a) * len(b))


def eligible_pairs(law: Eligible) -> int:
    """How many pairs there are."""
    return int(row_ends(law)[-1]) if law.first else 0


def row_ends(law: Eligible) -> Rows:
    """(first,) how many pairs the rows up to each one have together."""
    return np.cumsum(law.n - first_columns(law))


def first_columns(law: Eligible) -> Rows:
    """(first,) the first column that each row is paired with."""
    return np.minimum(np.maximum(np.arange(law.first) + (not law.with_self), law.second), law.n)


def keys_of(a: Rows, b: Rows, n: int) -> Rows:
    """One number a pair, the same whichever protein comes first."""
    return np.minimum(a, b) * n + np.maximum(a, b)
