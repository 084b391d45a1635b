"""Intervals: the resampling by hand, laws of paired differences, cover of a known truth, degenerate pairs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from esm2_amp.evaluation.intervals import (
    Resampling,
    Runs,
    paired_difference,
    protein_intervals,
    ranking_intervals,
)
from esm2_amp.evaluation.metrics import binary_metrics
from esm2_amp.evaluation.weighted import METRICS

Pairs = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]


def drawn(n: int, proteins: int, seed: int) -> Pairs:
    rng = np.random.default_rng(seed)
    a, b = rng.integers(proteins, size=(2, n))
    p = np.round(rng.random(n), 2)
    return a, b, (rng.random(n) < p).astype(np.int64), p


def test_intervals_are_percentiles_of_pairs_repeated_as_their_proteins_are_drawn() -> None:
    a, b, label, p = drawn(60, 12, 0)  # with self-pairs
    a, b = 3 * a, 3 * b  # proteins that no pair holds are not drawn
    assert (a == b).any()
    values: dict[str, list[float]] = {name: [] for name in METRICS}
    rng = np.random.default_rng(5)
    for _ in range(200):
        count = dict.fromkeys(range(0, 36, 3), 0)
        for k in rng.integers(12, size=12):
            count[3 * int(k)] += 1
        rng.integers(1, size=1)  # the one seed
        times = [count[x] if x == y else count[x] * count[y] for x, y in zip(a.tolist(), b.tolist(), strict=True)]
        found = binary_metrics(np.repeat(label, times), np.repeat(p, times), 0.6)
        for name in METRICS:
            values[name].append(float(found[name]))  # type: ignore[arg-type]
    got = protein_intervals(a, b, label, p, 0.6, n_proteins=36, resampling=Resampling(200, 5, 0.9))
    for name in METRICS:
        assert got.bounds[name] == pytest.approx(tuple(np.quantile(values[name], [0.05, 0.95])))
        assert got.left_out[name] == 0


def test_several_seeds_of_the_same_numbers_are_one_seed() -> None:
    a, b, label, p = drawn(300, 40, 1)
    one, three = (
        protein_intervals(a, b, label, x, 0.5, n_proteins=40, resampling=Resampling(300, 0, 0.95))
        for x in (p, np.stack([p, p, p]))
    )
    for name in METRICS:  # other resamples of the same proteins, since the seeds are drawn between them
        assert three.bounds[name] == pytest.approx(one.bounds[name], abs=0.03)


def test_the_interval_covers_the_truth_where_proteins_matter() -> None:
    covered = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        a, b = rng.integers(60, size=(2, 400))
        noise = rng.normal(size=60)  # each protein's own, shared by all its pairs
        label = rng.integers(0, 2, 400)
        score = 1.2 * label + noise[a] + noise[b] + rng.normal(size=400)
        found = ranking_intervals(a, b, label, [score], n_proteins=60, resampling=Resampling(200, seed, 0.9))[0]
        low, high = found.bounds["auroc"] or (1, 0)
        covered.append(low <= 0.6879 <= high)  # Phi(1.2 / sqrt(2 * 3)), over pairs without a protein in common
    assert np.mean(covered) >= 0.8


def test_a_model_does_not_differ_from_itself_and_a_difference_changes_sign() -> None:
    a, b, label, p = drawn(400, 30, 2)
    q = np.clip(p + np.random.default_rng(3).normal(0, 0.2, (3, 400)), 0, 1)
    r = np.clip(p + np.random.default_rng(4).normal(0, 0.4, (3, 400)), 0, 1)
    how: dict[str, Any] = {"n_proteins": 30, "resampling": Resampling(150, 0, 0.95)}
    same = paired_difference(a, b, label, Runs(q, 0.5), Runs(q, 0.5), **how)
    there = paired_difference(a, b, label, Runs(q, 0.5), Runs(r, [0.4, 0.5, 0.6]), **how)
    back = paired_difference(a, b, label, Runs(r, [0.4, 0.5, 0.6]), Runs(q, 0.5), **how)
    for name in METRICS:
        assert (same[name].difference, same[name].interval) == (0, (0, 0))
        low, high = there[name].interval or (np.nan, np.nan)
        assert back[name].interval == pytest.approx((-high, -low))
        each = [
            binary_metrics(label, q[k], 0.5)[name] - binary_metrics(label, r[k], t)[name]  # type: ignore[operator]
            for k, t in enumerate((0.4, 0.5, 0.6))
        ]
        assert there[name].difference == pytest.approx(np.mean(each))
        assert there[name].first - there[name].second == pytest.approx(np.mean(each))  # type: ignore[operator]
    assert there["auroc"].interval is not None
    assert there["auroc"].interval[0] > 0  # less noise is better


def test_seeds_that_differ_widen_the_difference() -> None:
    a, b, label, p = drawn(2000, 200, 3)
    other = np.random.default_rng(0).random(2000)
    how: dict[str, Any] = {"n_proteins": 200, "resampling": Resampling(150, 0, 0.95)}
    stable = paired_difference(a, b, label, Runs([p, p], 0.5), Runs([other, other], 0.5), **how)["auroc"].interval
    shaky = paired_difference(a, b, label, Runs([p, other], 0.5), Runs([other, other], 0.5), **how)["auroc"].interval
    assert stable is not None
    assert shaky is not None
    assert shaky[1] - shaky[0] > 2 * (stable[1] - stable[0])


@pytest.mark.filterwarnings("error")
def test_one_class_and_one_protein_have_no_ranking() -> None:
    how: dict[str, Any] = {"n_proteins": 9, "resampling": Resampling(20, 0, 0.95)}
    found = protein_intervals([0, 1], [2, 2], [1, 1], [0.5, 0.9], 0.5, **how)
    assert found.bounds["auroc"] is None
    assert found.left_out["auroc"] == 20
    assert found.bounds["recall"] == (1, 1)
    assert 0 < found.left_out["recall"] < 20  # no pair was drawn
    alone = protein_intervals([4, 4], [4, 4], [0, 1], [0.5, 0.9], 0.5, **how)  # one protein: always drawn
    assert alone.bounds["auroc"] == (1, 1)
    assert alone.left_out["auroc"] == 0
    ties = ranking_intervals([0, 1, 2], [1, 2, 0], [0, 1, 1], [[7.0] * 3], **how)[0]
    assert ties.bounds["auroc"] == (0.5, 0.5)


def test_the_same_seed_gives_the_same_interval_and_progress_counts_resamples() -> None:
    a, b, label, p = drawn(50, 10, 4)
    steps: list[int] = []
    first = protein_intervals(a, b, label, p, 0.5, n_proteins=10, resampling=Resampling(30, 7, 0.95, steps.append))
    assert first == protein_intervals(a, b, label, p, 0.5, n_proteins=10, resampling=Resampling(30, 7, 0.95))
    assert first != protein_intervals(a, b, label, p, 0.5, n_proteins=10, resampling=Resampling(30, 8, 0.95))
    assert sum(steps) == 30


def test_nonsense_is_refused() -> None:
    how = Resampling(5, 0, 0.95)
    with pytest.raises(ValueError, match="3 proteins"):
        protein_intervals([0, 3], [1, 1], [0, 1], [0.1, 0.2], 0.5, n_proteins=3, resampling=how)
    with pytest.raises(ValueError, match="shape"):
        protein_intervals([0, 1], [1, 1], [0, 1], [0.1], 0.5, n_proteins=3, resampling=how)
    with pytest.raises(ValueError, match="no pairs"):
        protein_intervals([], [], [], [], 0.5, n_proteins=3, resampling=how)
    with pytest.raises(ValueError, match="2 seeds of the first model, but 1"):
        paired_difference([0], [1], [1], Runs([[0.1], [0.2]], 0.5), Runs([[0.3]], 0.5), n_proteins=2, resampling=how)
    for wrong in ((0, 0, 0.9), (5, -1, 0.9), (5, 0, 95)):
        with pytest.raises(ValueError, match="between 0 and 1"):
            Resampling(*wrong)
