"""``esm2-amp regions``: every row kept, everything left out is said, mistakes end with one message."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from esm2_amp.explain.ranking import rank_segments
from esm2_amp.io.segments import RankedSegment, write_segments
from esm2_amp.layout import SEGMENTS

HEAD = "outcome\tkind\trank\tprotein_a\tprotein_b\ttoken"
SEGMENT_ROWS = [
    "1-1\ttop\t1\tP1\tP2\tA_segment1",
    "1-1\ttop\t2\tP1\tP2\tB_segment0",
    "1-1\tlow\t1\tP1\tP2\tA_segment9",
    "0-0\ttop\t1\tP1\tS7\tB_segment8",
    "0-0\ttop\t2\tP1\tS7\tB_segment2",
    "0-0\tlow\t1\tP1\tS7\tA_segment0",
]
ANNOTATIONS = """Entry\tLength\tDomain [FT]\tMotif\tChain
P1\t100\tDOMAIN 11..15; /note="a; b [c]"; DOMAIN 16..>20\tMOTIF 14; MOTIF P1-2:3..9\tCHAIN 1..100
P2\t20\t\t\tCHAIN 1..20
S7\t7\tDOMAIN 2..30\t\t
X9\t50\tDOMAIN ?..9\t\t
"""
Table = list[dict[str, str]]


def rows(file: Path) -> Table:
    with file.open(newline="") as stream:
        return list(csv.DictReader(stream, delimiter="\t"))


@pytest.fixture
def regions(tmp_path: Path, cli: Callable[..., Any]) -> Callable[..., Any]:
    """Run the command on these tables; the last option wins."""

    def run(*options: str, segments: str = "\n".join([HEAD, *SEGMENT_ROWS]), annotations: str = ANNOTATIONS) -> Any:
        (tmp_path / "segments.tsv").write_text(segments)
        (tmp_path / "annotations.tsv").write_text(annotations)
        files = ["segments=segments.tsv", "annotations=annotations.tsv", "output=out"]
        quick = ["permutations=19", "report.resamples=19"]
        given = {word.partition("=")[0]: word for word in [*files, *quick, *options]}
        return cli(["regions", *given.values()], tmp_path)

    return run


def test_the_tables(regions: Callable[..., Any], tmp_path: Path) -> None:
    outcome = regions()
    assert outcome.code == 0, outcome.err
    out = tmp_path / "out"
    expected = ("coverage.tsv", "hit_rates.tsv", "comparison.tsv", "issues.tsv", "report.html")
    assert sorted(path.name for path in out.iterdir()) == sorted(expected)
    coverage = (out / "coverage.tsv").read_text().splitlines()
    assert coverage[0] == f"{HEAD}\tany\tDomain\tMotif"
    cells = ["100.0\t100.0\t10.0", "0.0\t0.0\t0.0", "0.0\t0.0\t0.0", "\t\t", "100.0\t100.0\t0.0", "0.0\t0.0\t0.0"]
    assert coverage[1:] == [f"{row}\t{cell}" for row, cell in zip(SEGMENT_ROWS, cells, strict=True)]
    rates = {(r["outcome"], r["kind"], r["threshold"], r["rank"]): r for r in rows(out / "hit_rates.tsv")}
    assert rates["1-1", "top", "75", "1"]["any"] == "100.0"
    assert rates["1-1", "top", "75", "2"]["any"] == "0.0"
    assert rates["1-1", "top", "75", "any_of_2"]["Domain"] == "100.0"
    assert rates["0-0", "top", "25", "1"]["any"] == ""  # a segment without residues
    assert rates["0-0", "top", "25", "any_of_2"]["any"] == "100.0"
    compared = {(r["outcome"], r["region"], r["measure"], r["compared"]): r for r in rows(out / "comparison.tsv")}
    whole = compared["1-1", "any", "coverage", "top-background"]
    assert (whole["value"], whole["pairs"], whole["proteins"]) == ("45.0", "1", "2")
    assert 0 < float(whole["p_value"]) <= 1
    assert compared["all", "Motif", "hit_25", "top"]["value"] == "0.0"


def test_everything_left_out_is_said(regions: Callable[..., Any], tmp_path: Path) -> None:
    outcome = regions()
    issues = {(i["protein"], i["place"]): (i["action"], i["line"]) for i in rows(tmp_path / "out" / "issues.tsv")}
    assert issues == {
        ("P1", "16..>20"): ("kept", "2"),
        ("P1", "P1-2:3..9"): ("left out", "2"),
        ("S7", "2..30"): ("cut", "4"),
        ("S7", "B_segment8"): ("left out", "5"),
    }
    page = (tmp_path / "out" / "report.html").read_text()
    for words in ("Chain (2)", "1 protein without a region that counts, covered 0 %: P2", "1 of 6 rows are segments"):
        assert words in outcome.err
        assert words in page


def test_a_protein_without_a_length_is_an_error_or_left_out(regions: Callable[..., Any], tmp_path: Path) -> None:
    segments = "\n".join(
        [HEAD, *SEGMENT_ROWS, "1-1\ttop\t1\tNOBODY\tP1\tB_segment1", "1-1\ttop\t2\tNOBODY\tP1\tA_segment1"]
    )
    outcome = regions(segments=segments)
    assert outcome.code == 2
    assert "segments.tsv, line 8: no length of NOBODY" in outcome.err
    assert not (tmp_path / "out").exists()
    assert regions("unknown=drop", segments=segments).code == 0
    kept = rows(tmp_path / "out" / "coverage.tsv")
    assert len(kept) == len(SEGMENT_ROWS) + 2
    assert [row["any"] for row in kept[-2:]] == ["100.0", ""]
    left = [row for row in rows(tmp_path / "out" / "issues.tsv") if "NOBODY" in row["reason"]]
    assert [row["line"] for row in left] == ["8", "9"]
    assert "2 of 8 rows of a pair with a protein of unknown length" in (tmp_path / "out" / "report.html").read_text()
    counted = rows(tmp_path / "out" / "comparison.tsv")
    assert {row["pairs"] for row in counted if row["outcome"] == "1-1"} == {"1"}


def test_lengths_come_from_sequences_too(regions: Callable[..., Any], tmp_path: Path) -> None:
    fasta = f">sp|P1|ONE_HUMAN\n{'A' * 100}\n>P2\n{'A' * 20}\n>S7\nAAAAAAA\n"
    (tmp_path / "p.fasta").write_text(fasta)
    table = "protein\tstart\tend\tkind\tnote\nP1\t11\t20\tDomain\t\nP1\t14\t14\tMotif\t\nS7\t2\t30\tDomain\t\n"
    assert regions("fasta=p.fasta", annotations=table).code == 0
    first = (tmp_path / "out" / "coverage.tsv").read_bytes()
    assert regions("output=other").code == 0
    assert (tmp_path / "other" / "coverage.tsv").read_bytes() == first
    (tmp_path / "p.fasta").write_text(fasta.replace("A" * 100, "A" * 99))
    outcome = regions("fasta=p.fasta", "output=third")
    assert outcome.code == 2
    assert "P1 has 100 residues in the annotations, but 99" in outcome.err


def test_kinds_are_chosen(regions: Callable[..., Any], tmp_path: Path) -> None:
    assert regions("kinds=[chain,Motif]").code == 0
    header = (tmp_path / "out" / "coverage.tsv").read_text().splitlines()[0]
    assert header == f"{HEAD}\tany\tChain\tMotif"


def test_the_same_command_gives_the_same_tables(regions: Callable[..., Any], tmp_path: Path) -> None:
    assert [regions("output=a").code, regions("output=b").code] == [0, 0]
    for name in ("coverage.tsv", "hit_rates.tsv", "comparison.tsv", "issues.tsv"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_ranked_attributions_are_read(regions: Callable[..., Any], tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=20)
    ranked = rank_segments(values, SEGMENTS.pair_names)
    chosen = [RankedSegment("1-1", kind, rank, "P1", "P2", token, 0) for kind, rank, token in ranked]
    write_segments(tmp_path / "mine.tsv", "ig", chosen)
    assert regions("segments=mine.tsv", "method=ig").code == 0
    assert [row["token"] for row in rows(tmp_path / "out" / "coverage.tsv")] == [token for _, _, token in ranked]


@pytest.mark.parametrize(
    ("options", "contents", "message"),
    [
        (["segments=none.tsv"], {}, "no such file"),
        (["annotations=none.tsv"], {}, "no such file"),
        (["annotations=[]"], {}, "annotations names no file"),
        (["unknown=maybe"], {}, "unknown is 'maybe'"),
        (["permutations=-1"], {}, "permutations is -1"),
        (["kinds=[Domian]"], {}, "Domian"),
        (["method=ig"], {}, "ig"),
        (["report.level=2"], {}, "report.level"),
        ([], {"annotations": ANNOTATIONS.replace("DOMAIN 11..15", "DOMAIN 11-15")}, "annotations.tsv, line 2"),
        ([], {"annotations": "Entry\tMotif\nQ1\tMOTIF 3\n"}, "none of 3"),
        ([], {"annotations": "Entry\tLength\tChain\nP1\t100\tCHAIN 1..9\nP2\t9\t\nS7\t7\t\n"}, "Chain"),
        ([], {"segments": f"{HEAD}\n1-1\ttop\t1\tP1\tP2\tA_mean\n"}, "segments.tsv, line 2"),
    ],
)  # fmt: skip
def test_a_mistake_ends_with_one_message_and_nothing_written(
    options: list[str], contents: dict[str, str], message: str, regions: Callable[..., Any], tmp_path: Path
) -> None:
    outcome = regions(*options, **contents)
    assert outcome.code == 2
    assert message in outcome.err
    assert "Traceback" not in outcome.err
    assert not (tmp_path / "out").exists()


def test_a_folder_that_holds_something_is_not_written_to(regions: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    assert regions().code == 0
    outcome = regions()
    assert outcome.code == 2
    assert "exists already" in outcome.err
