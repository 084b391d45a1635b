"""The k best of many scored tuples of rows, kept as they are found, in memory that does not grow with their number."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from esm2_amp.neighbours.compiled import compiled

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Indices = NDArray[np.int64]
Masks = NDArray[np.bool_]


class Best(NamedTuple):
    """A binary heap whose root is the worst tuple kept.

    Of two tuples the one with the larger score is better; of equal scores the one with the smaller rows, compared from
    the first row on, so what is kept does not depend on the order in which tuples are found.

    Attributes:
        score: (k,) scores; those from ``size[0]`` on are not filled.
        rows: (k, 3) rows of each tuple; a pair leaves the last one at 0.
        size: (1,) how many are kept.
    """

    score: Doubles
    rows: Indices
    size: Indices

    def ranked(self) -> tuple[Indices, Doubles]:
        """(found, 3) rows and (found,) scores of what was kept, best first."""
        size = int(self.size[0])
        order = np.lexsort((*self.rows[:size].T[::-1], -self.score[:size]))
        return self.rows[:size][order], self.score[:size][order]


def new_best(k: int) -> Best:
    """An empty heap for k tuples."""
    return Best(np.full(k, -np.inf), np.zeros((k, 3), np.int64), np.zeros(1, np.int64))


@compiled
def bound(best: Best) -> float:
    """The score below which nothing can be kept any more; -inf while there is room."""
    return best.score[0] if best.size[0] == best.score.size else -np.inf


@compiled
def _worse(best: Best, i: int, score: float, x: int, y: int, z: int) -> bool:
    """Whether tuple i of the heap is worse than the given one."""
    if best.score[i] != score:
        return best.score[i] < score
    if best.rows[i, 0] != x:
        return best.rows[i, 0] > x
    if best.rows[i, 1] != y:
        return best.rows[i, 1] > y
    return best.rows[i, 2] > z


@compiled
def _copy(best: Best, source: int, target: int) -> None:
    best.score[target] = best.score[source]
    for column in range(3):
        best.rows[target, column] = best.rows[source, column]


@compiled
def _place(best: Best, i: int, score: float, x: int, y: int, z: int) -> None:
    best.score[i] = score
    best.rows[i, 0], best.rows[i, 1], best.rows[i, 2] = x, y, z


@compiled
def _rise(best: Best, score: float, x: int, y: int, z: int) -> None:
    """Add a tuple at the end and move it towards the root."""
    i = best.size[0]
    best.size[0] += 1
    while i > 0 and not _worse(best, (i - 1) // 2, score, x, y, z):
        _copy(best, (i - 1) // 2, i)
        i = (i - 1) // 2
    _place(best, i, score, x, y, z)


@compiled
def _sink(best: Best, score: float, x: int, y: int, z: int) -> None:
    """Put a tuple in the place of the root and move it towards the leaves."""
    i, size = 0, best.size[0]
    while 2 * i + 1 < size:
        child, other = 2 * i + 1, 2 * i + 2
        if other < size:
            x1, y1, z1 = best.rows[child, 0], best.rows[child, 1], best.rows[child, 2]
            if _worse(best, other, best.score[child], x1, y1, z1):
                child = other
        if not _worse(best, child, score, x, y, z):
            break
        _copy(best, child, i)
        i = child
    _place(best, i, score, x, y, z)


@compiled
def offer(best: Best, score: float, x: int, y: int, z: int) -> None:
    """Keep a tuple (x, y, z) if it is among the k best so far. Each tuple may be offered once only."""
    if best.size[0] < best.score.size:
        _rise(best, score, x, y, z)
    elif _worse(best, 0, score, x, y, z):
        _sink(best, score, x, y, z)
