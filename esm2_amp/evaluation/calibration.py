"""From a network's logit to a probability one can take at its word: none, temperature, Platt, beta or isotonic."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize
from scipy.special import expit
from scipy.stats import binomtest
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from esm2_amp.errors import InputError
from esm2_amp.evaluation.metrics import CALIBRATION_BINS, calibration_bins, checked_probability

_PARAMETERS = {
    "none": (),
    "temperature": ("slope",),
    "platt": ("slope", "intercept"),
    "beta": ("slope_low", "slope_high", "intercept"),
    "isotonic": ("logits", "probabilities"),
}
METHODS = tuple(_PARAMETERS)
_NEUTRAL: dict[str, float | tuple[float, ...]] = {
    "slope": 1.0,
    "slope_low": 1.0,
    "slope_high": 1.0,
    "intercept": 0.0,
    "logits": (),
    "probabilities": (),
}
_SLOPES = ("slope", "slope_low", "slope_high")
FEWEST_PAIRS = 20
"""On fewer pairs than these nothing is fitted."""
MOST_KNOTS = 1000
"""An isotonic curve has no more points than these."""
_LEAST_SPREAD = 1e-6  # of calibrated logits: with less the slope is 0 but for rounding
_LEAST_SLOPE = 1e-3  # of beta's two, as a share of Platt's: with 0 far logits would share a probability


@dataclass(frozen=True)
class Calibration:
    """From logits to P(positive), never falling as the logit rises.

    ``none``, ``temperature`` and ``platt`` are P = 1 / (1 + exp(-(slope * logit + intercept))) with slope > 0, so that
    the order of pairs never changes. ``none`` leaves both as they are (1 and 0), ``temperature`` (Guo et al. 2017,
    arXiv 1706.04599) has a slope alone, 1 / temperature, and ``platt`` (Platt 1999) has both.

    ``beta`` (Kull, Silva Filho & Flach 2017, "Beta calibration", AISTATS) has one slope for low logits and one for high
    ones: P = 1 / (1 + exp(-(slope_low * log s - slope_high * log(1 - s) + intercept))) with s = 1 / (1 + exp(-logit)),
    both slopes above 0. It is Platt's where they are equal, and never changes the order of pairs either.

    ``isotonic`` (Zadrozny & Elkan 2002, doi 10.1145/775047.775151) is a rising line through ``probabilities`` at
    ``logits``, level outside them. It never turns two pairs round, but where it is level it gives different logits one
    probability, so AUROC, AUPR and what counts the top pairs can change a little.

    Raises:
        ValueError: an unknown method, a slope that is not above 0, a number that is not finite or not of the method;
            isotonic points that are none or more than :data:`MOST_KNOTS`, unequal in number, with logits that do not
            rise or probabilities that fall or lie outside (0, 1).
    """

    method: str
    slope: float = 1.0
    intercept: float = 0.0
    slope_low: float = 1.0
    slope_high: float = 1.0
    logits: tuple[float, ...] = ()
    probabilities: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        _check_method(self.method)
        for name in _SLOPES:
            if not 0 < getattr(self, name) <= sys.float_info.max:
                raise ValueError(f"calibration.{name} is {getattr(self, name)}, expected a finite number above 0")
        if not abs(self.intercept) <= sys.float_info.max:
            raise ValueError(f"calibration.intercept is {self.intercept}, expected a finite number")
        for name, neutral in _NEUTRAL.items():
            if name not in _PARAMETERS[self.method] and getattr(self, name) != neutral:
                raise ValueError(f"calibration.{name} is {getattr(self, name)}, but method {self.method} has none")
        if self.method == "isotonic":
            _check_knots(self.logits, self.probabilities)

    def apply(self, logits: ArrayLike) -> NDArray[np.float64]:
        """Probabilities of logits, of the same shape."""
        logits = np.asarray(logits, dtype=np.float64)
        if self.method == "isotonic":
            return np.asarray(np.interp(logits, self.logits, self.probabilities))
        if self.method == "beta":
            low, high = _beta_features(logits)
            calibrated = self.slope_low * low + self.slope_high * high + self.intercept
        else:
            calibrated = self.slope * logits + self.intercept
        # 1 / (1 + exp(-x)) without overflow, and exact to the last digits at both ends
        probability: NDArray[np.float64] = np.exp(-np.logaddexp(0, -calibrated))
        return probability

    def to_dict(self) -> dict[str, str | float | list[float]]:
        """The method and its numbers, as they stand in a model card."""
        numbers = {name: getattr(self, name) for name in _PARAMETERS[self.method]}
        plain = {name: list(value) if isinstance(value, tuple) else value for name, value in numbers.items()}
        return {"method": self.method} | plain

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], file: str | PathLike[str]) -> Calibration:
        """The reverse of :meth:`to_dict`; ``file`` is for messages.

        Raises:
            InputError: an entry that is missing, unknown or not allowed, by its name.
        """
        given = {name: value for name, value in values.items() if name != "method"}
        method = values.get("method", "missing")
        try:
            _check_method(method)
            if wrong := sorted(set(_PARAMETERS[method]) ^ set(given)):
                raise ValueError(f"missing or unknown: {', '.join(f'calibration.{name}' for name in wrong)}")
            return cls(method, **{name: _read(name, value) for name, value in given.items()})
        except ValueError as error:
            raise InputError(str(error), file=file, remedy="Take the card as it was written, or train again.") from None


def _check_method(method: Any) -> None:
    if method not in METHODS:
        raise ValueError(f"calibration.method is {method!r}, expected {', '.join(METHODS)}")


def _read(name: str, value: Any) -> Any:
    """A number, or for points of a curve a tuple of numbers, of a card's entry."""
    if not isinstance(_NEUTRAL[name], tuple):
        if not _is_number(value):
            raise ValueError(f"calibration.{name} is {value!r}, expected a number")
        return value
    if not isinstance(value, list):
        raise ValueError(f"calibration.{name} is {value!r}, expected a list of numbers")
    for k, number in enumerate(value):
        if not _is_number(number) or not abs(number) <= sys.float_info.max:
            raise ValueError(f"calibration.{name}[{k}] is {number!r}, expected a finite number")
    return tuple(map(float, value))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _check_knots(logits: tuple[float, ...], probabilities: tuple[float, ...]) -> None:
    if not 1 <= len(logits) <= MOST_KNOTS or len(logits) != len(probabilities):
        raise ValueError(
            f"calibration.logits has {len(logits)} numbers and calibration.probabilities {len(probabilities)}, "
            f"expected equally many, from 1 to {MOST_KNOTS}"
        )
    if not np.isfinite(logits).all() or not (np.diff(logits) > 0).all():
        raise ValueError("calibration.logits must be finite and rise from each number to the next")
    if not ((np.array(probabilities) > 0) & (np.array(probabilities) < 1)).all() or (np.diff(probabilities) < 0).any():
        raise ValueError("calibration.probabilities must lie between 0 and 1, both left out, and never fall")


