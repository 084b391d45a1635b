"""The hyperparameters a sweep may choose from, read from plain dictionaries."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from esm2_amp.errors import InputError

SEARCHABLE = ("model.optimizer.", "model.network.", "model.standardise", "batch_size")
"""What a trial may set: what does not change the data, the features or the way trials are compared."""
_REMEDY = "Write {type: float or int, low: .., high: .., log: true or step: ..}, {type: categorical, choices: [..]}."


@dataclass(frozen=True)
class SearchSpace:
    """Ranges by option (``model.optimizer.lr``), and options that are the same in every trial."""

    ranges: dict[str, BaseDistribution]
    fixed: dict[str, Any]

    def corners(self) -> list[dict[str, Any]]:
        """The settings with every range at its low end (or first choice), and at its high end (or last)."""
        low, high = dict(self.fixed), dict(self.fixed)
        for name, kind in self.ranges.items():
            if isinstance(kind, CategoricalDistribution):
                low[name], high[name] = kind.choices[0], kind.choices[-1]
            elif isinstance(kind, FloatDistribution | IntDistribution):
                low[name], high[name] = kind.low, kind.high
        return [low, high]

    def options(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Every option of a trial with these values of the ranges; 0.6, where steps add up to 0.6000000000000001."""
        return {**self.fixed, **{name: self.tidy(name, value) for name, value in params.items()}}

    def tidy(self, name: str, value: Any) -> Any:
        """A value of a range without the rounding errors of its steps."""
        kind = self.ranges.get(name)
        return round(value, 12) if isinstance(kind, FloatDistribution) and kind.step is not None else value

    def describe(self) -> dict[str, str]:
        """Every option in words, for messages, pages and the comparison of two spaces."""
        return {name: _in_words(kind) for name, kind in self.ranges.items()} | {
            name: f"always {value}" for name, value in self.fixed.items()
        }


def read_space(values: Mapping[str, Any], place: str) -> SearchSpace:
    """Make a space of nested dictionaries that mirror the configuration.

    A dictionary with the key ``type`` is a range; any other value is set as it is in every trial.

    Args:
        values: such as ``{"model": {"optimizer": {"lr": {"type": "float", "low": 1e-5, "high": 1e-3, "log": True}}}}``.
        place: where they stand, for messages.

    Raises:
        InputError: a malformed range, an option that cannot be searched, or no range at all.
    """
    ranges: dict[str, BaseDistribution] = {}
    fixed: dict[str, Any] = {}
    for name, value in _leaves(values, ""):
        if not name.startswith(SEARCHABLE):
            options = ", ".join(option + "*" * option.endswith(".") for option in SEARCHABLE)
            raise InputError(f"{place}.{name} cannot be searched", remedy=f"What can: {options}.")
        if isinstance(value, Mapping):
            ranges[name] = read_range(value, f"{place}.{name}")
        else:
            fixed[name] = value
    if not ranges:
        raise InputError(f"{place} names no range", remedy=_REMEDY)
    return SearchSpace(ranges, fixed)


def _leaves(values: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping) and "type" not in value:
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def read_range(value: Mapping[str, Any], place: str) -> BaseDistribution:
    """Make a range of ``{type: float or int, low, high, log or step}`` or ``{type: categorical, choices}``.

    Raises:
        InputError: malformed; ``place`` says where.
    """
    kind = value.get("type")
    allowed = {
        "float": {"low", "high", "log", "step"},
        "int": {"low", "high", "log", "step"},
        "categorical": {"choices"},
    }
    if kind not in allowed:
        raise InputError(f"{place}: type is {kind!r}", remedy="Use float, int or categorical.")
    if wrong := sorted(set(value) - {"type"} - allowed[kind]):
        raise InputError(f"{place}: {wrong[0]!r} is unknown for type {kind}", remedy=_REMEDY)
    needed = {"choices"} if kind == "categorical" else {"low", "high"}
    if missing := sorted(needed - set(value)):
        raise InputError(f"{place}: {missing[0]!r} is missing", remedy=_REMEDY)
    if kind == "categorical":
        return _categorical(value["choices"], place)
    return _numeric(kind, value, place)


def _categorical(choices: Any, place: str) -> CategoricalDistribution:
    plain = isinstance(choices, list) and all(isinstance(c, bool | int | float | str | None) for c in choices)
    if not plain or not choices or len({repr(choice) for choice in choices}) < len(choices):
        raise InputError(f"{place}: choices is {choices!r}", remedy="Give a list of different values.")
    return CategoricalDistribution(choices)


def _numeric(kind: str, value: Mapping[str, Any], place: str) -> FloatDistribution | IntDistribution:
    whole = (int,) if kind == "int" else (int, float)
    low, high, step, log = value["low"], value["high"], value.get("step"), value.get("log", False)
    for name, number in (("low", low), ("high", high), ("step", step)):
        if (number is not None or name != "step") and (isinstance(number, bool) or not isinstance(number, whole)):
            raise InputError(f"{place}: {name} is {number!r}", remedy=f"Give a number of type {kind}.")
    if not low <= high:
        raise InputError(f"{place}: low is {low}, high is {high}", remedy="Give low <= high.")
    if not isinstance(log, bool) or (log and (low <= 0 or step is not None)):
        raise InputError(
            f"{place}: log is {log!r}", remedy="It is true or false, needs low > 0, and goes without step."
        )
    if step is not None and (step <= 0 or abs((high - low) / step - round((high - low) / step)) > 1e-9):
        raise InputError(f"{place}: step is {step}", remedy="Give a step above zero that leads from low to high.")
    if kind == "int":
        return IntDistribution(low, high, log=log, step=1 if step is None else step)
    return FloatDistribution(float(low), float(high), log=log, step=step)


def _in_words(kind: BaseDistribution) -> str:
    if isinstance(kind, CategoricalDistribution):
        return "one of " + ", ".join(map(str, kind.choices))
    if not isinstance(kind, FloatDistribution | IntDistribution):
        raise TypeError(f"not a range: {kind!r}")
    further = " log" if kind.log else f" step {kind.step}" if kind.step is not None else ""
    return f"{'int' if isinstance(kind, IntDistribution) else 'float'} {kind.low:g}..{kind.high:g}{further}"
