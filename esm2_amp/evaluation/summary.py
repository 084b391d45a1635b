"""All numbers of one set of predicted pairs: metrics, intervals and baselines, pooled and class by class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from esm2_amp.evaluation.baselines import checked_pairs
from esm2_amp.evaluation.intervals import Intervals, Resampling, protein_intervals, ranking_intervals
from esm2_amp.evaluation.metrics import binary_metrics, checked, checked_probability, ranking_metrics
from esm2_amp.evaluation.per_protein import PerProtein, per_protein_auroc
from esm2_amp.evaluation.prevalence import average_precision_at, top_precision
from esm2_amp.evaluation.weighted import METRICS, RANKING

CLEAR_OF_BASELINE = 0.02
"""A model whose AUROC is not this far above the best baseline's gets a warning."""
RATIOS = (10, 100)
TOP_PERCENT = (1, 5, 10)


class _Pairs(NamedTuple):
    """Arrays (n,) of the same pairs; ``baselines`` (k, n)."""

    a: NDArray[np.int64]
    b: NDArray[np.int64]
    label: NDArray[np.int64]
    probability: NDArray[np.float64]
    baselines: NDArray[np.float64]

    def of(self, chosen: NDArray[np.bool_]) -> _Pairs:
        a, b, label, probability, baselines = self
        return _Pairs(a[chosen], b[chosen], label[chosen], probability[chosen], baselines[:, chosen])


def summarise(
    a: ArrayLike,
    b: ArrayLike,
    label: ArrayLike,
    probability: ArrayLike,
    groups: Mapping[str, ArrayLike],
    threshold: float,
    baselines: Mapping[str, ArrayLike],
    *,
    n_proteins: int,
    resampling: Resampling | None,
) -> dict[str, Any]:
    """Measure predicted pairs and the baselines beside them.

    Args:
        a: (n,) first proteins, in 0..n_proteins-1; n may be 0.
        b: (n,) second proteins.
        label: (n,) 0 or 1.
        probability: (n,) P(positive), in [0, 1].
        groups: families of classes, as ``{"protein": ..., "cluster": ...}``: each (n,) names of a class per pair.
        threshold: ``probability >= threshold`` is called positive; chosen on other pairs.
        baselines: scores (n,) of any scale, by name.
        n_proteins: how many proteins the numbers range over.
        resampling: how intervals are drawn; ``advance`` sees :func:`count_resamples` in all. None: no intervals.

    Returns:
        What JSON can hold, None where undefined: ``families``: family -> class -> numbers, with the class ``all``
        first (a family ``all`` where there are no groups). The numbers: those of ``binary_metrics``; ``intervals``
        (metric -> [low, high] or None) and ``left_out`` (metric -> resamples without a value); ``ap_1_10``,
        ``ap_1_100``; ``precision_top_1``, ``_5``, ``_10``; ``per_protein`` (``auroc``, ``aupr``, ``proteins``);
        ``baselines``: name -> ``auroc``, ``aupr``, ``intervals``, ``left_out``. Besides, ``warnings``: a sentence
        for each class where the model is not clear of the best baseline; ``resamples``, ``seed`` and ``level``.

    Raises:
        ValueError: shapes that differ, or values out of range.
    """
    a, b, label = checked_pairs(a, b, label, n_proteins)
    scores = [np.asarray(score, dtype=np.float64) for score in baselines.values()]
    pairs = _Pairs(a, b, label, np.asarray(probability, dtype=np.float64), _stacked(label, scores))
    if label.size:
        checked_probability(label, pairs.probability)
    classes = {family: _classes(label.size, values, family) for family, values in groups.items()}
    whole = _numbers(pairs, threshold, list(baselines), n_proteins, resampling)
    families: dict[str, dict[str, Any]] = {family: {"all": whole} for family in classes} or {"all": {"all": whole}}
    warnings = _warning("all pairs", whole)
    for family, values in classes.items():
        for name in np.unique(values):
            found = _numbers(pairs.of(values == name), threshold, list(baselines), n_proteins, resampling)
            families[family][str(name)] = found
            warnings += _warning(f"{name} by {family}", found)
    drawing: dict[str, Any] = {"resamples": 0, "seed": None, "level": None}
    if resampling is not None:
        drawing = {"resamples": resampling.resamples, "seed": resampling.seed, "level": resampling.level}
    return {"families": families, "warnings": warnings} | drawing