class Fitted(NamedTuple):
    """A calibration, and why it is ``none`` where another method was asked for."""

    calibration: Calibration
    fallback: str | None


def fit_calibration(method: str, logits: ArrayLike, label: ArrayLike) -> Fitted:
    """Fit a calibration to pairs that the network was not trained on.

    For temperature, Platt and beta minimises the cross-entropy, with Platt's targets (n1 + 1) / (n1 + 2) for the n1
    positives and 1 / (n0 + 2) for the n0 negatives in place of 1 and 0, so that the slope is finite where the logits
    part the classes, too (Platt 1999, "Probabilistic outputs for support vector machines", section 2.2).

    Isotonic is scikit-learn's ``IsotonicRegression`` (least squares), kept between Platt's two targets, so that no
    probability is 0 or 1. A curve of more than :data:`MOST_KNOTS` points is drawn through that many of them, evenly
    chosen. It needs more pairs than the others: on a few hundred it follows chance.

    Args:
        method: one of :data:`METHODS`.
        logits: (n,) finite.
        label: (n,) 0 or 1.

    Returns:
        The calibration; ``none`` with the reason where there are fewer than :data:`FEWEST_PAIRS` pairs, one class
        or one logit only, or where higher logits do not mean more positives.

    Raises:
        ValueError: an unknown method, shapes that differ, labels other than 0 and 1, logits that are not finite.
    """
    logits, label = np.asarray(logits, dtype=np.float64), np.asarray(label)
    if logits.ndim != 1 or logits.shape != label.shape:
        raise ValueError(f"logits of shape {logits.shape}, but labels of shape {label.shape}; both must be (n,)")
    if not (np.isfinite(logits).all() and np.isin(label, (0, 1)).all()):
        raise ValueError("logits must be finite, and labels 0 or 1")
    _check_method(method)
    if method == "none":
        return Fitted(Calibration("none"), None)
    if (reason := _unfit(logits, label)) is not None:
        return Fitted(Calibration("none"), reason)
    if method == "isotonic":
        return _isotonic(logits, label)
    slope, intercept = _minimise(logits, label, intercept=method != "temperature")
    if not slope * np.ptp(logits) > _LEAST_SPREAD:
        return Fitted(Calibration("none"), f"higher logits do not mean more positives (slope {slope:.3g})")
    if method == "beta":
        return Fitted(_beta(logits, label, slope, intercept), None)
    return Fitted(Calibration(method, slope, intercept), None)


def _unfit(logits: NDArray[np.float64], label: NDArray[Any]) -> str | None:
    if label.size < FEWEST_PAIRS:
        return f"{label.size} pairs are too few (at least {FEWEST_PAIRS})"
    if label.min() == label.max():
        return f"all pairs have the label {label[0]}"
    return "all pairs have the same logit" if logits.min() == logits.max() else None


