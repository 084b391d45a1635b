"""How many of the full model's best pairs were proposed, judged by random pairs that the student never learnt from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from esm2_amp.errors import InputError

_CONFIDENCE = 0.95


class Recall(NamedTuple):
    """Of the full model's best pairs, the part that was proposed.

    Attributes:
        share: best pairs over all pairs, such as 0.001.
        cut: the full model's logit that this share of all pairs reaches, as the random pairs have it.
        judged: pairs held out that reach it.
        found: of these, proposed.
        low: lower end of the 95 % interval of found / judged (Clopper and Pearson 1934), 0 where none was judged.
        high: upper end, 1 where none was judged.
    """

    share: float
    cut: float
    judged: int
    found: int
    low: float
    high: float

    @property
    def recall(self) -> float | None:
        """The part found; None where none was judged."""
        return self.found / self.judged if self.judged else None


def held_out(count: int, share: float, seed: int) -> NDArray[np.bool_]:
    """(count,) which of the random pairs judge; the others teach.

    Raises:
        InputError: the share leaves nothing to teach or to judge with.
    """
    judges = round(count * share)
    if not 0 < judges < count:
        raise InputError(
            f"of {count:,} random pairs, {judges:,} are held out to estimate recall", remedy="Sample more pairs."
        )
    chosen = np.zeros(count, dtype=bool)
    chosen[np.random.default_rng(seed).permutation(count)[:judges]] = True
    return chosen


def estimated(
    logits: NDArray[np.float32], judges: NDArray[np.bool_], proposed: NDArray[np.bool_], shares: Sequence[float]
) -> list[Recall]:
    """Recall for several shares of best pairs.

    Args:
        logits: (m,) of the full model for the random pairs.
        judges: (m,) which of them the student did not learn from.
        proposed: (m,) which of them it proposed.
        shares: of all pairs, largest logits first.
    """
    found = []
    for share in shares:
        cut = float(np.quantile(logits, 1 - share, method="higher"))
        best = judges & (logits >= cut)
        judged, hits = int(best.sum()), int((best & proposed).sum())
        low, high = binomtest(hits, judged).proportion_ci(_CONFIDENCE) if judged else (0.0, 1.0)
        found.append(Recall(share, cut, judged, hits, float(low), float(high)))
    return found
