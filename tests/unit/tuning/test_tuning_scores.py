"""What a sweep aims at: the direction, and an MCC whose threshold is not its own."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, log_loss, matthews_corrcoef, roc_auc_score

from esm2_amp.errors import InputError
from esm2_amp.evaluation.metrics import best_threshold
from esm2_amp.tuning.scores import METRICS, cross_fitted_mcc, metric_of


def draw(n: int, signal: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    label = rng.permutation(np.repeat([0, 1], n // 2))
    return label, 1 / (1 + np.exp(-rng.normal(signal * (label - 0.5), 1)))


@pytest.mark.parametrize("name", METRICS)
def test_the_direction_prefers_the_better_prediction(name: str) -> None:
    metric = metric_of(name)
    good, bad = (metric.score(*draw(400, signal)) for signal in (3.0, 0.5))
    assert metric.best(good, bad) == good
    assert (metric.direction == "minimize") == (name == "loss")


def test_scores_are_those_of_scikit_learn() -> None:
    label, p = draw(200, 1.0)
    assert METRICS["aupr"].score(label, p) == average_precision_score(label, p)
    assert METRICS["auroc"].score(label, p) == roc_auc_score(label, p)
    assert METRICS["loss"].score(label, p) == log_loss(label, p)


def test_mcc_does_not_profit_from_its_own_threshold() -> None:
    """On noise the best threshold of the pairs themselves always finds something; another half's finds nothing."""
    own, other = [], []
    for seed in range(200):
        label, p = draw(40, 0.0, seed)
        own.append(matthews_corrcoef(label, p >= best_threshold(label, p)))
        other.append(cross_fitted_mcc(label, p))
    assert np.mean(own) > 0.2
    assert abs(np.mean(other)) < 0.05


def test_mcc_finds_the_threshold_of_a_shifted_scale() -> None:
    label, p = draw(400, 6.0)
    assert cross_fitted_mcc(label, p / 100) > 0.95  # at 0.5 every pair would be negative


def test_impossible_scores_are_refused() -> None:
    with pytest.raises(InputError, match="'accuracy'"):
        metric_of("accuracy")
    with pytest.raises(InputError, match="1 pair with label 1"):
        cross_fitted_mcc(np.array([0, 0, 1]), np.array([0.1, 0.2, 0.3]))