def _platts_targets(label: NDArray[Any]) -> tuple[float, float]:
    """What stands for the labels 0 and 1."""
    positives = int(label.sum())
    return 1 / (label.size - positives + 2), (positives + 1) / (positives + 2)


def _isotonic(logits: NDArray[np.float64], label: NDArray[Any]) -> Fitted:
    low, high = _platts_targets(label)
    model = IsotonicRegression(y_min=low, y_max=high).fit(logits, label.astype(np.float64))
    knots, probabilities = model.X_thresholds_, model.y_thresholds_
    if np.ptp(probabilities) == 0:
        return Fitted(Calibration("none"), "higher logits do not mean more positives (the isotonic curve is level)")
    kept = np.unique(np.linspace(0, knots.size - 1, MOST_KNOTS).round().astype(np.int64))
    curve = tuple(knots[kept].tolist()), tuple(probabilities[kept].tolist())
    return Fitted(Calibration("isotonic", logits=curve[0], probabilities=curve[1]), None)


def _minimise(logits: NDArray[np.float64], label: NDArray[Any], *, intercept: bool) -> tuple[float, float]:
    """Slope and intercept (0 unless asked for) of the least cross-entropy with Platt's targets."""
    low, high = _platts_targets(label)
    target = np.where(label == 1, high, low)
    centre = float(logits.mean()) if intercept else 0.0
    scale = float(np.abs(logits - centre).max())  # Newton's steps need numbers near 1
    column = (logits - centre)[:, None] / scale
    # a target t between the classes is t of a positive and 1 - t of a negative
    model = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-10, fit_intercept=intercept)
    model.fit(
        np.concatenate([column, column]),
        np.repeat([1, 0], label.size),
        sample_weight=np.concatenate([target, 1 - target]),
    )
    slope = float(model.coef_[0, 0]) / scale
    return slope, float(model.intercept_[0]) - slope * centre if intercept else 0.0


def _beta_features(logits: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Log s and -log(1 - s) of s = 1 / (1 + exp(-logit))."""
    return -np.logaddexp(0, -logits), np.logaddexp(0, logits)


def _beta(logits: NDArray[np.float64], label: NDArray[Any], slope: float, intercept: float) -> Calibration:
    """The least cross-entropy with Platt's targets, from Platt's solution on; it is convex."""
    target = np.where(label == 1, *_platts_targets(label)[::-1])
    columns = np.stack([*_beta_features(logits), np.ones_like(logits)])
    scale = np.abs(columns).max(axis=1)

    def entropy(numbers: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        calibrated = (numbers / scale) @ columns
        loss = np.logaddexp(0, calibrated) - target * calibrated
        return float(loss.mean()), columns @ (expit(calibrated) - target) / scale / label.size

    least = _LEAST_SLOPE * slope * scale
    found = minimize(
        entropy,
        np.array([slope, slope, intercept]) * scale,
        jac=True,
        method="L-BFGS-B",
        bounds=[(least[0], None), (least[1], None), (None, None)],
        options={"maxiter": 1000, "ftol": 1e-15, "gtol": 1e-9},
    )
    low, high, constant = (float(number) for number in found.x / scale)
    return Calibration("beta", slope_low=low, slope_high=high, intercept=constant)


class ReliabilityBin(NamedTuple):
    """The pairs with a probability in [low, high): how many, their mean probability and their share of positives.

    ``interval`` is Wilson's 95 % interval of that share, for pairs independent of each other: where they share
    proteins it is too narrow. Without pairs all three are None.
    """

    low: float
    high: float
    n: int
    predicted: float | None
    observed: float | None
    interval: tuple[float, float] | None


def reliability_bins(label: ArrayLike, probability: ArrayLike, bins: int = CALIBRATION_BINS) -> list[ReliabilityBin]:
    """What a reliability plot shows, by bins of equal width; the last one holds 1, too.

    With as many bins as stands here, those of the expected calibration error.

    Args:
        label: (n,) 0 or 1.
        probability: (n,) P(positive), in [0, 1].
        bins: how many, at least 1.

    Raises:
        ValueError: as :func:`esm2_amp.evaluation.metrics.binary_metrics`, or no bin.
    """
    label, probability = checked_probability(label, probability)
    if bins < 1:
        raise ValueError(f"{bins} bins, expected at least 1")
    place = calibration_bins(probability, bins)
    count, positives = np.bincount(place, minlength=bins), np.bincount(place, label, bins).astype(np.int64)
    total = np.bincount(place, probability, bins)
    return [_bin(k / bins, (k + 1) / bins, int(count[k]), int(positives[k]), float(total[k])) for k in range(bins)]


def _bin(low: float, high: float, n: int, positives: int, total: float) -> ReliabilityBin:
    if not n:
        return ReliabilityBin(low, high, 0, None, None, None)
    wilson = binomtest(positives, n).proportion_ci(0.95, method="wilson")
    return ReliabilityBin(low, high, n, total / n, positives / n, (float(wilson.low), float(wilson.high)))
