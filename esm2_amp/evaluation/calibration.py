"""From a network's logit to a probability one can take at its word: none, temperature or Platt scaling."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.linear_model import LogisticRegression

from esm2_amp.errors import InputError

_PARAMETERS = {"none": (), "temperature": ("slope",), "platt": ("slope", "intercept")}
METHODS = tuple(_PARAMETERS)
FEWEST_PAIRS = 20
"""On fewer pairs than these nothing is fitted."""
_LEAST_SPREAD = 1e-6  # of calibrated logits: with less the slope is 0 but for rounding


@dataclass(frozen=True)
class Calibration:
    """P(positive) = 1 / (1 + exp(-(slope * logit + intercept))), with slope > 0: the order of pairs never changes.

    ``none`` leaves both as they are (1 and 0), ``temperature`` (Guo et al. 2017, arXiv 1706.04599) has a slope alone,
    1 / temperature, and ``platt`` (Platt 1999) has both.

    Raises:
        ValueError: an unknown method, a slope that is not above 0, a number that is not finite or not of the method.
    """

    method: str
    slope: float = 1.0
    intercept: float = 0.0

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ValueError(f"calibration.method is {self.method!r}, expected {', '.join(METHODS)}")
        if not 0 < self.slope <= sys.float_info.max:
            raise ValueError(f"calibration.slope is {self.slope}, expected a finite number above 0")
        if not abs(self.intercept) <= sys.float_info.max:
            raise ValueError(f"calibration.intercept is {self.intercept}, expected a finite number")
        for name, neutral in (("slope", 1.0), ("intercept", 0.0)):
            if name not in _PARAMETERS[self.method] and getattr(self, name) != neutral:
                raise ValueError(f"calibration.{name} is {getattr(self, name)}, but method {self.method} has none")

    def apply(self, logits: ArrayLike) -> NDArray[np.float64]:
        """Probabilities of logits, of the same shape."""
        scaled = self.slope * np.asarray(logits, dtype=np.float64) + self.intercept
        # 1 / (1 + exp(-x)) without overflow, and exact to the last digits at both ends
        probability: NDArray[np.float64] = np.exp(-np.logaddexp(0, -scaled))
        return probability

    def to_dict(self) -> dict[str, str | float]:
        """The method and its numbers, as they stand in a model card."""
        return {"method": self.method} | {name: getattr(self, name) for name in _PARAMETERS[self.method]}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], file: str | PathLike[str]) -> Calibration:
        """The reverse of :meth:`to_dict`; ``file`` is for messages.

        Raises:
            InputError: an entry that is missing, unknown or not allowed, by its name.
        """
        numbers = {name: value for name, value in values.items() if name != "method"}
        try:
            method = Calibration(values.get("method", "missing")).method
            if wrong := sorted(set(_PARAMETERS[method]) ^ set(numbers)):
                raise ValueError(f"missing or unknown: {', '.join(f'calibration.{name}' for name in wrong)}")
            for name, value in numbers.items():
                if isinstance(value, bool) or not isinstance(value, int | float):
                    raise ValueError(f"calibration.{name} is {value!r}, expected a number")
            return cls(method, **numbers)
        except ValueError as error:
            raise InputError(str(error), file=file, remedy="Take the card as it was written, or train again.") from None


class Fitted(NamedTuple):
    """A calibration, and why it is ``none`` where another method was asked for."""

    calibration: Calibration
    fallback: str | None


def fit_calibration(method: str, logits: ArrayLike, label: ArrayLike) -> Fitted:
    """Fit a calibration to pairs that the network was not trained on.

    Minimises the cross-entropy by Newton's method, with Platt's targets (n1 + 1) / (n1 + 2) for the n1 positives and
    1 / (n0 + 2) for the n0 negatives in place of 1 and 0, so that the slope is finite where the logits part the
    classes, too (Platt 1999, "Probabilistic outputs for support vector machines", section 2.2).

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
    if Calibration(method).method == "none":
        return Fitted(Calibration("none"), None)
    if (reason := _unfit(logits, label)) is not None:
        return Fitted(Calibration("none"), reason)
    slope, intercept = _minimise(logits, label, intercept=method == "platt")
    if not slope * np.ptp(logits) > _LEAST_SPREAD:
        return Fitted(Calibration("none"), f"higher logits do not mean more positives (slope {slope:.3g})")
    return Fitted(Calibration(method, slope, intercept), None)


def _unfit(logits: NDArray[np.float64], label: NDArray[Any]) -> str | None:
    if label.size < FEWEST_PAIRS:
        return f"{label.size} pairs are too few (at least {FEWEST_PAIRS})"
    if label.min() == label.max():
        return f"all pairs have the label {label[0]}"
    return "all pairs have the same logit" if logits.min() == logits.max() else None


def _minimise(logits: NDArray[np.float64], label: NDArray[Any], *, intercept: bool) -> tuple[float, float]:
    """Slope and intercept (0 unless asked for) of the least cross-entropy with Platt's targets."""
    positives = int(label.sum())
    target = np.where(label == 1, (positives + 1) / (positives + 2), 1 / (label.size - positives + 2))
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
