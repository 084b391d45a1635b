"""Tables of ranked segments: read back as written, and refused by line."""

from __future__ import annotations

from pathlib import Path

import pytest

from esm2_amp.errors import InputError
from esm2_amp.io.segments import RankedSegment, outcome_of, read_segments, write_segments

HEAD = "outcome\tkind\trank\tprotein_a\tprotein_b\ttoken"
ROWS = [
    RankedSegment("1-1", "top", 1, "P1", "P2", "B_segment9", 2),
    RankedSegment("?-0", "low", 3, "P1", 'a "b"', "A_segment0", 3),
]


def test_what_is_written_is_read(tmp_path: Path) -> None:
    write_segments(tmp_path / "segments.tsv.gz", "ig", ROWS)
    assert read_segments(tmp_path / "segments.tsv.gz", None) == ROWS
    assert read_segments(tmp_path / "segments.tsv.gz", "ig") == ROWS
    assert [(row.protein, row.segment) for row in ROWS] == [("P2", 9), ("P1", 0)]


def test_columns_stand_in_any_order_beside_others(tmp_path: Path) -> None:
    file = tmp_path / "segments.csv"
    file.write_text("token,any,protein_b,protein_a,rank,kind,outcome\nB_segment9,0.0,P2,P1,1,top,1-1\n")
    assert read_segments(file, None) == ROWS[:1]


def test_methods_are_not_mixed(tmp_path: Path) -> None:
    file = tmp_path / "segments.tsv"
    rows = [f"1-1\ttop\t1\tP1\tP2\tA_segment{i}\t{method}" for i, method in enumerate(("ig", "attention", "ig"))]
    file.write_text("\n".join([f"{HEAD}\tmethod", *rows]))
    assert [row.segment for row in read_segments(file, "ig")] == [0, 2]
    for method, word in ((None, "2 methods: attention, ig"), ("shap", "attention, ig")):
        with pytest.raises(InputError, match=word):
            read_segments(file, method)


def test_outcomes() -> None:
    assert [outcome_of(*pair) for pair in ((1, 1), (0, 1), (1, 0), (None, 1))] == ["1-1", "0-1", "1-0", "?-1"]


@pytest.mark.parametrize(
    ("content", "line", "word"),
    [
        ("", None, "no segment"),
        (HEAD, None, "no segment"),
        (HEAD.replace("token", "tokens") + "\n", 1, "token"),
        (f"{HEAD}\ttoken\n", 1, "token"),
        (f"{HEAD}\n1-1\ttop\t1\tP1\tP2\n", 2, "5 columns"),
        (f"{HEAD}\n1-1\tbest\t1\tP1\tP2\tA_segment1\n", 2, "best"),
        (f"{HEAD}\n1-1\ttop\t0\tP1\tP2\tA_segment1\n", 2, "'0'"),
        (f"{HEAD}\n1-1\ttop\tfirst\tP1\tP2\tA_segment1\n", 2, "first"),
        (f"{HEAD}\n1-1\ttop\t1\tP1\t\tA_segment1\n", 2, "protein_b is empty"),
        (f"{HEAD}\n\n1-1\ttop\t1\tP1\tP2\tA_cls\n", 3, "A_cls"),
        (f"{HEAD}\n1-1\ttop\t1\tP1\tP2\tA_segment10\n", 2, "A_segment10"),
    ],
)
def test_a_malformed_table_is_refused(content: str, line: int | None, word: str, tmp_path: Path) -> None:
    file = tmp_path / "segments.tsv"
    file.write_text(content)
    with pytest.raises(InputError) as caught:
        read_segments(file, None)
    assert word in str(caught.value)
    assert caught.value.line == line
