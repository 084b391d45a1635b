"""Calibration: planted numbers come back, probabilities become honest, and no two pairs are turned round."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import minimize, minimize_scalar
from sklearn.isotonic import IsotonicRegression

from esm2_amp.errors import InputError
from esm2_amp.evaluation.calibration import METHODS, MOST_KNOTS, Calibration, fit_calibration, reliability_bins
from esm2_amp.evaluation.metrics import calibration_metrics, expected_calibration_error, ranking_metrics

Floats = NDArray[np.float64]
FITTED = tuple(method for method in METHODS if method != "none")
STRAIGHT = tuple(method for method in METHODS if method != "isotonic")


def planted(slope: float, intercept: float, n: int = 20_000, seed: int = 0) -> tuple[Floats, NDArray[np.int64]]:
    """Logits, and labels that are 1 with probability sigmoid(slope * logit + intercept)."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0.3, 2, n)
    return logits, (rng.random(n) < 1 / (1 + np.exp(-(slope * logits + intercept)))).astype(np.int64)


def cross_entropy(slope: float, intercept: float, logits: Floats, label: NDArray[np.int64]) -> float:
    """Mean cross-entropy with Platt's targets, as his paper writes it."""
    n1, n0 = int(label.sum()), int((1 - label).sum())
    target = np.where(label == 1, (n1 + 1) / (n1 + 2), 1 / (n0 + 2))
    scaled = slope * logits + intercept
    return float(np.mean(target * np.logaddexp(0, -scaled) + (1 - target) * np.logaddexp(0, scaled)))


@pytest.mark.parametrize(("slope", "intercept"), [(0.25, 0.0), (1.0, -0.7), (2.5, 1.5)])
def test_planted_numbers_come_back(slope: float, intercept: float) -> None:
    logits, label = planted(slope, intercept)
    found = fit_calibration("platt", logits, label).calibration
    spread = np.exp(-np.abs(slope * logits + intercept))
    weight = spread / (1 + spread) ** 2
    information = np.array([[(weight * logits**2).sum(), (weight * logits).sum()], [0, weight.sum()]])
    information[1, 0] = information[0, 1]
    errors = np.sqrt(np.diag(np.linalg.inv(information)))  # of the best unbiased estimate
    assert abs(found.slope - slope) < 4 * errors[0]
    assert abs(found.intercept - intercept) < 4 * errors[1]
    if intercept == 0:
        assert fit_calibration("temperature", logits, label).calibration.slope == pytest.approx(slope, abs=0.02)


@pytest.mark.parametrize("n", [20, 200])
def test_both_methods_find_the_least_cross_entropy(n: int) -> None:
    logits, label = planted(0.6, 0.4, n)
    platt = fit_calibration("platt", logits, label).calibration
    best = minimize(lambda ab: cross_entropy(*ab, logits, label), [1.0, 0.0], method="BFGS", options={"gtol": 1e-9})
    assert (platt.slope, platt.intercept) == pytest.approx(tuple(best.x), abs=1e-5)
    temperature = fit_calibration("temperature", logits, label).calibration
    one = minimize_scalar(lambda a: cross_entropy(a, 0, logits, label))
    assert temperature.slope == pytest.approx(one.x, abs=1e-5)
    assert temperature.intercept == 0


