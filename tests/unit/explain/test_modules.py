"""The simulator's regions are known by their notes, and read as any other annotation."""

from __future__ import annotations

from pathlib import Path

import pytest

from esm2_amp.errors import InputError
from esm2_amp.explain.planted import Module, is_module, module_of
from esm2_amp.io.regions import read_annotations
from esm2_amp.records import Region

DEMO = Path(__file__).parents[3] / "datasets" / "demo"


def test_every_region_of_the_demo_is_a_module() -> None:
    regions = read_annotations([DEMO / "regions.tsv"], None).regions
    assert sum(map(len, regions.values())) == len((DEMO / "regions.tsv").read_text().splitlines()) - 1
    assert all(is_module(region) for found in regions.values() for region in found)
    assert module_of(regions["SIM0001"][0]) == Module(8, 60, "M01", "D03")


@pytest.mark.parametrize("note", ["SH3", "family=M01", "family=;binds=D03", "family=M01;binds=D03;more=1"])
def test_another_note_is_no_module(note: str) -> None:
    region = Region("P1", 1, 5, "domain", note)
    assert not is_module(region)
    with pytest.raises(InputError, match="of a region of P1"):
        module_of(region)
