"""Weighted metrics: scikit-learn's with sample_weight, on random, tied and one-sided pairs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn import metrics as sk

from esm2_amp.evaluation.metrics import binary_metrics
from esm2_amp.evaluation.weighted import METRICS, WeightedMetrics, WeightedRanking

Floats = NDArray[np.float64]
Rows = list[tuple[int, int, int]]
# label, probability in twelfths (ties), weight (0 to 3: as resampling gives them)
rows = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 12), st.integers(0, 3)), min_size=1, max_size=40)


def columns(found: Rows) -> tuple[NDArray[np.int64], Floats, Floats]:
    label, twelfths, weight = np.array(found).T
    return label, twelfths / 12, weight.astype(np.float64)


def by_sklearn(label: NDArray[np.int64], p: Floats, w: Floats, threshold: float) -> list[float]:
    if w.sum() == 0:
        return [np.nan] * len(METRICS)
    called = (p >= threshold).astype(int)
    both = 0 < (w * label).sum() < w.sum()
    bins = np.minimum((p * 10).astype(int), 9)
    ece = sum(abs((w * (label - p))[bins == k].sum()) for k in range(10)) / w.sum()
    some = {"sample_weight": w, "zero_division": 0}
    with np.errstate(all="ignore"):
        undecided = len(set(label[w > 0])) < 2 or len(set(called[w > 0])) < 2
        return [
            sk.roc_auc_score(label, p, sample_weight=w) if both else np.nan,
            sk.average_precision_score(label, p, sample_weight=w) if both else np.nan,
            0.0 if undecided else sk.matthews_corrcoef(label, called, sample_weight=w),
            sk.f1_score(label, called, **some),
            sk.precision_score(label, called, **some),
            sk.recall_score(label, called, **some),
            sk.accuracy_score(label, called, sample_weight=w),
            sk.brier_score_loss(label, p, sample_weight=w),
            ece,
        ]


@pytest.mark.filterwarnings("ignore")
@given(rows, st.sampled_from([0.0, 0.25, 0.5, 1.0]))
def test_every_weighted_metric_equals_sklearns(found: Rows, threshold: float) -> None:
    label, p, w = columns(found)
    np.testing.assert_allclose(
        WeightedMetrics(label, p, threshold)(w), by_sklearn(label, p, w, threshold), rtol=1e-9, atol=1e-12
    )


@pytest.mark.parametrize("ties", [False, True])
def test_many_pairs_with_fractional_weights_equal_sklearns(ties: bool) -> None:
    rng = np.random.default_rng(int(ties))
    p, w = rng.random(3000), rng.exponential(size=3000)
    p = np.round(p, 2) if ties else p
    label = (rng.random(3000) < p).astype(np.int64)
    np.testing.assert_allclose(WeightedMetrics(label, p, 0.5)(w), by_sklearn(label, p, w, 0.5), rtol=1e-9)


@pytest.mark.filterwarnings("error")
@given(rows)
def test_a_weight_is_a_repetition_and_weights_of_one_change_nothing(found: Rows) -> None:
    label, p, w = columns(found)
    often = w.astype(int)
    for weight, repeat in ((np.ones(w.size), np.ones(w.size, dtype=int)), (w, often)):
        if not repeat.any():
            continue
        expected = binary_metrics(np.repeat(label, repeat), np.repeat(p, repeat), 0.4)
        got = WeightedMetrics(label, p, 0.4)(weight)
        assert got == pytest.approx([np.nan if expected[k] is None else expected[k] for k in METRICS], nan_ok=True)


def test_a_score_of_any_scale_ranks_as_its_probabilities_do() -> None:
    rng = np.random.default_rng(1)
    label, score, w = rng.integers(0, 2, 200), rng.normal(0, 1000, 200), rng.integers(0, 3, 200).astype(float)
    probability = (np.argsort(np.argsort(score)) + 0.5) / 200
    np.testing.assert_allclose(WeightedRanking(label, score)(w), WeightedMetrics(label, probability, 0.5)(w)[:2])
