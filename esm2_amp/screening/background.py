"""How each protein scores with all its partners: a histogram of the logits of every scored pair."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from esm2_amp.screening.work import Rows, Unit

BINS = 512
"""Bins of equal width, beside the two that take what lies outside; with int32 counts 2 kB a protein."""
_MARGIN = 0.25  # of a sample's range, added on either side: the best of all pairs lie above the best of a sample


def edges_around(logits: ArrayLike) -> tuple[float, float]:
    """Where the histograms begin and end, from the logits of a sample of pairs.

    Rounded outwards to a sixteenth of the range (as a power of two), so that a rounding error hardly ever moves them.
    What is not finite is passed over: the run that scores such a pair names it.
    """
    logits = np.asarray(logits)
    finite = logits[np.isfinite(logits)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    step = 2.0 ** math.floor(math.log2(max(high - low, 1e-3))) / 16
    margin = _MARGIN * (high - low) + step
    return math.floor((low - margin) / step) * step, math.ceil((high + margin) / step) * step


class Background:
    """Histograms of the logits of n proteins' scored pairs; a pair counts for both its proteins.

    Attributes:
        counts: (n, BINS + 2) int32; the first and the last bin take what lies below ``low`` and from ``high`` on.

    Args:
        n: proteins.
        low: where the bins begin.
        high: where they end.
    """

    def __init__(self, n: int, low: float, high: float) -> None:
        self.low, self.high = low, high
        self.counts = np.zeros((n, BINS + 2), np.int32)

    def bins(self, logits: NDArray[np.float32]) -> NDArray[np.int64]:
        """The bin (m,) of each logit (m,)."""
        # float32 throughout: the bin of a logit must be the same wherever it is asked for
        place = (logits - np.float32(self.low)) * np.float32(BINS / (self.high - self.low))
        place += np.float32(1)
        np.clip(place, 0, BINS + 1, out=place)
        return place.astype(np.int64)

    def add(self, unit: Unit, logits: NDArray[np.float32]) -> None:
        """Count the logits (m,) of a unit's pairs. A protein's pair with itself counts once."""
        if not len(logits):
            return
        bins = self.bins(logits)
        self._count(unit.a, unit.i, bins)
        if unit.a[-1] >= unit.b[0] and (other := unit.a[unit.i] != unit.b[unit.j]).sum() < len(bins):
            self._count(unit.b, unit.j[other], bins[other])
        else:
            self._count(unit.b, unit.j, bins)

    def _count(self, proteins: Rows, which: Rows, bins: NDArray[np.int64]) -> None:
        width = self.counts.shape[1]
        if len(proteins) * width <= 4 * len(bins):
            new = np.bincount(which * width + bins, minlength=len(proteins) * width)
            self.counts[proteins] += new.reshape(-1, width).astype(np.int32)
        else:  # few pairs of many proteins: slower by the pair, but without a table of all the bins
            np.add.at(self.counts.reshape(-1), proteins[which] * width + bins, 1)

    def cells(self) -> tuple[Rows, NDArray[np.int32]]:
        """Where the counts are not zero, as places in ``counts`` laid flat, ascending, and the counts there."""
        flat = self.counts.reshape(-1)
        cells = np.flatnonzero(flat)
        return cells, flat[cells]

    def add_cells(self, cells: Rows, counts: NDArray[np.int32]) -> None:
        """Add what another histogram's :meth:`cells` gave."""
        self.counts.reshape(-1)[cells] += counts

    def scored(self) -> Rows:
        """(n,) how many pairs of each protein are counted."""
        return self.counts.sum(axis=1, dtype=np.int64)

    def means(self) -> NDArray[np.float64]:
        """(n,) mean logit of each protein's pairs, exact to half a bin; NaN where there is none."""
        width = (self.high - self.low) / BINS
        centres = self.low + width * (np.arange(BINS + 2) - 0.5)
        total = self.scored()
        sums = np.array([row @ centres for row in self.counts])  # row by row: no second table as float64
        return np.divide(sums, total, out=np.full(len(total), np.nan), where=total > 0)


class Percentiles:
    """Where a score stands among all the scores of a protein.

    Args:
        background: of all scored pairs.
    """

    def __init__(self, background: Background) -> None:
        self._bins = background.bins
        self._upto = np.cumsum(background.counts, axis=1, dtype=np.int32)

    def __call__(self, numbers: Rows, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        """Share (m,) of the scored pairs of each protein (m,) that have a lower logit than this (m,).

        Of the pairs in the same bin, the one asked about among them, half are taken to be lower. NaN for a protein
        without a scored pair.
        """
        bins = self._bins(logits)
        upto, below = self._upto[numbers, bins], self._upto[numbers, np.maximum(bins - 1, 0)]
        below = np.where(bins > 0, below, 0)
        total = self._upto[numbers, -1].astype(np.float64)
        total[total == 0] = np.nan
        return ((upto.astype(np.float64) + below) / (2 * total)).astype(np.float32)
