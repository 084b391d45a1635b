import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve
from sklearn.metrics import matthews_corrcoef

from esm2_amp.evaluation.metrics import (
    best_threshold,
    binary_metrics,
    expected_calibration_error,
    pair_classes,
    ranking_metrics,
)

# few distinct values: ties in the probabilities and in the MCC are what goes wrong
scored_pairs = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 12).map(lambda k: k / 12)), min_size=1, max_size=40)


def unzip(rows):
    label, probability = zip(*rows, strict=True)
    return np.array(label), np.array(probability)


def test_ranking_equals_counting_pairs_of_pairs():
    rng = np.random.default_rng(1)
    label, probability = rng.integers(0, 2, 80), rng.integers(0, 20, 80) / 20
    positive, negative = probability[label == 1], probability[label == 0]
    wins = (positive[:, None] > negative).mean() + (positive[:, None] == negative).mean() / 2
    ranks = [(probability >= p) for p in np.unique(probability)[::-1]]
    recall = np.array([0.0] + [label[r].sum() / label.sum() for r in ranks])
    precision = np.array([label[r].mean() for r in ranks])
    found = ranking_metrics(label, probability)
    assert found["auroc"] == pytest.approx(wins)
    assert found["aupr"] == pytest.approx((np.diff(recall) * precision).sum())


def test_decisions_by_hand():
    found = binary_metrics([1, 1, 1, 0, 0, 0, 0, 0], [0.9, 0.5, 0.4, 0.6, 0.1, 0.1, 0.2, 0.2], 0.5)
    # at 0.5: 2 true and 1 false positive, 4 true and 1 false negative; 0.5 itself is positive
    assert (found["n"], found["n_positive"], found["threshold"]) == (8, 3, 0.5)
    assert found["precision"] == pytest.approx(2 / 3)
    assert found["recall"] == pytest.approx(2 / 3)
    assert found["f1"] == pytest.approx(2 / 3)
    assert found["accuracy"] == pytest.approx(6 / 8)
    assert found["mcc"] == pytest.approx((2 * 4 - 1 * 1) / np.sqrt(3 * 3 * 5 * 5))
    assert found["brier"] == pytest.approx((0.01 + 0.25 + 0.36 + 0.36 + 0.01 + 0.01 + 0.04 + 0.04) / 8)


@pytest.mark.parametrize("only", [0, 1])
def test_one_class_gives_null_not_nan(only):
    found = binary_metrics([only] * 4, [0.1, 0.2, 0.7, 0.8], 0.5)
    assert found["auroc"] is None
    assert found["aupr"] is None
    json.dumps(found, allow_nan=False)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("threshold", [0.0, 1.0])
def test_all_or_nothing_predicted_gives_zero_and_no_warning(threshold):
    found = binary_metrics([0, 1, 0], [0.1, 0.2, 0.3], threshold)
    assert found["mcc"] == 0
    if threshold == 1.0:
        assert (found["precision"], found["recall"], found["f1"]) == (0, 0, 0)


@pytest.mark.filterwarnings("error")
@given(scored_pairs)
def test_every_metric_survives_json(rows):
    json.dumps(binary_metrics(*unzip(rows), 0.5), allow_nan=False)


def test_calibration_error_equals_sklearns_curve():
    rng = np.random.default_rng(2)
    probability = np.concatenate([rng.random(500), [0.0, 1.0]])
    label = (rng.random(502) < probability**2).astype(int)
    observed, predicted = calibration_curve(label, probability, n_bins=10)
    weight = np.histogram(probability, bins=10, range=(0, 1))[0] / 502
    assert expected_calibration_error(label, probability) == pytest.approx((weight * abs(observed - predicted)).sum())


def test_calibration_error_of_honest_and_of_overconfident_probabilities():
    label = np.array([1, 0, 0, 0] * 50)
    assert expected_calibration_error(label, np.full(200, 0.25)) == pytest.approx(0)
    assert expected_calibration_error(label, np.full(200, 1.0)) == pytest.approx(0.75)


@given(scored_pairs)
def test_best_threshold_equals_brute_force(rows):
    label, probability = unzip(rows)
    found = best_threshold(label, probability)
    distinct = np.unique(probability)
    if len(set(label.tolist())) == 1 or len(distinct) == 1:
        assert found == 0.5
        return
    middles = (distinct[:-1] + distinct[1:]) / 2
    scores = np.array([matthews_corrcoef(label, probability >= t) for t in middles])
    equal = middles[scores >= scores.max() - 1e-9]
    assert found == equal[np.argmin(abs(equal - 0.5))]


@given(scored_pairs)
def test_best_threshold_does_not_depend_on_the_order_of_the_pairs(rows):
    assert best_threshold(*unzip(rows)) == best_threshold(*unzip(sorted(rows)))


def test_best_threshold_parts_adjacent_numbers():
    low = 0.3
    high = np.nextafter(low, 1)
    found = best_threshold([0, 1], [low, high])
    assert binary_metrics([0, 1], [low, high], found)["mcc"] == 1


def test_best_threshold_does_not_overflow_on_a_million_pairs():
    label = np.arange(1_000_000) % 2
    assert best_threshold(label, 0.2 + 0.4 * label) == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("label", "probability", "message"),
    [
        ([0, 1], [0.1, np.nan], "1 of 2 scores"),
        ([0, 1], [0.1, np.inf], "not finite"),
        ([0, 1, 1], [0.1, 0.2], "shape"),
        ([[0, 1]], [[0.1, 0.2]], "shape"),
        ([0, 2], [0.1, 0.2], "not 2"),
        ([0, 1], [-3.0, 4.0], r"in \[-3"),
        ([], [], "no pairs"),
    ],
)
@pytest.mark.parametrize("measure", [lambda y, p: binary_metrics(y, p, 0.5), best_threshold])
def test_nonsense_is_refused(label, probability, message, measure):
    with pytest.raises(ValueError, match=message):
        measure(label, probability)


def test_pair_classes_count_the_proteins_seen_in_training():
    assert pair_classes("aaxx", "bxay", {"a", "b"}).tolist() == ["C1", "C2", "C2", "C3"]
    assert pair_classes([], [], {"a"}).tolist() == []
    with pytest.raises(ValueError, match="shorter|longer"):
        pair_classes("ab", "a", {"a"})
