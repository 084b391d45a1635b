"""Ranks and hit rates: against a plain count over rows."""

from __future__ import annotations

import numpy as np
import pytest

from esm2_amp.explain.coverage import Coverage, cover
from esm2_amp.explain.ranked_pairs import HIT_LEVELS, hit_rates, pair_up
from esm2_amp.explain.ranking import rank_segments
from esm2_amp.io.segments import RankedSegment
from esm2_amp.layout import ALL_TOKENS, CLS_SEGMENTS_EOS, MEAN, SEGMENTS, TokenLayout
from esm2_amp.records import Region


@pytest.mark.parametrize("layout", [SEGMENTS, CLS_SEGMENTS_EOS, ALL_TOKENS])
def test_ranks_are_those_of_segments_alone(layout: TokenLayout) -> None:
    names = layout.pair_names
    values = np.random.default_rng(0).normal(size=len(names))
    values[[i for i, name in enumerate(names) if "segment" not in name]] = 99.0
    by_name = {name: value for name, value in zip(names, values, strict=True) if "segment" in name}
    order = sorted(by_name, key=lambda name: by_name[name])
    expected = [("top", i + 1, order[-1 - i]) for i in range(3)] + [("low", i + 1, order[i]) for i in range(3)]
    assert rank_segments(values, names) == expected


def test_ties_go_by_order_and_nan_has_no_rank() -> None:
    values = np.zeros(20)
    values[[0, 12]] = np.nan
    ranked = rank_segments(values, SEGMENTS.pair_names, top=2)
    expected = [("top", 1, "A_segment1"), ("top", 2, "A_segment2"), ("low", 1, "A_segment1"), ("low", 2, "A_segment2")]
    assert ranked == expected


def test_a_layout_without_segments_has_no_ranks() -> None:
    assert rank_segments(np.ones(2), MEAN.pair_names) == []
    with pytest.raises(ValueError, match="2 tokens"):
        rank_segments(np.ones(3), MEAN.pair_names)


def coverage() -> Coverage:
    """Three proteins, one of seven residues, with random regions of two kinds."""
    rng = np.random.default_rng(1)
    lengths = {"P": 100, "Q": 64, "R": 7}
    regions = {
        name: [Region(name, s, min(s + int(rng.integers(12)), n), str(rng.choice(["Domain", "Motif"])), "") for s in
               rng.integers(1, n + 1, 5).tolist()]
        for name, n in lengths.items()
    }  # fmt: skip
    return cover(lengths, regions, ("Domain", "Motif"))


def ranked_rows() -> list[RankedSegment]:
    rng = np.random.default_rng(2)
    pairs = [("1-1", "P", "Q"), ("1-1", "Q", "R"), ("1-1", "P", "Q"), ("0-1", "R", "P"), ("0-1", "P", "P")]
    tokens = [rng.permutation(SEGMENTS.pair_names) for _ in pairs]
    return [
        RankedSegment(outcome, kind, rank + 1, a, b, str(order[rank + (3 if kind == "low" else 0)]), 0)
        for kind in ("top", "low")
        for rank in range(3)
        for (outcome, a, b), order in zip(pairs, tokens, strict=True)
    ]


def test_hit_rates_are_what_a_count_over_rows_gives() -> None:
    rows, covered = ranked_rows(), coverage()
    percent = {row: covered.percent[covered.row[row.protein], row.segment] for row in set(rows)}
    found = {(r.outcome, r.kind, r.level, r.rank): r.rates for r in hit_rates(pair_up(rows, covered))}
    assert list(found) == sorted(found)
    assert len(found) == 2 * 2 * len(HIT_LEVELS) * 4
    for (outcome, kind, level, rank), rates in found.items():
        here = [[r for r in rows if (r.outcome, r.kind, r.rank) == (outcome, kind, i)] for i in (1, 2, 3)]
        for column, rate in enumerate(rates):
            of_pairs = [[percent[row][column] for row in rows_of_pair] for rows_of_pair in zip(*here, strict=True)]
            sets = of_pairs if rank == "any_of_3" else [[values[int(rank) - 1]] for values in of_pairs]
            there = [[value for value in values if not np.isnan(value)] for values in sets]
            hits = [any(value >= level for value in values) for values in there if values]
            assert rate == 100 * sum(hits) / len(hits)


def test_a_pair_that_comes_again_counts_again() -> None:
    assert pair_up(ranked_rows(), coverage()).outcome.tolist().count("1-1") == 3


def test_pairs_with_a_protein_that_is_not_covered_are_left_out() -> None:
    rows, covered = ranked_rows(), coverage()
    without = Coverage({"P": 0, "Q": 1}, covered.columns, covered.covered[:2], covered.sizes[:2])
    pairs = pair_up(rows, without)
    assert sorted(pairs.outcome.tolist()) == ["0-1", "1-1", "1-1"]


def test_a_rank_that_no_pair_has_is_no_rate() -> None:
    rows = [row for row in ranked_rows() if row.kind == "top"]
    found = {(r.kind, r.rank): r.rates for r in hit_rates(pair_up(rows, coverage()))}
    assert found["low", "any_of_3"] == [None, None, None]
    assert None not in found["top", "any_of_3"]


def test_names_with_a_database_are_found_by_accession() -> None:
    rows = [row._replace(protein_a=f"sp|{row.protein_a}|X_HUMAN") for row in ranked_rows()]
    assert len(pair_up(rows, coverage())) == 5
