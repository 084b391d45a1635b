"""Which pairs are worth keeping: above a threshold, among the best of a protein, or all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from esm2_amp.screening.work import Rows, Unit

Probability = Callable[[NDArray[np.float32]], NDArray[np.float64]]
"""Calibrated probabilities of logits; never falls as a logit rises."""
Logits = NDArray[np.float32]
Mask = NDArray[np.bool_]
_LOWEST = np.finfo(np.float32).min


@dataclass(frozen=True)
class Keep:
    """A pair is kept iff its probability reaches the threshold and it is among the best of either of its proteins.

    The best of a protein are ordered by (-logit, number of the partner), so that no tie is left to chance.

    Attributes:
        threshold: least probability; None for any.
        top: how many are the best of a protein; None for all.

    Raises:
        ValueError: a top below 1.
    """

    threshold: float | None
    top: int | None

    def __post_init__(self) -> None:
        if self.top is not None and self.top < 1:
            raise ValueError(f"top is {self.top}, expected at least 1")


class Sieve:
    """Lets through, of unit after unit, the pairs that can be in the result; what it holds back never is.

    It knows only the pairs it has seen, so it lets through more than :class:`Best` does in the end: of each unit no
    more than ``top`` for either protein, and none below the ``top`` best seen so far.

    Args:
        keep: what the result is.
        n: proteins.
        probability: of logits.
    """

    def __init__(self, keep: Keep, n: int, probability: Probability) -> None:
        self._keep, self._probability = keep, probability
        self._seen = np.full((n, keep.top), -np.inf, np.float32) if keep.top else None

    def __call__(self, unit: Unit, logits: Logits) -> tuple[Rows, NDArray[np.float32]]:
        """Places (k,) in the unit of the pairs to keep, ascending, and their probabilities (k,)."""
        places = (
            np.arange(len(logits))
            if self._seen is None or not len(logits)
            else np.flatnonzero(self._leading(unit, logits))
        )
        probability = self._probability(logits[places])
        if self._keep.threshold is not None:
            passed = probability >= self._keep.threshold
            places, probability = places[passed], probability[passed]
        return places, probability.astype(np.float32)

    def _leading(self, unit: Unit, logits: Logits) -> Mask:
        """Which pairs may be among the best of their first protein, or of their second."""
        other = logits
        if unit.a[-1] >= unit.b[0]:  # a protein's pair with itself is one of its pairs, not two
            other = np.where(unit.a[unit.i] == unit.b[unit.j], np.float32(-np.inf), logits)
        rows, columns = len(unit.a), len(unit.b)
        if rows * columns > 4 * len(logits):
            return self._sparse(unit.a, unit.i, logits) | self._sparse(unit.b, unit.j, other)
        if unit.whole:
            first, second = logits.reshape(rows, columns), other.reshape(rows, columns)
        else:
            first, second = (np.full((rows, columns), -np.inf, np.float32) for _ in range(2))
            first[unit.i, unit.j], second[unit.i, unit.j] = logits, other
        leading = self._dense(unit.a, first)
        leading |= self._dense(unit.b, np.ascontiguousarray(second.T)).T
        return leading.reshape(-1) if unit.whole else leading[unit.i, unit.j]

    def _dense(self, proteins: Rows, logits: Logits) -> Mask:
        """For a matrix of logits, a row a protein and a column a partner: which are among the best of their row."""
        top = self._keep.top or 0
        best = logits
        if logits.shape[1] > top:
            best = np.partition(logits, logits.shape[1] - top, axis=1)[:, -top:]
        least = best.min(axis=1) if best.shape[1] == top else _LOWEST
        floor = np.maximum(self._update(proteins, best), np.maximum(least, _LOWEST))  # no cell without a pair passes
        leading: Mask = logits >= floor[:, None]
        for row in np.flatnonzero(leading.sum(axis=1) > top):  # ties at the last place
            leading[row] = False
            leading[row, np.argsort(-logits[row], kind="stable")[:top]] = True
        return leading

    def _sparse(self, proteins: Rows, which: Rows, logits: Logits) -> Mask:
        """The same for pairs (m,) of the proteins ``which`` (m,), each protein's partners ascending."""
        top = self._keep.top or 0
        order = np.lexsort((-logits, which))
        place = places_in_runs(which[order])
        order, place = order[place < top], place[place < top]
        best = np.full((len(proteins), top), -np.inf, np.float32)
        best[which[order], place] = logits[order]
        floor = self._update(proteins, best)
        leading = np.zeros(len(logits), bool)
        leading[order] = logits[order] >= floor[which[order]]
        return leading

    def _update(self, proteins: Rows, best: Logits) -> Logits:
        """Take in the best of a unit (r, k); the last of the ``top`` best seen before it, of each protein (r,)."""
        if self._seen is None:
            raise RuntimeError("nothing is ranked")
        before = self._seen[proteins]
        both = np.concatenate([before, best], axis=1)
        self._seen[proteins] = np.partition(both, best.shape[1], axis=1)[:, best.shape[1] :]
        return before.min(axis=1)


class Best:
    """The ``top`` best pairs of each protein over a whole run, exactly.

    Args:
        n: proteins.
        top: how many.
    """

    _BATCH = 1 << 20

    def __init__(self, n: int, top: int) -> None:
        self._top = top
        self._last_logit, self._last_partner = np.full(n, -np.inf, np.float32), np.full(n, n, np.int64)
        self._ranked = (np.empty(0, np.int64), np.empty(0, np.float32), np.empty(0, np.int64))
        self._waiting: list[tuple[Rows, Logits, Rows]] = []

    def add(self, a: Rows, b: Rows, logits: Logits) -> None:
        """Take in pairs (m,)."""
        other = a != b
        for protein, partner, logit in ((a, b, logits), (b[other], a[other], logits[other])):
            good = self._reaches(protein, partner, logit)
            self._waiting.append((protein[good], logit[good], partner[good]))
        if sum(len(protein) for protein, _, _ in self._waiting) > self._BATCH:
            self._rank()

    def holds(self, a: Rows, b: Rows, logits: Logits) -> Mask:
        """Which pairs (m,), once all are taken in, are among the best of either of their proteins."""
        if self._waiting:
            self._rank()
        return self._reaches(a, b, logits) | self._reaches(b, a, logits)

    def _reaches(self, protein: Rows, partner: Rows, logit: Logits) -> Mask:
        last = self._last_logit[protein]
        return (logit > last) | ((logit == last) & (partner <= self._last_partner[protein]))

    def _rank(self) -> None:
        columns = zip(self._ranked, *self._waiting, strict=True)
        protein, logit, partner = (np.concatenate(column) for column in columns)
        self._waiting.clear()
        order = np.lexsort((partner, -logit, protein))
        place = places_in_runs(protein[order])
        order, place = order[place < self._top], place[place < self._top]
        self._ranked = protein[order], logit[order], partner[order]
        last = order[place == self._top - 1]
        self._last_logit[protein[last]], self._last_partner[protein[last]] = logit[last], partner[last]


def places_in_runs(values: Rows) -> Rows:
    """Of sorted values (m,), the place (m,) of each among those equal to it: 0, 1, ..."""
    begins = np.flatnonzero(np.diff(values, prepend=-1))
    lengths = np.diff(begins, append=len(values))
    return np.arange(len(values)) - np.repeat(begins, lengths)
