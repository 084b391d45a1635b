"""Re-weighted average precision and precision at the top, against repetition and random tie-breaking."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from esm2_amp.evaluation.prevalence import average_precision_at, shifted, top_precision

rows = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 9)), min_size=1, max_size=30)


@given(rows, st.integers(1, 30))
def test_reweighting_is_repeating_each_class(found: list[tuple[int, int]], ratio: int) -> None:
    label, score = np.array(found).T
    positives = int(label.sum())
    negatives = label.size - positives
    if not positives or not negatives:
        assert average_precision_at(label, score, ratio) is None
        return
    times = np.where(label == 1, negatives, ratio * positives)
    expected = average_precision_score(np.repeat(label, times), np.repeat(score, times))
    assert average_precision_at(label, score, ratio) == pytest.approx(expected)


def test_the_ratio_at_hand_changes_nothing_and_rarer_positives_lower_it() -> None:
    rng = np.random.default_rng(0)
    label = rng.integers(0, 2, 500)
    score = label + rng.normal(0, 1.5, 500)
    ratio = float((label == 0).sum() / label.sum())
    assert average_precision_at(label, score, ratio) == pytest.approx(average_precision_score(label, score))
    falling = [average_precision_at(label, score, r) or 0 for r in (1, 10, 100)]
    assert falling[0] > falling[1] > falling[2] > 0


@given(rows, st.sampled_from([0.01, 0.05, 0.1, 0.5, 1.0]))
def test_top_precision_is_the_mean_over_orders_of_ties(found: list[tuple[int, int]], share: float) -> None:
    label, score = np.array(found).T
    top = max(1, int(label.size * share + 0.5))
    rng = np.random.default_rng(0)
    means = []
    for _ in range(400):
        jitter = rng.permutation(label.size)
        means.append(label[np.lexsort((jitter, -score))[:top]].mean())
    error = np.std(means) / 20
    assert top_precision(label, score, share) == pytest.approx(np.mean(means), abs=5 * error + 1e-9)


def test_top_precision_by_hand() -> None:
    label, score = [1, 0, 1, 1, 0, 0], [0.9, 0.8, 0.5, 0.5, 0.5, 0.1]
    assert top_precision(label, score, 0.01) == 1  # at least one pair
    assert top_precision(label, score, 1 / 3) == 1 / 2
    assert top_precision(label, score, 0.5) == pytest.approx((1 + 2 / 3) / 3)  # one of three that tie
    assert top_precision(label, score, 1) == 1 / 2
    assert top_precision([1, 0], [2.0, 1.0], 0.75) == 1 / 2  # 1.5 is rounded up


@pytest.mark.parametrize("share", [0, -0.1, 1.5, np.nan])
def test_a_wrong_share_or_ratio_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match="share is"):
        top_precision([1, 0], [0.1, 0.2], share)
    with pytest.raises(ValueError, match="per positive"):
        average_precision_at([1, 0], [0.1, 0.2], share if share != 1.5 else np.inf)


def test_shifted_probabilities_are_calibrated_where_positives_are_rarer() -> None:
    rng = np.random.default_rng(0)
    label = np.repeat([1, 0], (2_000, 200_000))
    logit = rng.normal(np.where(label == 1, 1.0, -1.0), 1.0)  # equal variances: log odds at 1:1 are 2 x logit
    at_half = 1 / (1 + np.exp(-2 * logit))
    found = shifted(at_half, 0.5, 100.0)
    assert found.mean() == pytest.approx(label.mean(), rel=0.05)
    sure = found > 0.2
    assert found[sure].mean() == pytest.approx(label[sure].mean(), abs=0.05)


def test_an_unchanged_prevalence_changes_nothing_and_order_never_changes() -> None:
    p = np.linspace(0, 1, 101)
    np.testing.assert_allclose(shifted(p, 0.2, 4.0), p, atol=1e-15)
    assert (np.diff(shifted(p, 0.5, 1000.0)) > 0).all()


@pytest.mark.parametrize(("share", "ratio"), [(0.0, 1.0), (1.0, 1.0), (0.5, 0.0), (0.5, np.inf)])
def test_impossible_prevalences_are_refused(share: float, ratio: float) -> None:
    with pytest.raises(ValueError, match="expected"):
        shifted([0.5], share, ratio)
