"""What a sweep can aim at, and in which direction."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, log_loss, matthews_corrcoef, roc_auc_score

from esm2_amp.data.folds import stratified_folds
from esm2_amp.errors import InputError
from esm2_amp.evaluation.metrics import best_threshold

Score = Callable[[NDArray[np.integer], NDArray[np.float64]], float]


class Metric(NamedTuple):
    """A number of labels (n,) and probabilities (n,), and whether more of it is better."""

    name: str
    direction: Literal["maximize", "minimize"]
    score: Score

    @property
    def best(self) -> Callable[..., float]:
        """``max`` or ``min``."""
        return max if self.direction == "maximize" else min


def cross_fitted_mcc(label: NDArray[np.integer], probability: NDArray[np.float64]) -> float:
    """Matthews correlation at thresholds that were not chosen on the pairs they decide about.

    The pairs are dealt into two halves by label, always the same; each half is decided by the threshold with the best
    MCC in the other (:func:`~esm2_amp.evaluation.metrics.best_threshold`), and one MCC is formed of all decisions.

    Raises:
        InputError: a class with fewer than two pairs.
    """
    decided = np.empty(len(label), dtype=np.int64)
    for fold in stratified_folds(label, 2, seed=0):
        threshold = best_threshold(label[fold.train], probability[fold.train])
        decided[fold.held] = probability[fold.held] >= threshold
    return float(matthews_corrcoef(label, decided))


METRICS = {
    metric.name: metric
    for metric in (
        Metric("aupr", "maximize", lambda label, p: float(average_precision_score(label, p))),
        Metric("auroc", "maximize", lambda label, p: float(roc_auc_score(label, p))),
        Metric("mcc", "maximize", cross_fitted_mcc),
        Metric("loss", "minimize", lambda label, p: float(log_loss(label, p))),
    )
}


def metric_of(name: str) -> Metric:
    """The metric of that name.

    Raises:
        InputError: there is none.
    """
    if name not in METRICS:
        raise InputError(f"tune.metric is {name!r}", remedy=f"Use {', '.join(METRICS)}.")
    return METRICS[name]
