"""Planted truth by hand."""

from __future__ import annotations

import numpy as np
import pytest

from esm2_amp.errors import InputError
from esm2_amp.explain.planted import located_tokens, planted_tokens
from esm2_amp.layout import ALL_TOKENS, CLS_SEGMENTS_EOS, MEAN, SEGMENTS, TokenLayout
from esm2_amp.records import Region


def module(protein: str, start: int, end: int, family: str, binds: str) -> Region:
    kind = "motif" if family[0] == "M" else "domain"
    return Region(protein, start, end, kind, f"family={family};binds={binds}")


def names(layout: TokenLayout, mask: np.ndarray) -> set[str]:
    return {name for name, true in zip(layout.pair_names, mask, strict=True) if true}


def test_modules_that_bind_count_and_others_do_not() -> None:
    a = [module("A", 11, 30, "D01", "D02"), module("A", 61, 70, "M03", "D09")]
    b = [module("B", 41, 60, "D02", "D01"), module("B", 1, 10, "D03", "M01")]
    found = planted_tokens(SEGMENTS, 100, 100, a, b)
    assert names(SEGMENTS, found) == {"A_segment1", "A_segment2", "B_segment4", "B_segment5"}


def test_half_of_a_segment_counts_and_less_does_not() -> None:
    b = [module("B", 1, 10, "D02", "D01")]
    a = [module("A", 6, 24, "D01", "D02")]  # 5 residues of segment 0, all of 1, 4 of segment 2
    assert names(SEGMENTS, planted_tokens(SEGMENTS, 100, 100, a, b)) == {"A_segment0", "A_segment1", "B_segment0"}


def test_two_modules_that_share_a_segment_count_together() -> None:
    a = [module("A", 1, 33, "D01", "D02"), module("A", 38, 60, "D01", "D02")]  # 3 + 3 of segment 3's ten
    found = planted_tokens(SEGMENTS, 100, 10, a, [module("B", 1, 1, "D02", "D01")])
    assert names(SEGMENTS, found) == {f"A_segment{i}" for i in range(6)} | {"B_segment0"}


def test_a_short_module_counts_where_most_of_it_lies() -> None:
    a = [module("A", 98, 104, "M01", "D03")]  # 3 residues of segment 0, 4 of segment 1, a hundred each
    b = [module("B", 99, 102, "D03", "M01")]  # two and two: both
    found = planted_tokens(SEGMENTS, 1000, 1000, a, b)
    assert names(SEGMENTS, found) == {"A_segment1", "B_segment0", "B_segment1"}


def test_a_module_that_binds_its_own_family_is_found_in_both_chains() -> None:
    a = [module("A", 1, 10, "D01", "D01")]
    found = planted_tokens(SEGMENTS, 100, 100, a, [module("B", 91, 100, "D01", "D01")])
    assert names(SEGMENTS, found) == {"A_segment0", "B_segment9"}
    assert names(SEGMENTS, planted_tokens(SEGMENTS, 100, 100, a, a)) == {"A_segment0", "B_segment0"}


def test_proteins_that_do_not_bind_have_no_true_token() -> None:
    a, b = [module("A", 1, 50, "D01", "D02")], [module("B", 1, 50, "D01", "D02")]
    assert not planted_tokens(SEGMENTS, 100, 100, a, b).any()
    assert not planted_tokens(SEGMENTS, 100, 100, a, []).any()


def test_proteins_of_fewer_than_ten_residues() -> None:
    a, b = [module("A", 2, 3, "D01", "D02")], [module("B", 1, 4, "D02", "D01")]
    found = planted_tokens(SEGMENTS, 4, 4, a, b)
    assert names(SEGMENTS, found) == {"A_segment1", "A_segment2", *(f"B_segment{i}" for i in range(4))}


@pytest.mark.parametrize("layout", [SEGMENTS, CLS_SEGMENTS_EOS, MEAN, ALL_TOKENS])
def test_only_segments_are_true_whatever_the_layout(layout: TokenLayout) -> None:
    a, b = [module("A", 1, 100, "D01", "D02")], [module("B", 1, 100, "D02", "D01")]
    found = planted_tokens(layout, 100, 100, a, b)
    assert found.shape == (2 * len(layout),)
    assert np.array_equal(found, located_tokens(layout))
    assert names(layout, found) == {name for name in layout.pair_names if "segment" in name}


def test_regions_of_another_simulation_are_refused() -> None:
    a, b = [module("A", 1, 120, "D01", "D02")], [module("B", 1, 10, "D02", "D01")]
    with pytest.raises(InputError, match=r"region of A ends at 120, but the protein has 100"):
        planted_tokens(SEGMENTS, 100, 100, a, b)
    with pytest.raises(InputError, match=r"note 'SH3' of a region of A"):
        planted_tokens(SEGMENTS, 100, 100, [Region("A", 1, 9, "domain", "SH3")], b)