def count_resamples(groups: Mapping[str, ArrayLike], baselines: Mapping[str, ArrayLike], resamples: int) -> int:
    """How many resamples :func:`summarise` draws, of a set with at least one pair: for a progress bar."""
    sets = 1 + sum(np.unique(np.asarray(values)).size for values in groups.values())
    return sets * resamples * (2 if baselines else 1)


def _stacked(label: NDArray[np.int64], scores: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    for score in scores:
        if label.size:
            checked(label, score)
        elif score.size:
            raise ValueError(f"no pairs, but baseline scores of shape {score.shape}")
    return np.stack(scores) if scores else np.empty((0, label.size))


def _classes(n: int, values: ArrayLike, family: str) -> NDArray[np.str_]:
    classes = np.asarray(values, dtype=np.str_)
    if classes.shape != (n,):
        raise ValueError(f"{n} pairs, but classes by {family} of shape {classes.shape}")
    if "all" in classes:
        raise ValueError(f"a class by {family} is called 'all', which stands for the pooled pairs")
    return classes


def _numbers(
    pairs: _Pairs, threshold: float, names: list[str], n_proteins: int, resampling: Resampling | None
) -> dict[str, Any]:
    if not pairs.label.size:
        return _nothing(names, threshold)
    where, label, p = (pairs.a, pairs.b, pairs.label), pairs.label, pairs.probability
    found: dict[str, Any] = dict(binary_metrics(label, p, threshold))
    drawn, every = _drawn(pairs, threshold, n_proteins, resampling)
    found |= _as_json(drawn)
    found |= {f"ap_1_{ratio}": average_precision_at(label, p, ratio) for ratio in RATIOS}
    found |= {f"precision_top_{percent}": top_precision(label, p, percent / 100) for percent in TOP_PERCENT}
    found["per_protein"] = per_protein_auroc(*where, p, n_proteins)._asdict()
    found["baselines"] = {
        name: dict(ranking_metrics(label, score)) | _as_json(one)
        for name, score, one in zip(names, pairs.baselines, every, strict=True)
    }
    return found


def _nothing(names: list[str], threshold: float) -> dict[str, Any]:
    """The numbers of no pairs: the same keys as of some."""
    found = {"n": 0, "n_positive": 0} | dict.fromkeys(METRICS) | {"threshold": float(threshold)}
    found |= _as_json(_undrawn(METRICS))
    found |= dict.fromkeys([f"ap_1_{ratio}" for ratio in RATIOS])
    found |= dict.fromkeys([f"precision_top_{percent}" for percent in TOP_PERCENT])
    found["per_protein"] = PerProtein(None, None, 0)._asdict()
    return found | {"baselines": {name: dict.fromkeys(RANKING) | _as_json(_undrawn(RANKING)) for name in names}}


def _undrawn(names: Sequence[str]) -> Intervals:
    return Intervals(dict.fromkeys(names), dict.fromkeys(names, 0))


def _drawn(
    pairs: _Pairs, threshold: float, n_proteins: int, resampling: Resampling | None
) -> tuple[Intervals, list[Intervals]]:
    """Intervals of the model's metrics, and of each baseline's."""
    if resampling is None:
        return _undrawn(METRICS), [_undrawn(RANKING)] * len(pairs.baselines)
    where = (pairs.a, pairs.b, pairs.label)
    drawn = protein_intervals(*where, pairs.probability, threshold, n_proteins=n_proteins, resampling=resampling)
    if not len(pairs.baselines):
        return drawn, []
    return drawn, ranking_intervals(*where, list(pairs.baselines), n_proteins=n_proteins, resampling=resampling)


def _as_json(drawn: Intervals) -> dict[str, Any]:
    bounds = {name: None if pair is None else list(pair) for name, pair in drawn.bounds.items()}
    return {"intervals": bounds, "left_out": drawn.left_out}


def _warning(where: str, found: Mapping[str, Any]) -> list[str]:
    ranked = {name: values["auroc"] for name, values in found["baselines"].items() if values["auroc"] is not None}
    if not ranked or found["auroc"] is None:
        return []
    best = max(ranked, key=ranked.__getitem__)
    if found["auroc"] - ranked[best] >= CLEAR_OF_BASELINE:
        return []
    return [
        f"On {where} (n = {found['n']}) the model's AUROC of {found['auroc']:.3f} is not {CLEAR_OF_BASELINE} above "
        f"the {ranked[best]:.3f} of the baseline '{best}'."
    ]
