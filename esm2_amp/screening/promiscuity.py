"""What the histograms of a screening say of it as a whole, and of proteins that score high with everyone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from esm2_amp.screening.background import BINS, Background


def above(background: Background, logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """How many scored pairs reach each logit (k,), interpolated within a bin.

    Every pair counts for both its proteins, so this is half the sum over the proteins; a protein's pair with itself
    counts as half a pair.
    """
    counts = background.counts.sum(axis=0, dtype=np.int64)
    borders = np.linspace(background.low, background.high, BINS + 1)
    upto = np.cumsum(counts)[:-1]
    return np.asarray((counts.sum() - np.interp(logits, borders, upto)) / 2)


def promiscuity(background: Background, share: float) -> NDArray[np.float64]:
    """(n,) how often a protein is among the highest scores, relative to the average protein.

    The share of its own pairs that are among the ``share`` highest of all scored pairs (to a bin), divided by that
    share of all: 1 for a protein like the others. NaN without a scored pair.
    """
    total = background.counts.sum(axis=0, dtype=np.int64)
    from_top = np.cumsum(total[::-1])[::-1]
    first = int(np.argmax(from_top <= max(share * from_top[0], total[total > 0][-1])))
    high, scored = background.counts[:, first:].sum(axis=1), background.scored()
    expected = from_top[first] / from_top[0]
    return np.divide(high, scored * expected, out=np.full(len(scored), np.nan), where=scored > 0)
