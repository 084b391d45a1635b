"""What there is to score: units of pairs, each done whole or not at all."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]


class Unit(NamedTuple):
    """Pairs of some proteins with some others, all by number.

    Attributes:
        a: (r,) the proteins of the first column, ascending.
        b: (c,) the proteins of the second column, ascending.
        i: (m,) of each pair, the place of its first protein in ``a``.
        j: (m,) of each pair, the place of its second protein in ``b``; pairs ascend by (i, j).
        whole: whether the pairs are all r x c, so that ``i`` and ``j`` are those of a full block.
    """

    a: Rows
    b: Rows
    i: Rows
    j: Rows
    whole: bool


class Work(Protocol):
    """Units by number; the same number is always the same pairs, and no pair is in two units."""

    def __len__(self) -> int:
        """How many units."""
        ...

    def size(self, number: int) -> int:
        """Pairs of a unit."""
        ...

    def unit(self, number: int) -> Unit:
        """A unit's pairs."""
        ...
