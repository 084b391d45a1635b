"""Batches of explanations, added up: what they say on the whole, and which method is to be believed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from esm2_amp.evaluation.intervals import Resampling
from esm2_amp.explain.agreement import rank_correlation
from esm2_amp.explain.batch import MEASURED, OVER_RANDOM, RANDOM, RANDOMISED, STABILITY, evidence
from esm2_amp.explain.explained import Faithfulness, Mean
from esm2_amp.explain.scoreboard import Row, Scoreboard

Floats = NDArray[np.float64]
K = 2
"""Tokens taken away or left alone in the comprehensiveness and sufficiency that are shown."""
_HIDDEN = (OVER_RANDOM, "like_trained")


def _is_shown(measure: str) -> bool:
    """Whether the page has a column for a measure: of those at several k, only hits and those at K."""
    name, _, k = measure.partition("@")
    return measure not in _HIDDEN and (not k or name == "hit" or k == str(K))


class Summary:
    """Adds batches of :meth:`esm2_amp.explain.batch.Explainer.arrays`; memory grows by some numbers a pair.

    Args:
        methods: those of the explanations.
        tokens: 2T.
    """

    def __init__(self, methods: Sequence[str], tokens: int) -> None:
        self.methods, self.pairs = tuple(methods), 0
        self._signed = {name: np.zeros(tokens) for name in methods}
        self._size = {name: np.zeros(tokens) for name in methods}
        self._agreement: list[Floats] = []
        self._attention: list[Floats] = []
        self._structure: list[Floats] = []
        self._errors: list[Floats] = []
        self._most_steps = 0
        self._board = Scoreboard()

    def add(self, arrays: Mapping[str, NDArray[np.generic]], called: NDArray[np.bool_]) -> None:
        """Add the arrays of a batch whose pairs the model calls interacting or not."""
        values = {name: np.asarray(arrays[f"signed/{name}"], dtype=np.float32) for name in self.methods}
        self.pairs += len(called)
        for name, value in values.items():
            self._signed[name] += value.sum(axis=0, dtype=np.float64)
            self._size[name] += np.abs(value).sum(axis=0, dtype=np.float64)
        ordered = [evidence(name, value, called) for name, value in values.items()]
        self._agreement.append(np.array([[rank_correlation(one, two) for two in ordered] for one in ordered]))
        if "attention/sum" in arrays:
            self._attention.append(np.asarray(arrays["attention/sum"], dtype=np.float64))
            self._structure.append(np.asarray(arrays["attention/structure"], dtype=np.float64))
        if "ig/error" in arrays:
            self._errors.append(np.asarray(arrays["ig/error"], dtype=np.float64))
            self._most_steps = max(self._most_steps, int(np.asarray(arrays["ig/steps"], dtype=np.int64).max(initial=0)))
        for name, found in arrays.items():
            kind, _, rest = name.partition("/")
            if kind in (MEASURED, RANDOMISED, STABILITY):
                method, _, measure = rest.rpartition("/")
                kept = np.asarray(found, dtype=np.float64)
                self._board.add(f"{kind}/{method}", {measure: kept})

    @property
    def profile(self) -> dict[str, Floats]:
        """(2T,) mean of each token, by method."""
        return {name: total / self.pairs for name, total in self._signed.items()}

    @property
    def magnitude(self) -> dict[str, Floats]:
        """(2T,) mean absolute value of each token, by method."""
        return {name: total / self.pairs for name, total in self._size.items()}

    @property
    def agreement(self) -> Floats:
        """(methods, methods) mean over pairs of Spearman's correlation; NaN where a method says nothing."""
        found = np.concatenate(self._agreement, axis=2)
        defined = np.isfinite(found)
        count = defined.sum(axis=2)
        total: Floats = np.where(defined, found, 0).sum(axis=2)
        return np.where(count > 0, total / np.maximum(count, 1), np.nan)

    @property
    def attention(self) -> Floats | None:
        """(layers, 2T, 2T) mean over pairs and heads."""
        return np.sum(self._attention, axis=0) / self.pairs if self._attention else None

    @property
    def structure(self) -> Floats | None:
        """(layers, 4) mean shares within and between the chains."""
        return np.sum(self._structure, axis=0) / self.pairs if self._structure else None

    @property
    def completeness(self) -> tuple[float, float, int] | None:
        """Largest and median relative completeness error of integrated gradients, and the most steps taken."""
        if not self._errors:
            return None
        errors = np.concatenate(self._errors)
        return float(errors.max()), float(np.median(errors)), self._most_steps

    def rows(self, resampling: Resampling) -> list[Row]:
        """Every measure of every method; ``method`` is KIND/METHOD with the kinds of :mod:`esm2_amp.explain.batch`."""
        return self._board.rows(resampling)


def faithfulness_table(rows: Sequence[Row], methods: Sequence[str]) -> list[Faithfulness]:
    """The measures that a page shows: methods in the given order, random values, then the randomised models."""
    found: dict[str, dict[str, Mean]] = {}
    for row in rows:
        if row.mean is not None and _is_shown(row.measure):
            found.setdefault(row.method, {})[row.measure] = Mean(row.mean, row.low, row.high)
    table = []
    for method in methods:
        measures = found.get(f"{MEASURED}/{method}", {}) | found.get(f"{STABILITY}/{method}", {})
        if measures:
            table.append(Faithfulness(method, "method", measures))
    if table:
        table.append(Faithfulness(RANDOM, "random", found[f"{MEASURED}/{RANDOM}"]))
    for method in methods:
        if measures := found.get(f"{RANDOMISED}/{method}", {}):
            table.append(Faithfulness(method, "randomised", measures))
    return table


def by_trust(rows: Sequence[Row], methods: Sequence[str]) -> list[str]:
    """Methods from the most to the least faithful: by insertion minus deletion; as given where nothing was measured."""
    means = {(row.method, row.measure): row.mean for row in rows}

    def gain(method: str) -> float:
        key = f"{MEASURED}/{method}"
        insertion, deletion = means.get((key, "insertion")), means.get((key, "deletion"))
        return 0.0 if insertion is None or deletion is None else insertion - deletion

    return sorted(methods, key=gain, reverse=True)


def better_than_random(rows: Sequence[Row]) -> set[str]:
    """Methods whose insertion minus deletion is above that of random values, by the interval of paired differences."""
    found = {row.method.removeprefix(f"{MEASURED}/"): row.low for row in rows if row.measure == OVER_RANDOM}
    return {method for method, low in found.items() if low is not None and low > 0}
