"""Measures of many pairs, added batch by batch, as one table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from esm2_amp.evaluation.intervals import Resampling


class Row(NamedTuple):
    """Mean of a measure of a method over ``n`` pairs, those where it is defined, and the bounds of its interval.

    ``mean``, ``low`` and ``high`` are None where it is defined for no pair.
    """

    method: str
    measure: str
    n: int
    mean: float | None
    low: float | None
    high: float | None


class Scoreboard:
    """Collects one number a pair for each method and measure; nothing else of a pair is kept."""

    def __init__(self) -> None:
        self._parts: dict[tuple[str, str], list[NDArray[np.float64]]] = {}

    def add(self, method: str, measures: Mapping[str, ArrayLike]) -> None:
        """Add a batch.

        Args:
            method: name of the method.
            measures: by name, (n,) one number a pair, NaN where undefined.
        """
        for measure, values in measures.items():
            self._parts.setdefault((method, measure), []).append(np.array(values, dtype=np.float64))

    def rows(self, resampling: Resampling) -> list[Row]:
        """Means and percentile intervals, in the order in which methods and measures were first added.

        A resample draws as many pairs as there are, with replacement; columns of equally many pairs share their
        resamples. Pairs that share a protein are not independent, so the intervals are too narrow for statements about
        new proteins.

        Args:
            resampling: how often, from which seed, for which level.
        """
        columns = {key: np.concatenate(parts) for key, parts in self._parts.items()}
        bounds: dict[tuple[str, str], NDArray[np.float64]] = {}
        for size in {len(values) for values in columns.values()}:
            alike = [key for key, values in columns.items() if len(values) == size]
            found = _bounds(np.stack([columns[key] for key in alike], axis=1), resampling)
            bounds.update(zip(alike, found.T, strict=True))
        return [_row(*key, values, bounds[key]) for key, values in columns.items()]


def _bounds(values: NDArray[np.float64], resampling: Resampling) -> NDArray[np.float64]:
    """(2, columns) bounds of the means of columns (n, columns), over the pairs where each is defined."""
    if not len(values):
        return np.full((2, values.shape[1]), np.nan)
    defined = ~np.isnan(values)
    filled = np.where(defined, values, 0.0)
    rng = np.random.default_rng(resampling.seed)
    means = np.empty((resampling.resamples, values.shape[1]))
    for i in range(resampling.resamples):
        times = np.bincount(rng.integers(len(values), size=len(values)), minlength=len(values)).astype(np.float64)
        counted = times @ defined
        means[i] = np.where(counted > 0, times @ filled / np.maximum(counted, 1), np.nan)
    tails = ((1 - resampling.level) / 2, (1 + resampling.level) / 2)
    known = defined.any(axis=0)
    found = np.full((2, values.shape[1]), np.nan)
    found[:, known] = np.nanquantile(means[:, known], tails, axis=0)
    return found


def _row(method: str, measure: str, values: NDArray[np.float64], bounds: NDArray[np.float64]) -> Row:
    defined = values[~np.isnan(values)]
    if not len(defined):
        return Row(method, measure, 0, None, None, None)
    return Row(method, measure, len(defined), float(defined.mean()), float(bounds[0]), float(bounds[1]))