def bent(low: float, high: float, intercept: float, n: int, seed: int = 0) -> tuple[Floats, NDArray[np.int64]]:
    """Logits, and labels as beta calibration has them: odds e^c s^low / (1 - s)^high (Kull et al. 2017, equation 3)."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, n)
    score = 1 / (1 + np.exp(-logits))
    odds = np.exp(intercept) * score**low / (1 - score) ** high
    return logits, (rng.random(n) < odds / (1 + odds)).astype(np.int64)


@pytest.mark.parametrize(("low", "high", "intercept"), [(2.0, 0.3, 0.1), (0.4, 1.5, -0.5), (1.0, 1.0, 0.0)])
def test_beta_finds_both_slopes(low: float, high: float, intercept: float) -> None:
    logits, label = bent(low, high, intercept, 200_000)
    found = fit_calibration("beta", logits, label).calibration
    assert (found.slope_low, found.slope_high, found.intercept) == pytest.approx((low, high, intercept), abs=0.06)
    truth = 1 / (1 + 1 / (np.exp(intercept) * (1 / (1 + np.exp(-logits))) ** low * (1 + np.exp(logits)) ** high))
    assert np.abs(found.apply(logits) - truth).max() < 0.01


def test_beta_with_equal_slopes_is_platts() -> None:
    logits = np.linspace(-30, 30, 101)
    expected = Calibration("platt", 0.7, -0.4).apply(logits)
    np.testing.assert_allclose(Calibration("beta", 1.0, -0.4, 0.7, 0.7).apply(logits), expected, rtol=1e-12)


def test_beta_finds_the_least_cross_entropy() -> None:
    logits, label = bent(1.5, 0.4, 0.3, 300)
    target = np.where(label == 1, (label.sum() + 1) / (label.sum() + 2), 1 / ((1 - label).sum() + 2))

    def entropy(numbers: Floats) -> float:
        x = -numbers[0] * np.logaddexp(0, -logits) + numbers[1] * np.logaddexp(0, logits) + numbers[2]
        return float(np.mean(target * np.logaddexp(0, -x) + (1 - target) * np.logaddexp(0, x)))

    found = fit_calibration("beta", logits, label).calibration
    best = minimize(entropy, [1.0, 1.0, 0.0], method="BFGS", options={"gtol": 1e-8})
    assert (found.slope_low, found.slope_high, found.intercept) == pytest.approx(tuple(best.x), abs=1e-3)


def test_beta_keeps_the_order_where_the_best_curve_would_fall() -> None:
    """More positives up to 0 and fewer beyond: the slope of high logits is held above 0."""
    rng = np.random.default_rng(0)
    logits = rng.uniform(-4, 4, 5000)
    label = (rng.random(5000) < np.where(logits < 0, 0.1 + (logits + 4) / 5, 0.9 - logits / 20)).astype(np.int64)
    found = fit_calibration("beta", logits, label).calibration
    assert found.slope_low > found.slope_high > 0
    ordered = found.apply(np.linspace(-4, 4, 1000))
    assert (np.diff(ordered) > 0).all()


def test_beta_leaves_less_error_where_one_slope_does_not_fit() -> None:
    logits, label = bent(2.0, 0.2, 0.0, 20_000)
    errors = {
        method: expected_calibration_error(
            label[1::2], fit_calibration(method, logits[::2], label[::2]).calibration.apply(logits[1::2])
        )
        for method in ("platt", "beta")
    }
    assert errors["beta"] < 0.015 < 0.03 < errors["platt"]


@pytest.mark.parametrize("method", FITTED)
def test_overconfident_probabilities_become_honest_on_other_pairs(method: str) -> None:
    logits, label = planted(0.25, 0.0)
    fitted = fit_calibration(method, logits[::2], label[::2]).calibration
    before = calibration_metrics(label[1::2], Calibration("none").apply(logits[1::2]))
    after = calibration_metrics(label[1::2], fitted.apply(logits[1::2]))
    assert before["ece"] > 0.15  # type: ignore[operator]
    assert after["ece"] < 0.02  # type: ignore[operator]
    assert after["brier"] < before["brier"]  # type: ignore[operator]


def test_platt_does_not_care_about_the_scale_and_zero_of_the_logits() -> None:
    logits, label = planted(0.8, -0.3, 500)
    expected = fit_calibration("platt", logits, label).calibration.apply(logits)
    for scale, zero in ((1e-6, 0.0), (1e6, 0.0), (3.0, 1e4)):
        moved = scale * logits + zero
        found = fit_calibration("platt", moved, label).calibration.apply(moved)
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_logits_that_part_the_classes_give_platts_targets() -> None:
    logits, label = np.repeat([-1.0, 1.0], [40, 60]), np.repeat([0, 1], [40, 60])
    found = fit_calibration("platt", logits, label).calibration.apply([-1.0, 1.0])
    assert found == pytest.approx([1 / 42, 61 / 62])


@pytest.mark.filterwarnings("error")
@given(
    st.lists(st.tuples(st.integers(0, 1), st.integers(-20, 20)), min_size=20, max_size=60), st.sampled_from(STRAIGHT)
)
def test_the_order_of_pairs_never_changes(rows: list[tuple[int, int]], method: str) -> None:
    label, logits = np.array([row[0] for row in rows]), np.array([row[1] for row in rows]) / 4
    calibration, reason = fit_calibration(method, logits, label)
    probability = calibration.apply(logits)
    assert calibration.method == ("none" if reason else method)
    assert ranking_metrics(label, probability) == ranking_metrics(label, logits)
    assert np.array_equal(np.unique(probability, return_inverse=True)[1], np.unique(logits, return_inverse=True)[1])
    file = json.dumps(calibration.to_dict(), allow_nan=False)
    assert Calibration.from_dict(json.loads(file), "card.json") == calibration


def isotonic(logits: Floats, label: Any) -> Calibration:
    return fit_calibration("isotonic", logits, label).calibration


@pytest.mark.filterwarnings("error")
@given(st.lists(st.tuples(st.integers(0, 1), st.integers(-20, 20)), min_size=20, max_size=60))
def test_isotonic_is_sklearns_and_turns_no_pairs_round(rows: list[tuple[int, int]]) -> None:
    label, logits = np.array([row[0] for row in rows]), np.array([row[1] for row in rows]) / 4
    calibration, reason = fit_calibration("isotonic", logits, label)
    assert calibration.method == ("none" if reason else "isotonic")
    if reason:
        return
    n1, n0 = int(label.sum()), int((1 - label).sum())
    oracle = IsotonicRegression(y_min=1 / (n0 + 2), y_max=(n1 + 1) / (n1 + 2), out_of_bounds="clip").fit(logits, label)
    wide = np.linspace(-9, 9, 61)
    found = calibration.apply(wide)
    assert found == pytest.approx(oracle.predict(wide))
    assert (np.diff(found) >= 0).all()
    assert found.min() > 0
    assert found.max() < 1
    file = json.dumps(calibration.to_dict(), allow_nan=False)
    assert Calibration.from_dict(json.loads(file), "card.json") == calibration


def test_isotonic_finds_a_curve_that_no_slope_gives() -> None:
    rng = np.random.default_rng(0)
    logits = rng.uniform(-3, 3, 20_000)
    truth = np.where(logits < 0, 0.2, 0.6)  # a step
    label = (rng.random(20_000) < truth).astype(np.int64)
    fitted = isotonic(logits[::2], label[::2]).apply(logits)
    assert np.abs(fitted - truth).mean() < 0.03
    platt = fit_calibration("platt", logits[::2], label[::2]).calibration.apply(logits)
    assert np.abs(platt - truth).mean() > 0.06


def test_a_curve_of_many_points_is_thinned_and_hardly_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    logits, label = planted(0.7, 0.2)
    full = isotonic(logits, label)
    assert 60 < len(full.logits) <= MOST_KNOTS
    monkeypatch.setattr("esm2_amp.evaluation.calibration.MOST_KNOTS", 50)
    thin = isotonic(logits, label)
    assert len(thin.logits) <= 50
    assert (thin.logits[0], thin.logits[-1]) == (full.logits[0], full.logits[-1])
    assert np.abs(thin.apply(logits) - full.apply(logits)).mean() < 0.01


def test_reliability_bins_are_those_of_the_calibration_error() -> None:
    rng = np.random.default_rng(0)
    probability = np.concatenate([rng.random(500) * 0.79, [0.0, 1.0, 0.1, 0.3]])
    label = rng.integers(0, 2, 504)
    found = reliability_bins(label, probability, 10)
    assert sum(one.n for one in found) == 504
    assert sum(
        one.n / 504 * abs(one.observed - one.predicted)
        for one in found
        if one.observed is not None and one.predicted is not None
    ) == pytest.approx(expected_calibration_error(label, probability))
    empty, last = found[8], found[9]
    assert empty == (0.8, 0.9, 0, None, None, None)
    assert (last.n, last.predicted, last.observed) == (1, 1.0, label[501])
    for one in found:
        if one.observed is not None and one.interval is not None:
            n, share, z = one.n, one.observed, 1.959963984540054  # Wilson 1927
            middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
            half = z * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
            assert one.interval == pytest.approx((middle - half, middle + half), abs=1e-12)
    with pytest.raises(ValueError, match="0 bins"):
        reliability_bins([1], [0.5], 0)


@pytest.mark.filterwarnings("error")
def test_extreme_logits_give_probabilities() -> None:
    found = Calibration("platt", 2.0, -1.0).apply([[-1e4, -50.0, 0.5], [0.5, 18.5, 1e4]])
    assert found == pytest.approx(np.array([[0, math.exp(-101), 0.5], [0.5, 1 - math.exp(-36), 1]]), rel=1e-12)


@pytest.mark.parametrize("method", FITTED)
@pytest.mark.parametrize(
    ("logits", "label", "reason"),
    [
        (np.linspace(-1, 1, 19), np.arange(19) > 9, "19 pairs are too few"),
        (np.linspace(-1, 1, 20), np.ones(20), "all pairs have the label 1"),
        (np.linspace(-1, 1, 20), np.zeros(20), "all pairs have the label 0"),
        (np.full(20, 0.3), np.arange(20) % 2, "the same logit"),
        (np.linspace(-1, 1, 20), np.arange(20) < 10, "higher logits do not mean more positives"),
        (np.repeat([-1.0, 1.0], 10), np.arange(20) % 2, "higher logits do not mean more positives"),
    ],
)
def test_degenerate_pairs_leave_the_network_as_it_is(method: str, logits: Floats, label: Any, reason: str) -> None:
    fitted = fit_calibration(method, logits, label.astype(np.int64))
    assert fitted.calibration == Calibration("none")
    assert reason in str(fitted.fallback)


@pytest.mark.parametrize("method", ["temperature", "platt", "beta"])
def test_a_hump_has_no_slope(method: str) -> None:
    fitted = fit_calibration(method, np.linspace(-1, 1, 21), (np.abs(np.arange(-10, 11)) < 4).astype(np.int64))
    assert fitted.calibration == Calibration("none")
    assert "higher logits do not mean more positives" in str(fitted.fallback)


def test_no_calibration_asked_for_is_no_fallback() -> None:
    assert fit_calibration("none", [1.0], [1]) == (Calibration("none"), None)


@pytest.mark.parametrize(
    ("logits", "label", "message"),
    [
        ([0.0] * 20, [0] * 19, "shape"),
        ([math.nan] * 20, [0, 1] * 10, "finite"),
        ([0.0, 1.0] * 10, [0, -1] * 10, "0 or 1"),
    ],
)
def test_nonsense_is_refused(logits: Any, label: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fit_calibration("platt", logits, label)


def test_an_unknown_method_is_refused_even_where_nothing_could_be_fitted() -> None:
    with pytest.raises(ValueError, match="'magic'"):
        fit_calibration("magic", [0.0], [1])


def knots(logits: Any, probabilities: Any) -> dict[str, Any]:
    return {"method": "isotonic", "logits": logits, "probabilities": probabilities}


@pytest.mark.parametrize(
    ("card", "message"),
    [
        ({}, r"calibration\.method is 'missing', expected none, temperature, platt, beta, isotonic"),
        ({"method": "magic", "slope": 1}, r"calibration\.method is 'magic'"),
        ({"method": ["platt"]}, r"calibration\.method is \['platt'\]"),
        ({"method": "platt", "slope": 1.0}, r"missing or unknown: calibration\.intercept"),
        ({"method": "none", "slope": 1.0}, r"missing or unknown: calibration\.slope"),
        ({"method": "temperature", "slope": 1, "intercept": 0}, r"missing or unknown: calibration\.intercept"),
        ({"method": "temperature", "slope": 0}, r"calibration\.slope is 0, expected a finite number above 0"),
        ({"method": "temperature", "slope": -0.5}, r"calibration\.slope is -0\.5"),
        ({"method": "temperature", "slope": math.nan}, r"calibration\.slope is nan"),
        ({"method": "temperature", "slope": math.inf}, r"calibration\.slope is inf"),
        ({"method": "temperature", "slope": 10**400}, r"calibration\.slope is 1000"),
        ({"method": "temperature", "slope": "1"}, r"calibration\.slope is '1', expected a number"),
        ({"method": "temperature", "slope": True}, r"calibration\.slope is True, expected a number"),
        ({"method": "platt", "slope": 1, "intercept": -math.inf}, r"calibration\.intercept is -inf"),
        ({"method": "isotonic", "logits": [0.0]}, r"missing or unknown: calibration\.probabilities"),
        (knots([0.0, "1"], [0.1, 0.2]), r"calibration\.logits\[1\] is '1', expected a finite number"),
        (knots([0.0, math.nan], [0.1, 0.2]), r"calibration\.logits\[1\] is nan, expected a finite number"),
        (knots([0.0, 10**400], [0.1, 0.2]), r"calibration\.logits\[1\] is 1000"),
        (knots([0.0], [True]), r"calibration\.probabilities\[0\] is True"),
        (knots({"0": 1}, [0.1]), r"calibration\.logits is \{'0': 1\}, expected a list of numbers"),
        (knots([], []), r"calibration\.logits has 0 numbers and calibration\.probabilities 0, expected equally many"),
        (knots([0.0, 1.0], [0.5]), r"calibration\.logits has 2 numbers and calibration\.probabilities 1"),
        (knots(list(range(1001)), [0.5] * 1001), r"calibration\.logits has 1001 numbers .* from 1 to 1000"),
        (knots([1.0, 1.0], [0.1, 0.2]), r"calibration\.logits must be finite and rise"),
        (knots([0.0, 1.0], [0.3, 0.2]), r"calibration\.probabilities must lie .* never fall"),
        (knots([0.0, 1.0], [0.0, 0.2]), r"calibration\.probabilities must lie between 0 and 1, both left out"),
        (knots([0.0, 1.0], [0.1, 1.0]), r"calibration\.probabilities must lie between 0 and 1, both left out"),
        ({"method": "beta", "slope_low": 1, "slope_high": 0, "intercept": 0}, r"calibration\.slope_high is 0"),
        ({"method": "beta", "slope": 1, "intercept": 0}, r"missing or unknown: calibration\.slope"),
        ({"method": "platt", "slope": 1, "intercept": None}, r"calibration\.intercept is None, expected a number"),
    ],
)
def test_a_wrong_entry_of_a_card_is_named(card: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=rf"^model/card\.json: {message}"):
        Calibration.from_dict(card, "model/card.json")
