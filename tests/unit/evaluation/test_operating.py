"""Operating curves: counts against brute force, precision against Bayes' rule, and a card that cannot be trusted."""

from __future__ import annotations

import json

import numpy as np
import pytest

from esm2_amp.errors import InputError
from esm2_amp.evaluation.operating import OperatingCurve, operating_curve


def drawn(seed: int = 0, positives: int = 300, negatives: int = 900) -> tuple[np.ndarray, np.ndarray]:
    """Labels and logits, with ties."""
    rng = np.random.default_rng(seed)
    label = np.repeat([1, 0], (positives, negatives))
    return label, np.round(rng.normal(label * 1.5, 1.0), 1)


def curve_of(label: np.ndarray, logits: np.ndarray) -> OperatingCurve:
    curve = operating_curve("val", label, logits)
    assert curve is not None
    return curve


def test_the_counts_are_those_of_brute_force() -> None:
    label, logits = drawn()
    curve = curve_of(label, logits)
    for threshold, true, false in zip(curve.thresholds, curve.true, curve.false, strict=True):
        above = logits >= threshold
        assert (true, false) == ((above & (label == 1)).sum(), (above & (label == 0)).sum())
    assert list(curve.thresholds) == sorted(set(curve.thresholds), reverse=True)
    assert curve.false[-1] == curve.negatives  # down to the lowest negative


def test_precision_at_the_prevalence_of_the_pairs_is_the_observed_one() -> None:
    label, logits = drawn()
    curve = curve_of(label, logits)
    for found, true, false in zip(curve.precision(3.0), curve.true, curve.false, strict=True):
        assert found.value == pytest.approx(true / (true + false))
        assert found.low <= found.value <= found.high


def test_rarer_positives_lower_the_precision_to_what_a_weighted_count_gives() -> None:
    label, logits = drawn()
    curve = curve_of(label, logits)
    weight = np.where(label == 1, 1.0, 100 * 300 / 900)
    for found, threshold in zip(curve.precision(100.0), curve.thresholds, strict=True):
        above = logits >= threshold
        assert found.value == pytest.approx(weight[above & (label == 1)].sum() / weight[above].sum())


def test_the_interval_covers_the_precision_of_many_more_pairs() -> None:
    truth = curve_of(*drawn(1, 30_000, 90_000))
    covered = []
    for seed in range(20):
        curve = curve_of(*drawn(seed + 2, 60, 180))
        place = len(curve.thresholds) // 2
        at = int(np.argmin(np.abs(np.array(truth.thresholds) - curve.thresholds[place])))
        interval = curve.precision(10.0)[place]
        covered.append(interval.low <= truth.precision(10.0)[at].value <= interval.high)
    assert np.mean(covered) >= 0.9


def test_one_class_has_no_curve() -> None:
    assert operating_curve("val", np.ones(5), np.arange(5.0)) is None


def test_a_card_keeps_it_whole() -> None:
    curve = curve_of(*drawn())
    assert OperatingCurve.from_dict(json.loads(json.dumps(curve.to_dict())), "card.json") == curve


@pytest.mark.parametrize(
    "damage",
    [
        {"points": []},
        {"points": [[0.0, 1]]},
        {"points": [[0.0, 1, 1], [1.0, 2, 2]]},
        {"points": [[1.0, 5, 1], [0.0, 2, 2]]},
        {"points": [[1.0, 1, 99_999]]},
        {"points": [[float("nan"), 1, 1]]},
        {"points": "x"},
        {"positives": 0},
        {"extra": 1},
    ],
    ids=str,
)
def test_a_damaged_curve_is_refused_by_name(damage: dict[str, object]) -> None:
    values = {"split": "val", "positives": 10, "negatives": 10, "points": [[1.0, 1, 1]], **damage}
    with pytest.raises(InputError, match=r"card\.json.*malformed operating curve"):
        OperatingCurve.from_dict(values, "card.json")
