"""Coverage of segments: equal to counting residues one by one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from esm2_amp.errors import InputError
from esm2_amp.explain.coverage import ANY, cover
from esm2_amp.explain.region_kinds import FIRST, choose_kinds
from esm2_amp.layout import segment_bounds
from esm2_amp.records import Region

KINDS = ("Domain", "Motif")


def percent(length: int, *regions: tuple[int, int, str], kinds: tuple[str, ...] = KINDS) -> np.ndarray:
    """(10, any and kinds) of one protein."""
    rows = {"P": [Region("P", start, end, kind, "") for start, end, kind in regions]}
    return cover({"P": length}, rows, kinds).percent[0]


@given(st.data(), st.integers(0, 300))
def test_coverage_is_what_a_mask_of_residues_counts(data: st.DataObject, length: int) -> None:
    ends = st.tuples(st.integers(1, max(length, 1)), st.integers(1, max(length, 1)), st.sampled_from([*KINDS, "Chain"]))
    drawn = data.draw(st.lists(ends, max_size=12)) if length else []
    regions = [(min(first, second), max(first, second), kind) for first, second, kind in drawn]
    masks = {name: np.zeros(length, dtype=bool) for name in (ANY, *KINDS)}
    for start, end, kind in regions:
        if kind in KINDS:
            masks[ANY][start - 1 : end] = masks[kind][start - 1 : end] = True
    found = percent(length, *regions)
    for segment, (start, stop) in enumerate(segment_bounds(length)):
        for column, mask in enumerate(masks.values()):
            here = mask[start:stop]
            expected = 100 * int(here.sum()) / here.size if here.size else np.nan
            assert np.array_equal(found[segment, column], expected, equal_nan=True)


@pytest.mark.parametrize(
    ("regions", "expected"),
    [
        ([(15, 15)], 10.0),  # one residue
        ([(11, 20)], 100.0),
        ([(10, 10), (21, 21)], 0.0),  # its neighbours
        ([(11, 13), (14, 15)], 50.0),  # touching
        ([(11, 16), (13, 18)], 80.0),  # overlapping
        ([(11, 18), (13, 14), (13, 14)], 80.0),  # one in another, and twice
        ([(13, 14), (30, 40), (11, 12)], 40.0),  # a later region elsewhere changes nothing
        ([(1, 100)], 100.0),
        ([(18, 30)], 30.0),
    ],
)
def test_the_second_of_ten_segments(regions: list[tuple[int, int]], expected: float) -> None:
    for order in (regions, regions[::-1]):
        found = percent(100, *((start, end, "Motif") for start, end in order))
        assert found[1].tolist() == [expected, 0.0, expected]


def test_kinds_are_covered_apart_and_together() -> None:
    found = percent(100, (1, 5, "Domain"), (4, 8, "Motif"), (9, 10, "Chain"))
    assert found[0].tolist() == [80.0, 50.0, 50.0]


def test_proteins_shorter_than_ten_have_segments_without_coverage() -> None:
    found = percent(7, (2, 3, "Domain"))
    assert found[:7, 0].tolist() == [0.0, 100.0, 100.0, 0.0, 0.0, 0.0, 0.0]
    assert np.isnan(found[7:]).all()


def test_a_protein_without_regions_is_covered_by_nothing() -> None:
    coverage = cover({"P": 20, "Q": 30}, {}, KINDS)
    assert coverage.percent.shape == (2, 10, 3)
    assert not coverage.percent.any()
    assert coverage.sizes.sum(axis=1).tolist() == [20, 30]


def test_columns_stand_in_the_order_of_the_published_tool() -> None:
    found = {"Site": 1, "Chain": 9, "Motif": 2, "Compositional bias": 4, "domain": 1, "Family": 3, "Domain": 3}
    assert choose_kinds(found, []) == ("Domain", "Compositional bias", "Motif", "Site", "domain")
    assert choose_kinds(dict.fromkeys(reversed(FIRST), 1), []) == FIRST
    assert choose_kinds(found, ["chain", "Site"]) == ("Chain", "Site")


@pytest.mark.parametrize(("found", "asked", "word"), [({"Site": 1}, ["Sight"], "Sight"), ({"Chain": 2}, [], "Chain")])
def test_kinds_that_are_not_there_are_refused(found: dict[str, int], asked: list[str], word: str) -> None:
    with pytest.raises(InputError, match=word):
        choose_kinds(found, asked)
