"""Top against low against background: closed forms, enumeration, planted effects and none."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest

from esm2_amp.evaluation.intervals import Resampling
from esm2_amp.explain.ranked_pairs import HIT_LEVELS, RankedPairs
from esm2_amp.explain.region_comparison import ALL, Compared, Permutations, compare
from esm2_amp.explain.region_measures import MEASURES, SegmentSets

COLUMNS = ("any", "Domain")
NONE = Permutations(0, 0)


def drawn_pairs(
    n: int = 40, proteins: int = 15, effect: float = 0.0, seed: int = 0, shared: bool = False
) -> RankedPairs:
    """Pairs of random proteins with random coverage; ``effect`` of the ranks are chosen by coverage.

    ``shared``: random ranks follow from values of the segments of each protein, alike in all its pairs.
    """
    rng = np.random.default_rng(seed)
    percent = rng.choice([0.0, 0.0, 20.0, 50.0, 80.0, 100.0], size=(proteins, 10, 2))
    percent[0, 7:] = np.nan  # a protein of seven residues
    a, b = rng.integers(proteins, size=(2, n))
    both = np.concatenate([percent[a], percent[b]], axis=1)
    value = rng.random((proteins, 10))
    score = np.concatenate([value[a], value[b]], axis=1) if shared else rng.random((n, 20))
    score = score + effect * np.nan_to_num(both[:, :, 0])
    order = np.argsort(-score, axis=1)
    outcome = np.array(["1-1", "0-0"])[rng.integers(2, size=n)]
    return RankedPairs(outcome, a, b, both, {"top": order[:, :3], "low": order[:, ::-1][:, :3]})


def table(pairs: RankedPairs, resampling: Any = None, permutations: Permutations = NONE) -> dict[Any, Compared]:
    found = compare(pairs, COLUMNS, resampling, permutations)
    assert len(found) == 3 * len(COLUMNS) * len(MEASURES) * 6
    return {row[:4]: row for row in found}


def measured(values: np.ndarray, measure: str) -> float:
    """Of the percentages of one set of segments."""
    kind, _, level = measure.partition("_")
    if kind == "coverage":
        return float(values.mean())
    hit = values >= int(level)
    return 100.0 * float(hit.mean() if kind == "hit" else hit.any())


def test_values_are_means_over_pairs_and_the_background_that_of_every_choice() -> None:
    pairs = drawn_pairs(12)
    found = table(pairs)
    for measure in MEASURES:
        top, background = [], []
        for i in range(len(pairs)):
            here = pairs.percent[i, :, 1]
            chosen = pairs.ranked["top"][i]
            chosen = chosen[~np.isnan(here[chosen])]
            present = here[~np.isnan(here)]
            top.append(measured(here[chosen], measure))
            background.append(np.mean([measured(np.array(c), measure) for c in combinations(present, len(chosen))]))
        assert found[ALL, "Domain", measure, "top"].value == pytest.approx(np.mean(top))
        assert found[ALL, "Domain", measure, "background"].value == pytest.approx(np.mean(background))
        row = found[ALL, "Domain", measure, "top-background"]
        difference = np.array(top) - background
        assert row.value == pytest.approx(difference.mean())
        assert row.effect_size == pytest.approx(difference.mean() / difference.std(ddof=1))
        assert row.ratio == pytest.approx(np.mean(top) / np.mean(background))


def test_outcomes_are_compared_apart_and_together() -> None:
    pairs = drawn_pairs()
    chosen = pairs.outcome == "1-1"
    ranked = {kind: found[chosen] for kind, found in pairs.ranked.items()}
    alone = RankedPairs(pairs.outcome[chosen], pairs.a[chosen], pairs.b[chosen], pairs.percent[chosen], ranked)
    resampling = Resampling(30, 0, 0.9)
    both = [row for row in compare(pairs, COLUMNS, resampling, NONE) if row.outcome == "1-1"]
    assert both == compare(alone, COLUMNS, resampling, NONE)
    assert {row.pairs for row in both} == {int(chosen.sum())}


def test_draws_are_even_within_every_pair() -> None:
    """Over many draws each pair's mean is its background: of pairs of one protein with itself, too."""
    pairs = drawn_pairs(12)
    assert (pairs.a == pairs.b).any()
    assert np.isnan(pairs.percent).any()
    sets = SegmentSets(pairs)
    total = np.zeros((2, *sets.background("top").shape))
    for draw in sets.drawn(2000, 0):
        total += np.stack(draw)
    for mean, kind in zip(total / 2000, ("top", "low"), strict=True):
        assert np.abs(mean - sets.background(kind)).max() < 5.6  # standard error of a share: 1.1


def test_a_planted_effect_is_found_and_random_ranks_are_not() -> None:
    planted = table(drawn_pairs(effect=0.05), Resampling(100, 0, 0.95), Permutations(99, 0))
    row = planted[ALL, "any", "coverage", "top-background"]
    assert row.p_value == 0.01
    assert row.interval is not None
    assert row.interval[0] > 0
    assert row.effect_size is not None
    assert row.effect_size > 0.5
    assert planted[ALL, "any", "coverage", "low-background"].value < 0
    assert planted[ALL, "any", "coverage", "top-low"].ratio > 1.5


@pytest.mark.parametrize("shared", [False, True])
def test_p_values_of_random_ranks_are_not_too_small(shared: bool) -> None:
    """At most 10 % below 0.1, also where pairs that share proteins rank alike (60 worlds; 4 standard errors)."""
    p_values = []
    for seed in range(60):
        rows = compare(drawn_pairs(30, 8, seed=seed, shared=shared), COLUMNS, None, Permutations(19, seed))
        p_values += [r.p_value for r in rows if r[:4] == (ALL, "any", "coverage", "top-background")]
    assert np.mean(np.array(p_values) <= 0.1) < 0.1 + 4 * np.sqrt(0.09 / 60)
    assert min(p_values) >= 1 / 20


def test_the_same_seed_gives_the_same_numbers() -> None:
    calls: list[int] = []
    first = compare(drawn_pairs(), COLUMNS, Resampling(9, 3, 0.9, calls.append), Permutations(9, 3, calls.append))
    assert first == compare(drawn_pairs(), COLUMNS, Resampling(9, 3, 0.9), Permutations(9, 3))
    assert sum(calls) == 9 + 3 * 9
    other = compare(drawn_pairs(), COLUMNS, Resampling(9, 4, 0.9), Permutations(9, 4))
    assert [row.value for row in first] == [row.value for row in other]
    assert [row.interval for row in first] != [row.interval for row in other]


def test_a_side_without_ranks_is_left_out() -> None:
    pairs = drawn_pairs(10)
    pairs.ranked["low"][:] = -1
    pairs.ranked["top"][0] = -1
    found = table(pairs, Resampling(20, 0, 0.95), Permutations(9, 0))
    for compared in ("low", "low-background", "top-low"):
        row = found[ALL, "any", "coverage", compared]
        assert row[4:9] == (None, None, None, None, None)
        assert row.pairs == 0
    assert found[ALL, "any", "coverage", "top"].pairs == 9
    assert found[ALL, "any", f"any_{HIT_LEVELS[0]}", "top-background"].p_value is not None


def test_equal_coverage_has_no_effect() -> None:
    pairs = drawn_pairs(10)
    pairs.percent[:] = 50.0
    row = table(pairs, Resampling(20, 0, 0.95), Permutations(9, 0))[ALL, "any", "coverage", "top-background"]
    assert row[4:9] == (0.0, (0.0, 0.0), None, 1.0, 1.0)
