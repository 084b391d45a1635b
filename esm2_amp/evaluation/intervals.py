"""Confidence intervals from resampling proteins, not pairs: pairs that share a protein are not independent.

A resample draws as many proteins as the pairs have, with replacement. A pair weighs count(a) * count(b), a pair of a
protein with itself count(a), and each metric is measured with these weights. This is the bootstrap of rows and
columns together (Owen 2007, "The pigeonhole bootstrap", doi 10.1214/07-AOAS122), which is conservative: where pairs
are independent after all its intervals are too wide, by up to three times the variance, and never too narrow in the
limit of many proteins. Intervals are percentiles of the resamples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from esm2_amp.evaluation.baselines import checked_pairs
from esm2_amp.evaluation.weighted import METRICS, RANKING, WeightedMetrics, WeightedRanking

Floats = NDArray[np.float64]
Bounds = tuple[float, float] | None


@dataclass(frozen=True)
class Resampling:
    """How often to resample, from which random seed, and for which confidence level (as .95).

    ``advance`` is called with the number of resamples done since the last call.

    Raises:
        ValueError: fewer than one resample, a negative seed, or a level outside (0, 1).
    """

    resamples: int
    seed: int
    level: float
    advance: Callable[[int], object] | None = None

    def __post_init__(self) -> None:
        if self.resamples < 1 or self.seed < 0 or not 0 < self.level < 1:
            raise ValueError(
                f"resamples={self.resamples}, seed={self.seed}, level={self.level}: expected at least 1 resample, "
                "a seed of at least 0 and a level between 0 and 1"
            )


class Intervals(NamedTuple):
    """By metric: lower and upper bound, and how many resamples were left out since the metric is undefined there.

    The bounds are None where every resample was left out.
    """

    bounds: dict[str, Bounds]
    left_out: dict[str, int]


class Runs(NamedTuple):
    """One model trained with s seeds: ``probability`` (s, n) of the same n pairs, ``threshold`` one or (s,)."""

    probability: ArrayLike
    threshold: ArrayLike


class Difference(NamedTuple):
    """The mean over seeds of a metric of two models, first - second, and the interval of this difference."""

    first: float | None
    second: float | None
    difference: float | None
    interval: Bounds
    left_out: int


def protein_intervals(
    a: ArrayLike,
    b: ArrayLike,
    label: ArrayLike,
    probability: ArrayLike,
    threshold: ArrayLike,
    *,
    n_proteins: int,
    resampling: Resampling,
) -> Intervals:
    """Intervals of every metric of :func:`esm2_amp.evaluation.metrics.binary_metrics`, by resampling proteins.

    AUROC and AUPR are undefined where one class is left; all are where no pair is left.

    Args:
        a: (n,) first proteins, in 0..n_proteins-1; those that no pair holds are not drawn.
        b: (n,) second proteins.
        label: (n,) 0 or 1.
        probability: (n,), or (s, n) of s seeds of one model: then a metric is its mean over the seeds, and each
            resample draws s of the seeds, too.
        threshold: one, or (s,).
        n_proteins: how many proteins the numbers range over.
        resampling: how often, and for which level.

    Raises:
        ValueError: no pairs, shapes that differ, or values out of range.
    """
    label = checked_pairs(a, b, label, n_proteins)[2]
    measures = _measures(label, Runs(probability, threshold))
    values = _over_seeds(a, b, [[measure] for measure in measures], resampling)
    return _intervals(METRICS, values[:, 0], resampling.level)


def ranking_intervals(
    a: ArrayLike,
    b: ArrayLike,
    label: ArrayLike,
    scores: Sequence[ArrayLike],
    *,
    n_proteins: int,
    resampling: Resampling,
) -> list[Intervals]:
    """Intervals of AUROC and AUPR of several scores of any scale, all from the same resamples.

    Args and errors: as :func:`protein_intervals`; ``scores`` holds arrays (n,).
    """
    label = checked_pairs(a, b, label, n_proteins)[2]
    values = _over_seeds(a, b, [[WeightedRanking(label, score) for score in scores]], resampling)
    return [_intervals(RANKING, values[:, k], resampling.level) for k in range(len(scores))]


def paired_difference(
    a: ArrayLike,
    b: ArrayLike,
    label: ArrayLike,
    first: Runs,
    second: Runs,
    *,
    n_proteins: int,
    resampling: Resampling,
) -> dict[str, Difference]:
    """How much better one model is than another on the same pairs, over the same number s of seeds.

    difference = (1 / s) * sum over seeds k of (metric of first, seed k - metric of second, seed k). A resample draws
    proteins, and s of the s seeds with replacement, and measures both models with the same weights and seeds; so
    what both find hard cancels. With three seeds, drawing seeds catches two thirds of their variance.

    Args:
        a: (n,) first proteins, in 0..n_proteins-1.
        b: (n,) second proteins.
        label: (n,) 0 or 1.
        first: probabilities and thresholds of the first model.
        second: the same of the second; its seed k is compared with the first's seed k.
        n_proteins: how many proteins the numbers range over.
        resampling: how often, and for which level.

    Returns:
        By metric of :data:`esm2_amp.evaluation.weighted.METRICS`; None where undefined.

    Raises:
        ValueError: as :func:`protein_intervals`, or unequal numbers of seeds.
    """
    label = checked_pairs(a, b, label, n_proteins)[2]
    ones, others = _measures(label, first), _measures(label, second)
    if len(ones) != len(others):
        raise ValueError(f"{len(ones)} seeds of the first model, but {len(others)} of the second")
    values = _over_seeds(a, b, [list(two) for two in zip(ones, others, strict=True)], resampling)
    found = _intervals(METRICS, values[:, 0] - values[:, 1], resampling.level)
    every = np.ones(label.size)
    here = [np.mean([measure(every) for measure in measures], axis=0) for measures in (ones, others)]
    difference = here[0] - here[1]
    return {
        name: Difference(
            _defined(here[0][k]),
            _defined(here[1][k]),
            _defined(difference[k]),
            found.bounds[name],
            found.left_out[name],
        )
        for k, name in enumerate(METRICS)
    }


def _defined(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _measures(label: NDArray[np.int64], runs: Runs) -> list[WeightedMetrics]:
    probability = np.atleast_2d(np.asarray(runs.probability, dtype=np.float64))
    thresholds = np.broadcast_to(np.asarray(runs.threshold, dtype=np.float64), len(probability))
    return [WeightedMetrics(label, row, float(at)) for row, at in zip(probability, thresholds, strict=True)]


def _over_seeds(
    a: ArrayLike,
    b: ArrayLike,
    measures: Sequence[Sequence[Callable[[Floats], Floats]]],
    resampling: Resampling,
) -> Floats:
    """(resamples, models, metrics): means over drawn seeds; ``measures`` is one list of models for each seed."""
    rng = np.random.default_rng(resampling.seed)
    seeds = len(measures)
    found = []
    for weight in protein_weights(a, b, resampling.resamples, rng):
        drawn = np.bincount(rng.integers(seeds, size=seeds), minlength=seeds) / seeds
        values = np.array([[measure(weight) for measure in models] for models in measures])
        found.append(np.tensordot(drawn, values, axes=1))
        if resampling.advance is not None:
            resampling.advance(1)
    return np.array(found)


def protein_weights(a: ArrayLike, b: ArrayLike, resamples: int, rng: np.random.Generator) -> Iterator[Floats]:
    """(n,) weights of n pairs of the proteins a and b (n,), once for each resample of the proteins that they hold."""
    ends = np.stack([np.asarray(a), np.asarray(b)])
    proteins, (first, second) = np.unique(ends, return_inverse=True)
    alone = np.flatnonzero(first == second)
    for _ in range(resamples):
        count = np.bincount(rng.integers(proteins.size, size=proteins.size), minlength=proteins.size).astype(float)
        weight = count[first] * count[second]
        weight[alone] = count[first[alone]]
        yield weight


def _intervals(names: Sequence[str], values: Floats, level: float) -> Intervals:
    """``values`` is (resamples, len(names)), NaN where undefined."""
    bounds: dict[str, Bounds] = {}
    left_out = {}
    for name, column in zip(names, values.T, strict=True):
        defined = column[~np.isnan(column)]
        left_out[name] = column.size - defined.size
        tails = ((1 - level) / 2, (1 + level) / 2)
        low, high = np.quantile(defined, tails) if defined.size else (np.nan, np.nan)
        bounds[name] = (float(low), float(high)) if defined.size else None
    return Intervals(bounds, left_out)
