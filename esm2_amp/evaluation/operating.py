"""What a score is worth: how many true and false positives lie above it, and so the precision at any prevalence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import binomtest

from esm2_amp.errors import InputError
from esm2_amp.evaluation.metrics import checked

_LEVELS = 60
"""Thresholds at most; evenly spaced in the logarithm of the share of negatives above them."""
_KEYS = {"split", "positives", "negatives", "points"}


class Precision(NamedTuple):
    """An expected precision and its interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class OperatingCurve:
    """The ROC curve of labelled pairs at some thresholds, the highest first.

    Attributes:
        split: name of the pairs it was measured on.
        positives: how many there were.
        negatives: how many there were.
        thresholds: logits, falling.
        true: positives at or above each threshold.
        false: negatives at or above each threshold.
    """

    split: str
    positives: int
    negatives: int
    thresholds: tuple[float, ...]
    true: tuple[int, ...]
    false: tuple[int, ...]

    @property
    def recall(self) -> NDArray[np.float64]:
        """(k,) share of the positives at or above each threshold."""
        return np.array(self.true) / self.positives

    def precision(self, negatives_per_positive: float) -> list[Precision]:
        """Precision expected at each threshold where there are so many negatives for each positive.

        TPR / (TPR + r FPR), with r negatives for each positive. The interval joins the ends of both rates' 95 %
        intervals (Wilson 1927, doi 10.1080/01621459.1927.10502953), the low one of TPR with the high one of FPR and
        the other way round: it is wider than 95 %, and pairs that share proteins make it too narrow.
        """
        rates = zip(self.true, self.false, strict=True)
        return [self._precision(*counts, negatives_per_positive) for counts in rates]

    def _precision(self, true: int, false: int, ratio: float) -> Precision:
        hits, alarms = _rate(true, self.positives), _rate(false, self.negatives)
        pairs = ((hits[0], alarms[0]), (hits[1], alarms[2]), (hits[2], alarms[1]))
        return Precision(*(hit / (hit + ratio * alarm) if hit + alarm else 0.0 for hit, alarm in pairs))

    def to_dict(self) -> dict[str, Any]:
        """As it stands in a model card."""
        points = [list(point) for point in zip(self.thresholds, self.true, self.false, strict=True)]
        return {"split": self.split, "positives": self.positives, "negatives": self.negatives, "points": points}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], file: str | PathLike[str]) -> OperatingCurve:
        """The reverse of :meth:`to_dict`; ``file`` is for messages.

        Raises:
            InputError: not such a curve.
        """
        try:
            if set(values) != _KEYS:
                raise ValueError(f"its entries are {', '.join(sorted(values))}")
            thresholds, true, false = zip(*values["points"], strict=True)
            curve = cls(str(values["split"]), int(values["positives"]), int(values["negatives"]),
                        tuple(map(float, thresholds)), tuple(map(int, true)), tuple(map(int, false)))  # fmt: skip
            _check(curve)
        except (TypeError, ValueError, KeyError) as error:
            raise InputError(
                f"malformed operating curve ({error})", file=file, remedy="Take the card as it was written."
            ) from error
        return curve


def operating_curve(split: str, label: ArrayLike, logits: ArrayLike) -> OperatingCurve | None:
    """The curve of labelled pairs; None where one class is missing.

    Args:
        split: name of the pairs.
        label: (n,) 0 or 1.
        logits: (n,) finite.

    Raises:
        ValueError: as :func:`esm2_amp.evaluation.metrics.ranking_metrics`.
    """
    label, logits = checked(label, logits)
    positive, negative = (np.sort(logits[label == value])[::-1] for value in (1, 0))
    if not len(positive) or not len(negative):
        return None
    ranks = np.unique(np.geomspace(1, len(negative), _LEVELS).round().astype(np.int64))
    cuts = np.unique(negative[ranks - 1])[::-1]
    true, false = (np.searchsorted(-values, -cuts, side="right") for values in (positive, negative))
    return OperatingCurve(
        split, len(positive), len(negative), tuple(cuts.tolist()), tuple(true.tolist()), tuple(false.tolist())
    )


def _rate(count: int, of: int) -> tuple[float, float, float]:
    wilson = binomtest(count, of).proportion_ci(0.95, method="wilson")
    return count / of, float(wilson.low), float(wilson.high)


def _check(curve: OperatingCurve) -> None:
    if not np.isfinite(curve.thresholds).all() or not (np.diff(curve.thresholds) < 0).all():
        raise ValueError("the thresholds are not finite and falling")
    for name, counts, most in (("positives", curve.true, curve.positives), ("negatives", curve.false, curve.negatives)):
        if most < 1 or counts[0] < 0 or counts[-1] > most or (np.diff(counts) < 0).any():
            raise ValueError(f"the counts of {name} do not rise from 0 to {most} at most")
