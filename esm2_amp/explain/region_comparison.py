"""Are the top-ranked segments of a pair covered more than its other segments? Top against low against background.

The background of a pair is what segments drawn at random from it give on average (:mod:`.region_measures`).

- Differences are those within each pair, averaged over the pairs of an outcome, in percentage points.
- Intervals resample proteins, not pairs: pairs that share a protein share its annotation (see
  :mod:`esm2_amp.evaluation.intervals`).
- The effect size is the mean difference over its standard deviation between pairs (Cohen's d of paired values).
- The ratio is that of the two means: 1.2 is a fifth more than the background has.
- The p value is that of a permutation null: ranks drawn at random among the segments of each pair, for all pairs at
  once (:meth:`.region_measures.SegmentSets.drawn`). It is the share of draws, the data being one of them, whose mean
  difference is as far from zero (Phipson & Smyth 2010, "Permutation p-values should never be zero",
  doi 10.2202/1544-6115.1585). Ranks drawn for each pair on its own would make it too small where pairs share proteins.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from esm2_amp.evaluation.intervals import Bounds, Resampling, protein_weights
from esm2_amp.explain.ranked_pairs import RankedPairs
from esm2_amp.explain.region_measures import MEASURES, Floats, SegmentSets
from esm2_amp.io.segments import LOW, TOP

BACKGROUND = "background"
CONTRASTS = (f"{TOP}-{BACKGROUND}", f"{LOW}-{BACKGROUND}", f"{TOP}-{LOW}")
COMPARED = (TOP, LOW, BACKGROUND, *CONTRASTS)
ALL = "all"
"""Pairs of every outcome together."""
_SAME = 1e-9
"""Percentages that differ by less are equal but for rounding."""


@dataclass(frozen=True)
class Permutations:
    """How often ranks are drawn (0: never), from which seed; ``advance`` is called with 1 after each."""

    draws: int
    seed: int
    advance: Callable[[int], object] | None = None


class Compared(NamedTuple):
    """One number: of ``pairs`` pairs of an outcome, of one column of the coverage, by one measure.

    ``value`` is a percentage or, of a contrast, a difference of two; None where no pair has one. ``effect_size``,
    ``ratio`` and ``p_value`` belong to contrasts; None where they are undefined or were not asked for.
    """

    outcome: str
    column: str
    measure: str
    compared: str
    value: float | None
    interval: Bounds
    effect_size: float | None
    ratio: float | None
    p_value: float | None
    pairs: int
    proteins: int


def compare(
    pairs: RankedPairs, columns: Sequence[str], resampling: Resampling | None, permutations: Permutations
) -> list[Compared]:
    """Compare by outcome and, where there are several, over all pairs.

    Args:
        pairs: the ranked pairs.
        columns: names of the columns of their percentages.
        resampling: for intervals; None leaves them out.
        permutations: for p values.
    """
    groups = {outcome: pairs.outcome == outcome for outcome in sorted(set(pairs.outcome.tolist()))}
    if len(groups) > 1 and ALL not in groups:
        groups[ALL] = np.ones(len(pairs), dtype=bool)
    sets = SegmentSets(pairs)
    top, low = (sets.measure(sets.chosen[kind]) for kind in (TOP, LOW))
    beside = [sets.background(kind) for kind in (TOP, LOW)]
    background = np.where(np.isnan(beside[0]), beside[1], beside[0])
    values = np.stack([top, low, background, top - beside[0], low - beside[1], top - low])
    p_values = _p_values(sets, beside, values[-len(CONTRASTS) :], list(groups.values()), permutations)
    found = list[Compared]()
    for (name, chosen), p_value in zip(groups.items(), p_values, strict=True):
        found += _of_group(name, values[:, chosen], (pairs.a[chosen], pairs.b[chosen]), columns, resampling, p_value)
    return found


def _p_values(
    sets: SegmentSets,
    beside: Sequence[Floats],
    contrasts: Floats,
    groups: Sequence[NDArray[np.bool_]],
    permutations: Permutations,
) -> Floats:
    """(groups, 3, measures, c): p of each contrast; NaN where undefined or nothing was drawn."""
    shape = (len(groups), len(CONTRASTS), *contrasts.shape[2:])
    if not permutations.draws:
        return np.full(shape, np.nan)
    shares = [np.stack([_shares(group & _there(contrast)) for group in groups]) for contrast in contrasts]
    away = [_flat(values) for values in (*beside, np.zeros_like(beside[0]))]
    observed = np.stack([share @ _flat(found) for share, found in zip(shares, contrasts, strict=True)], axis=1)
    expected = np.stack([share @ values for share, values in zip(shares, away, strict=True)], axis=1)
    as_far = np.ones(observed.shape)
    for top, low in sets.drawn(permutations.draws, permutations.seed):
        drawn = [share @ values for share, values in zip(shares, map(_flat, (top, low, top - low)), strict=True)]
        as_far += np.abs(np.stack(drawn, axis=1) - expected) >= np.abs(observed) - _SAME
        if permutations.advance is not None:
            permutations.advance(1)
    return np.where(np.isnan(observed), np.nan, as_far / (permutations.draws + 1)).reshape(shape)


def _there(values: Floats) -> NDArray[np.bool_]:
    """(n,) which pairs have segments to measure, from (n, measures, c); of one pair, all measures or none are NaN."""
    return ~np.isnan(values[:, 0, 0])


def _shares(chosen: NDArray[np.bool_]) -> Floats:
    """(n,) what each pair weighs in the mean of those chosen; NaN where none is."""
    with np.errstate(invalid="ignore"):
        return chosen / np.float64(chosen.sum())


def _flat(values: Floats) -> Floats:
    """(n, measures * c) without NaN: such pairs weigh nothing."""
    return np.nan_to_num(values).reshape(len(values), -1)


def _of_group(
    outcome: str,
    values: Floats,
    ends: tuple[NDArray[np.int64], NDArray[np.int64]],
    columns: Sequence[str],
    resampling: Resampling | None,
    p_values: Floats,
) -> Iterator[Compared]:
    """Every number of the pairs of one outcome, from (6, n, measures, c) what is compared, NaN where undefined."""
    there = np.stack([_there(found) for found in values])
    means = np.stack([_shares(here) @ _flat(found) for here, found in zip(there, values, strict=True)])
    means = means.reshape(len(values), *values.shape[2:])
    bounds = None if resampling is None else _bounds(values, there, ends, resampling)
    contrast_from = len(COMPARED) - len(CONTRASTS)
    proteins = [len(np.unique(np.concatenate([end[here] for end in ends]))) for here in there]
    for c, column in enumerate(columns):
        for q, measure in enumerate(MEASURES):
            for i, compared in enumerate(COMPARED):
                is_contrast = i >= contrast_from
                yield Compared(
                    outcome,
                    column,
                    measure,
                    compared,
                    _defined(means[i, q, c]),
                    None
                    if bounds is None or not there[i].any()
                    else (float(bounds[0, i, q, c]), float(bounds[1, i, q, c])),
                    _effect_size(values[i, there[i], q, c]) if is_contrast else None,
                    _ratio(compared, means[:, q, c]) if is_contrast else None,
                    _defined(p_values[i - contrast_from, q, c]) if is_contrast else None,
                    int(there[i].sum()),
                    proteins[i],
                )


def _bounds(
    values: Floats,
    there: NDArray[np.bool_],
    ends: tuple[NDArray[np.int64], NDArray[np.int64]],
    resampling: Resampling,
) -> Floats:
    """(2, 6, measures, c) lower and upper bounds of the means; a resample without a pair to measure is left out."""
    flat = np.concatenate([_flat(found) for found in values], axis=1)
    shape, found = (len(values), *values.shape[2:]), list[Floats]()
    rng = np.random.default_rng(resampling.seed)
    for weight in protein_weights(*ends, resampling.resamples, rng):
        with np.errstate(invalid="ignore"):  # 0 / 0: no such pair
            found.append((weight @ flat).reshape(len(values), -1) / (there @ weight)[:, None])
        if resampling.advance is not None:
            resampling.advance(1)
    drawn = np.array(found)
    drawn[:, np.isnan(drawn).all(axis=(0, 2))] = 0.0  # of these nobody reads the bounds
    tails = ((1 - resampling.level) / 2, (1 + resampling.level) / 2)
    return np.asarray(np.nanquantile(drawn, tails, axis=0).reshape(2, *shape))


def _effect_size(differences: Floats) -> float | None:
    if differences.size < 2:
        return None
    spread = float(differences.std(ddof=1))
    return float(differences.mean()) / spread if spread > _SAME else None


def _ratio(contrast: str, means: Floats) -> float | None:
    """The mean of the first over that of the second; ``means`` in the order of :data:`COMPARED`."""
    first, second = (float(means[COMPARED.index(name)]) for name in contrast.split("-"))
    return first / second if second > _SAME and not np.isnan(first) else None


def _defined(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
