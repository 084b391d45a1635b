"""The simulator's regions: what it writes is read, and anything else is refused by line."""

from __future__ import annotations

from pathlib import Path

import pytest

from esm2_amp.errors import InputError
from esm2_amp.io.fasta import read_fasta
from esm2_amp.io.planted_regions import Module, module_of, read_planted_regions
from esm2_amp.records import Region

DEMO = Path(__file__).parents[3] / "datasets" / "demo"
HEADER = "protein\tstart\tend\tkind\tnote\n"
NOTE = "family=M01;binds=D03"


def test_the_demo_is_read_whole() -> None:
    regions = read_planted_regions(DEMO / "regions.tsv")
    assert sum(map(len, regions.values())) == len((DEMO / "regions.tsv").read_text().splitlines()) - 1
    assert regions["SIM0001"] == [
        Region("SIM0001", 8, 60, "motif", NOTE),
        Region("SIM0001", 72, 178, "domain", "family=D05;binds=M02"),
    ]
    assert module_of(regions["SIM0001"][0]) == Module(8, 60, "M01", "D03")
    proteins = read_fasta(DEMO / "proteins.fasta")
    for name, found in regions.items():
        protein = proteins.get(name)
        assert protein is not None
        assert all(region.end <= len(protein.sequence) for region in found)


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("protein\tstart\tend\n", 1, "the columns are not protein, start, end, kind, note"),
        (f"{HEADER}P1\t1\t5\tmotif\n", 2, "4 columns instead of 5"),
        (f"{HEADER}P1\t1\t5\tmotif\t{NOTE}\n\nP1\t0\t5\tmotif\t{NOTE}\n", 4, "'0' to '5' are not residue numbers"),
        (f"{HEADER}P1\t6\t5\tmotif\t{NOTE}\n", 2, "'6' to '5' are not residue numbers"),
        (f"{HEADER}P1\t1.0\t5\tmotif\t{NOTE}\n", 2, "'1.0' to '5' are not residue numbers"),
        (f"{HEADER}P1\t1\t5\tdomain\tSH3\n", 2, "the note 'SH3' of a region of P1"),
        (HEADER, None, "holds no region"),
    ],
)
def test_a_wrong_row_is_refused_with_its_line(tmp_path: Path, text: str, line: int | None, message: str) -> None:
    file = tmp_path / "regions.tsv"
    file.write_text(text)
    with pytest.raises(InputError, match=message) as error:
        read_planted_regions(file)
    assert (error.value.file, error.value.line) == (file, line)
