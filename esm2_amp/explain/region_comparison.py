"""Are the top-ranked segments of a pair covered more than its other segments? Top against low against background.

For each pair and each column of the coverage (any kind, and each kind), three things are measured of a set of k
segments: the mean covered percentage, the percentage of them that is hit at each level, and whether any is hit (0 or
100). The background is what k segments drawn at random from the same pair would give on average: the mean over all
its segments, and for "any" 1 - C(m - h, k) / C(m, k), where h of its m segments are hit.

- Differences are those within each pair, averaged over the pairs of an outcome, in percentage points.
- Intervals resample proteins, not pairs: pairs that share a protein share its annotation (see
  :mod:`esm2_amp.evaluation.intervals`).
- The effect size is the mean difference over its standard deviation between pairs (Cohen's d of paired values).
- The ratio is that of the two means: 1.2 is a fifth more than the background has.
- The p value is of a permutation null: in every pair the ranks are drawn at random among its segments; it is the share
  of draws, the data being one of them, whose mean difference is as far from zero (Phipson & Smyth 2010, "Permutation
  p-values should never be zero", doi 10.2202/1544-6115.1585). Pairs are drawn independently of each other, so where a
  few proteins make up most pairs it is too small; the interval is the safer guide.

Segments without residues take part in nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from esm2_amp.evaluation.intervals import Bounds, Resampling, protein_weights
from esm2_amp.explain.ranked_pairs import HIT_LEVELS, RankedPairs
from esm2_amp.io.segments import LOW, TOP

Floats = NDArray[np.float64]
MEASURES = ("coverage", *(f"hit_{t}" for t in HIT_LEVELS), *(f"any_{t}" for t in HIT_LEVELS))
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
    outcomes = sorted(set(pairs.outcome.tolist()))
    groups = {outcome: pairs.outcome == outcome for outcome in outcomes}
    if len(groups) > 1:
        groups[ALL] = np.ones(len(pairs), dtype=bool)
    values = _values(pairs)
    p_values = _p_values(pairs, values, list(groups.values()), permutations)
    found = list[Compared]()
    for (name, chosen), p_value in zip(groups.items(), p_values, strict=True):
        found += _of_group(name, values[:, chosen], (pairs.a[chosen], pairs.b[chosen]), columns, resampling, p_value)
    return found


def _values(pairs: RankedPairs) -> Floats:
    """(6, n, measures, c): what is compared, of every pair; NaN where a pair has no such segments."""
    sets = {kind: pairs.of_rank(kind) for kind in (TOP, LOW)}
    k = {kind: (~np.isnan(found[:, :, 0])).sum(axis=1) for kind, found in sets.items()}
    top, low = (_measure(sets[kind], k[kind]) for kind in (TOP, LOW))
    beside_top, beside_low = (_background(pairs.percent, k[kind]) for kind in (TOP, LOW))
    background = np.where(np.isnan(beside_top), beside_low, beside_top)
    return np.stack([top, low, background, top - beside_top, low - beside_low, top - low])


def _measure(percent: Floats, k: NDArray[np.int64]) -> Floats:
    """(n, measures, c) of sets of k segments each, whose percentages (n, most k, c) are NaN beyond."""
    hits = [percent >= level for level in HIT_LEVELS]
    with np.errstate(invalid="ignore"):  # 0 / 0: no segment
        shares = [np.nansum(percent, axis=1), *(100.0 * hit.sum(axis=1) for hit in hits)]
        means = [share / k[:, None] for share in shares]
    some = [np.where(k[:, None] > 0, 100.0 * hit.any(axis=1), np.nan) for hit in hits]
    return np.stack([*means, *some], axis=1)


def _background(percent: Floats, k: NDArray[np.int64]) -> Floats:
    """(n, measures, c): what k of the segments of each pair (n, 20, c) give on average."""
    m = (~np.isnan(percent[:, :, 0])).sum(axis=1)
    found = _measure(percent, m)
    for i, level in enumerate(HIT_LEVELS):
        h = (percent >= level).sum(axis=1)
        missed = np.ones(h.shape)
        for drawn in range(int(k.max(initial=0))):
            left = np.maximum(m - drawn, 1)[:, None]
            share = np.maximum(m[:, None] - h - drawn, 0) / left
            missed = np.where(k[:, None] > drawn, missed * share, missed)
        found[:, 1 + len(HIT_LEVELS) + i] = 100.0 * (1.0 - missed)
    found[k == 0] = np.nan
    return found


def _p_values(
    pairs: RankedPairs, values: Floats, groups: Sequence[NDArray[np.bool_]], permutations: Permutations
) -> Floats:
    """(groups, 3, measures, c): p of each contrast; NaN where undefined or nothing was drawn."""
    contrasts = values[len(COMPARED) - len(CONTRASTS) :]
    observed = _means(contrasts, groups)
    if not permutations.draws:
        return np.full(observed.shape, np.nan)
    beside = values[[TOP_AT, LOW_AT]] - contrasts[:2]
    k = [(~np.isnan(pairs.of_rank(kind)[:, :, 0])).sum(axis=1) for kind in (TOP, LOW)]
    as_far = np.ones(observed.shape)
    for top, low in _drawn(pairs.percent, k[0], k[1], permutations):
        drawn = np.stack([top - beside[0], low - beside[1], top - low])
        as_far += np.abs(_means(drawn, groups)) >= np.abs(observed) - _SAME
    return np.where(np.isnan(observed), np.nan, as_far / (permutations.draws + 1))


TOP_AT, LOW_AT = COMPARED.index(TOP), COMPARED.index(LOW)


def _drawn(
    percent: Floats, k_top: NDArray[np.int64], k_low: NDArray[np.int64], permutations: Permutations
) -> Iterator[tuple[Floats, Floats]]:
    """Measures of the first and the last segments of each pair in a random order, once for each draw."""
    rng = np.random.default_rng((permutations.seed, 1))  # another stream than that of the intervals
    absent = np.isnan(percent[:, :, 0])
    m, most = (~absent).sum(axis=1), int(max(k_top.max(initial=0), k_low.max(initial=0)))
    rank = np.arange(most)
    for _ in range(permutations.draws):
        order = np.where(absent, 2.0, rng.random(absent.shape)).argsort(axis=1)  # absent segments last
        ends = (order[:, :most], np.take_along_axis(order, np.maximum(m[:, None] - 1 - rank, 0), axis=1))
        found = []
        for chosen, k in zip(ends, (k_top, k_low), strict=True):
            drawn = np.take_along_axis(percent, chosen[:, :, None], axis=1)
            found.append(_measure(np.where(rank[:, None] < k[:, None, None], drawn, np.nan), k))
        yield found[0], found[1]
        if permutations.advance is not None:
            permutations.advance(1)


def _means(values: Floats, groups: Sequence[NDArray[np.bool_]]) -> Floats:
    """(groups, q, measures, c): means of (q, n, measures, c) over the pairs of each group that have a value."""
    there = ~np.isnan(values)
    filled = np.where(there, values, 0.0)
    with np.errstate(invalid="ignore"):
        return np.stack([filled[:, chosen].sum(axis=1) / there[:, chosen].sum(axis=1) for chosen in groups])


def _of_group(
    outcome: str,
    values: Floats,
    ends: tuple[NDArray[np.int64], NDArray[np.int64]],
    columns: Sequence[str],
    resampling: Resampling | None,
    p_values: Floats,
) -> Iterator[Compared]:
    """Every number of the pairs of one outcome; ``values`` as :func:`_values` gives them."""
    there = ~np.isnan(values)
    means = _means(values, [np.ones(values.shape[1], dtype=bool)])[0]
    bounds = None if resampling is None else _bounds(values, ends, resampling)
    contrast_from = len(COMPARED) - len(CONTRASTS)
    for c, column in enumerate(columns):
        for q, measure in enumerate(MEASURES):
            for i, compared in enumerate(COMPARED):
                here = there[i, :, q, c]
                is_contrast = i >= contrast_from
                yield Compared(
                    outcome,
                    column,
                    measure,
                    compared,
                    _defined(means[i, q, c]),
                    None if bounds is None or not here.any() else (bounds[0, i, q, c], bounds[1, i, q, c]),
                    _effect_size(values[i, here, q, c]) if is_contrast else None,
                    _ratio(compared, means[:, q, c]) if is_contrast else None,
                    _defined(p_values[i - contrast_from, q, c]) if is_contrast else None,
                    int(here.sum()),
                    len(np.unique(np.concatenate([end[here] for end in ends]))),
                )


def _bounds(values: Floats, ends: tuple[NDArray[np.int64], NDArray[np.int64]], resampling: Resampling) -> Floats:
    """(2, 6, measures, c) lower and upper bounds of the means."""
    shape = (values.shape[0], *values.shape[2:])
    flat = np.moveaxis(values, 1, 0).reshape(values.shape[1], -1)
    there = ~np.isnan(flat)
    filled, found = np.where(there, flat, 0.0), list[Floats]()
    rng = np.random.default_rng(resampling.seed)
    for weight in protein_weights(*ends, resampling.resamples, rng):
        with np.errstate(invalid="ignore"):  # 0 / 0: no pair with a value was drawn
            found.append((weight @ filled) / (weight @ there))
        if resampling.advance is not None:
            resampling.advance(1)
    drawn = np.array(found)
    tails = ((1 - resampling.level) / 2, (1 + resampling.level) / 2)
    every = np.isnan(drawn).all(axis=0)
    drawn[:, every] = 0.0  # of these nobody reads the bounds
    return np.asarray(np.nanquantile(drawn, tails, axis=0).reshape(2, *shape))


def _effect_size(differences: Floats) -> float | None:
    if differences.size < 2:
        return None
    spread = float(differences.std(ddof=1))
    return float(differences.mean()) / spread if spread > _SAME else None


def _ratio(contrast: str, means: Floats) -> float | None:
    """The mean of the first over that of the second; ``means`` in the order of :data:`COMPARED`."""
    first, second = (float(means[COMPARED.index(name)]) for name in contrast.split("-"))
    return first / second if second > _SAME else None


def _defined(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
