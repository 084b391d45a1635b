"""The metrics of the same pairs under many weights: sorted once, then O(n) for each set of weights."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from esm2_amp.evaluation.metrics import CALIBRATION_BINS, calibration_bins, checked, checked_probability

RANKING = ("auroc", "aupr")
METRICS = (*RANKING, "mcc", "f1", "precision", "recall", "accuracy", "brier", "ece")

Floats = NDArray[np.float64]


class WeightedRanking:
    """AUROC and average precision of scores of any scale, as a function of the pairs' weights.

    Equal scores are one step of the curve, as in scikit-learn with ``sample_weight``.

    Args:
        label: (n,) 0 or 1.
        score: (n,) finite.

    Raises:
        ValueError: as :func:`esm2_amp.evaluation.metrics.ranking_metrics`.
    """

    def __init__(self, label: ArrayLike, score: ArrayLike) -> None:
        label, score = checked(label, score)
        self.order = np.argsort(-score, kind="stable")
        self.hit = label[self.order].astype(np.float64)
        score = score[self.order]
        starts = np.flatnonzero(np.concatenate([[True], score[1:] != score[:-1]]))
        self._starts = None if starts.size == score.size else starts

    def __call__(self, weight: Floats) -> Floats:
        """(2,) AUROC and AUPR of the pairs with ``weight`` (n,) >= 0; NaN unless both classes have some weight."""
        weight = weight[self.order]
        return self.of_sorted(weight, weight * self.hit)

    def of_sorted(self, weight: Floats, hits: Floats) -> Floats:
        """The same of weights, and of those of the positives, sorted already by falling score."""
        if self._starts is not None:
            weight, hits = np.add.reduceat(weight, self._starts), np.add.reduceat(hits, self._starts)
        called, true = np.cumsum(weight), np.cumsum(hits)
        positives, negatives = true[-1], called[-1] - true[-1]
        if positives == 0 or negatives == 0:
            return np.full(len(RANKING), np.nan)
        area = (weight - hits) @ (true - hits / 2) / (positives * negatives)
        # before the first weight both are 0: no step, whatever the precision
        precision = true / np.maximum(called, np.finfo(np.float64).tiny)
        return np.array([area, hits @ precision / positives])


class WeightedMetrics:
    """All of :data:`METRICS` of probabilities, as a function of the pairs' weights.

    Each equals that of :func:`esm2_amp.evaluation.metrics.binary_metrics` on pairs repeated as often as their weight
    says.

    Args:
        label: (n,) 0 or 1.
        probability: (n,) P(positive), in [0, 1].
        threshold: ``probability >= threshold`` is called positive.

    Raises:
        ValueError: as :func:`esm2_amp.evaluation.metrics.binary_metrics`.
    """

    def __init__(self, label: ArrayLike, probability: ArrayLike, threshold: float) -> None:
        label, probability = checked_probability(label, probability)
        self._ranking = WeightedRanking(label, probability)
        probability = probability[self._ranking.order]
        self._called = int(np.count_nonzero(probability >= threshold))
        self._surplus = self._ranking.hit - probability
        self._squared = self._surplus**2
        self._bins = calibration_bins(probability, CALIBRATION_BINS)

    def __call__(self, weight: Floats) -> Floats:
        """(9,) metrics of the pairs with ``weight`` (n,) >= 0; NaN where undefined, all of them without any weight."""
        weight = weight[self._ranking.order]
        total = weight.sum()
        if total == 0:
            return np.full(len(METRICS), np.nan)
        hits = weight * self._ranking.hit
        surplus = np.bincount(self._bins, weights=weight * self._surplus)
        decisions = _decisions(
            true=hits[: self._called].sum(), called=weight[: self._called].sum(), positives=hits.sum(), total=total
        )
        calibration = [weight @ self._squared / total, np.abs(surplus).sum() / total]
        return np.concatenate([self._ranking.of_sorted(weight, hits), decisions, calibration])


def _decisions(*, true: float, called: float, positives: float, total: float) -> list[float]:
    """MCC, F1, precision, recall and accuracy from weights; 0 where a denominator is 0, as in scikit-learn."""
    spread = np.sqrt(called) * np.sqrt(total - called) * np.sqrt(positives) * np.sqrt(total - positives)
    return [
        (total * true - positives * called) / spread if spread else 0.0,
        2 * true / (called + positives) if called + positives else 0.0,
        true / called if called else 0.0,
        true / positives if positives else 0.0,
        (total - called - positives + 2 * true) / total,
    ]
