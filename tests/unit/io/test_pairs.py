"""Pair lists: every form reads the same rows, every mistake has its place."""

from __future__ import annotations

import csv
import gzip
import io
import os
import tracemalloc
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from esm2_amp.errors import InputError
from esm2_amp.io.pairs import iter_pairs

ROWS = [("P1", "P2", 1), ("P3", "P1", 0), ("P2", "P2", 1)]
IDS = st.text(st.characters(categories=["L", "N"], include_characters='|_-.,"'), min_size=1, max_size=8)


def write(folder: Path, content: bytes | str, name: str = "pairs.txt") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def write_parquet(folder: Path, columns: dict[str, Any], name: str = "pairs.parquet") -> Path:
    pq.write_table(pa.table(columns), folder / name)
    return folder / name


def rows_of(path: Path) -> list[tuple[str, str, int | None]]:
    return [(pair.a, pair.b, pair.label) for pair in iter_pairs(path)]


TEXTS = {
    "tsv": "P1\tP2\t1\nP3\tP1\t0\nP2\tP2\t1\n",
    "csv": "P1,P2,1\nP3,P1,0\nP2,P2,1\n",
    "spaces": "P1 P2 1\nP3  P1 0\n P2 P2  1\n",
    "tsv with a header": "protein_a\tprotein_b\tlabel\nP1\tP2\t1\nP3\tP1\t0\nP2\tP2\t1\n",
    "columns in any order, others between": (
        'Label,"note",Protein_B,PROTEIN_A\n1,"a, b",P2,P1\n0,,P1,P3\n1.0,"""",P2,P2\n'
    ),
    "synonyms": "protein1 protein2 label\nP1 P2 1\nP3 P1 0\nP2 P2 1\n",
    "short synonyms": "label\tid2\tid1\n1\tP2\tP1\n0\tP1\tP3\n1\tP2\tP2\n",
    "the documented names first": "id1,id2,protein_a,protein_b,label\nx,y,P1,P2,1\nx,y,P3,P1,0\nx,y,P2,P2,1\n",
    "quotes": '"P1" "P2" "1"\n"P3" "P1" "0"\n"P2" "P2" "1"\n',
    "decimals": "P1,P2,1.0\nP3,P1,0.0\nP2,P2,1.0\n",
    "Windows": "\ufeffprotein_a,protein_b,label\r\nP1,P2,1\r\n\r\nP3,P1,0\r\nP2,P2,1",
    "blank lines and blanks": "\n  \nP1 \t P2\t 1\n\nP3\tP1\t0\n\t\t\nP2\tP2\t1\n\n",
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
def test_every_form_reads_the_same_rows(tmp_path: Path, text: str) -> None:
    assert rows_of(write(tmp_path, text, "pairs.parquet")) == ROWS  # by content: the name is wrong
    assert rows_of(write(tmp_path, gzip.compress(text.encode()))) == ROWS


@settings(deadline=None, derandomize=True)
@given(st.lists(st.tuples(IDS, IDS, st.sampled_from([0, 1, None])), min_size=1, max_size=20))
def test_formats_agree(tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str, int | None]]) -> None:
    folder = tmp_path_factory.getbasetemp()
    for delimiter in "\t,":
        text = io.StringIO()
        table = csv.writer(text, delimiter=delimiter, lineterminator="\n")
        table.writerow(["protein_a", "protein_b", "label"])
        table.writerows([a, b, "" if label is None else label] for a, b, label in rows)
        assert rows_of(write(folder, text.getvalue())) == rows
    a, b, label = zip(*rows, strict=True)
    assert rows_of(write_parquet(folder, {"label": pa.array(label, pa.int8()), "protein_b": b, "protein_a": a})) == rows


@pytest.mark.parametrize(
    "label",
    [
        pa.array([1, 0, None], pa.int64()),
        pa.array([1.0, 0.0, None]),
        pa.array([1.0, 0.0, float("nan")]),
        pa.array([True, False, None]),
        pa.array(["1", "0", ""]),
        pa.array(["1.0", "0", None]).dictionary_encode(),
    ],
    ids=str,
)
def test_parquet_types(tmp_path: Path, label: pa.Array) -> None:
    ids = pa.array(["P1", "P2", "P1"]).dictionary_encode()
    path = write_parquet(tmp_path, {"protein1": ids, "other": [0, 0, 0], "protein2": [7, 8, 9], "LABEL": label})
    assert rows_of(path) == [("P1", "7", 1), ("P2", "8", 0), ("P1", "9", None)]


def test_labels_may_be_left_out(tmp_path: Path) -> None:
    for text in ("P1 P2\nP3 P4\n", "P1,P2\nP3,P4\n", "id2\tx\tid1\nP2\t1\tP1\nP4\t0\tP3\n", "P1\tP2\t\nP3\tP4\t\n"):
        assert rows_of(write(tmp_path, text)) == [("P1", "P2", None), ("P3", "P4", None)]
    assert rows_of(write_parquet(tmp_path, {"id1": ["P1"], "id2": ["P2"]})) == [("P1", "P2", None)]


def test_lines_are_those_an_editor_shows(tmp_path: Path) -> None:
    assert [p.line for p in iter_pairs(write(tmp_path, "\nprotein_a,protein_b\n\nA,B\n\n\nC,D\n"))] == [4, 7]
    many = [str(i) for i in range(70_000)]  # more than one batch
    path = write_parquet(tmp_path, {"protein_a": many, "protein_b": many})
    assert [p.line for p in iter_pairs(path)] == list(range(1, 70_001))


def test_a_first_row_with_a_label_is_a_row_even_if_its_ids_look_like_a_header(tmp_path: Path) -> None:
    assert rows_of(write(tmp_path, "protein1 protein2 1\nid1 protein3 0\n")) == [
        ("protein1", "protein2", 1),
        ("id1", "protein3", 0),
    ]


def test_a_protein_called_like_the_mark_of_parquet(tmp_path: Path) -> None:
    for text in ("PAR1\tP2\t1\n", "PAR1 P2 1", "PAR1,P2,1", "PAR1X P2 1"):
        assert rows_of(write(tmp_path, text)) == [(text[:5].strip("\t ,"), "P2", 1)]


def test_a_pipe_is_read() -> None:
    reading, writing = os.pipe()
    os.write(writing, gzip.compress(TEXTS["csv"].encode()))
    os.close(writing)
    try:
        assert rows_of(Path(f"/dev/fd/{reading}")) == ROWS
    finally:
        os.close(reading)


def test_memory_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    path = write(tmp_path, gzip.compress(b"protein_a\tprotein_b\tlabel\n" + b"P12345\tQ67890\t1\n" * 100_000))
    tracemalloc.start()
    assert sum(pair.label or 0 for pair in iter_pairs(path)) == 100_000
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000


MISTAKES = {
    "empty": ("", None, "no pair", "two ids"),
    "blank": ("\n\r\n  \n", None, "no pair", "two ids"),
    "header only": ("protein_a\tprotein_b\tlabel\n", None, "no pair", "two ids"),
    "too few cells": ("P1\tP2\t1\n\nP3\tP4\n", 3, "2 columns where the first row has 3", "same columns"),
    "too many cells": ("protein_a,protein_b\nP1,P2,0\n", 2, "3 columns where the first row has 2", "same columns"),
    "another delimiter later": ("P1\tP2\t1\nP3,P4,0\n", 2, "1 column where the first row has 3", "same columns"),
    "first id empty": ("P1\tP2\t1\n\tP4\t0\n", 2, "first id is empty", "Fill it in"),
    "second id blank": ("P1,P2,1\nP3, ,0\n", 2, "second id is empty", "Fill it in"),
    "label 2": ("P1\tP2\t1\nP3\tP4\t2\n", 2, "the label '2' is not 0 or 1", "0 (does not interact)"),
    "label in words": ("protein_a,protein_b,label\nP1,P2,yes\n", 2, "the label 'yes'", "empty."),
    "unknown header": (
        "first,second,class\nP1,P2,1\n",
        1,
        "the label 'class'",
        "name the columns protein_a, protein_b",
    ),
    "four columns": ("P1\tP2\t1\tx\n", 1, "4 columns without a header", "protein_a, protein_b"),
    "one id column": (
        "protein_a\tpartner\tlabel\nP1\tP2\t1\n",
        1,
        "only one id column in the header: 'protein_a'",
        "b",
    ),
    "mixed names": ("protein_a,id2\nP1,P2\n", 1, "only one id column in the header: 'protein_a'", "protein_b"),
    "an id column twice": ("protein_a,protein_b,Protein_A\nP1,P2,P3\n", 1, "two columns are called 'protein_a'", "Re"),
    "a label column twice": ("id1,id2,label,label\nP1,P2,1,0\n", 1, "two columns are called 'label'", "Rename"),
    "one column": ("P1\nP2\n", 1, "one column only: 'P1'", "delimiter"),
    "semicolons": ("P1;P2;1\n", 1, "one column only: 'P1;P2;1'", "delimiter"),
    "FASTA": (">sp|P1|X one, two\nMKV\n", 1, "this is a FASTA file", "protein_a"),
    "an open quote": ('P1,P2,1\n"P3,P4,0\nP5,P6",1,1\n', 2, "quotes that do not match", "Close"),
    "Latin-1": (b"P1\tP2\t1\nP\xe9\tP2\t1\n", 2, "not UTF-8", "UTF-8"),
    "binary": (bytes(range(256)), None, "not text", "UTF-8"),
    "binary later": (b"P1\tP2\t1\n" * 9 + b"P1\tP\0\t1\n", 10, "not text", "UTF-8"),
    "an Excel workbook": (b"PK\x03\x04\x14\x00", None, "Excel workbook", "TSV"),
    "UTF-16": ("P1\tP2\t1\n".encode("utf-16"), None, "UTF-16", "UTF-8"),
    "a gzip cut short": (gzip.compress(os.urandom(9999).hex().encode())[:-9], None, "damaged or cut short", "again"),
    "a damaged Parquet file": (b"PAR1\x15\x04\x15\x00PAR1", None, "the Parquet file is damaged", "again"),
    "Parquet inside gzip": (gzip.compress(b"PAR1\x15\x04"), None, "a Parquet file inside gzip", "Unpack"),
}


@pytest.mark.parametrize(("content", "line", "what", "remedy"), MISTAKES.values(), ids=MISTAKES.keys())
def test_a_mistake_is_named_with_its_place(
    tmp_path: Path, content: bytes | str, line: int | None, what: str, remedy: str
) -> None:
    path = write(tmp_path, content)
    with pytest.raises(InputError) as caught:
        list(iter_pairs(path))
    assert what in caught.value.what
    assert (caught.value.file, caught.value.line) == (path, line)
    assert remedy in caught.value.remedy


PARQUET_MISTAKES: dict[str, tuple[dict[str, Any], int | None, str]] = {
    "no id columns": ({"a": ["P1"], "b": ["P2"]}, None, "no columns protein_a and protein_b among: a, b"),
    "one id column": ({"protein_a": ["P1"], "b": ["P2"]}, None, "only one id column"),
    "null id": ({"id1": ["P1", "P1"], "id2": ["P2", None]}, 2, "second id is empty"),
    "number id": ({"id1": [1.5], "id2": ["P2"]}, 1, "the id 1.5 is not text"),
    "label 2": ({"id1": ["P1"], "id2": ["P2"], "label": [2]}, 1, "the label '2"),
    "label of bytes": ({"id1": ["P1"], "id2": ["P2"], "label": [b"1"]}, 1, "is not 0 or 1"),
    "a list as label": ({"id1": ["P1"], "id2": ["P2"], "label": [[1]]}, 1, "the label '[1]'"),
    "no row": ({"id1": pa.array([], pa.string()), "id2": pa.array([], pa.string())}, None, "no pair"),
}


@pytest.mark.parametrize(("columns", "line", "what"), PARQUET_MISTAKES.values(), ids=PARQUET_MISTAKES.keys())
def test_mistakes_in_parquet(tmp_path: Path, columns: dict[str, Any], line: int | None, what: str) -> None:
    path = write_parquet(tmp_path, columns)
    with pytest.raises(InputError) as caught:
        list(iter_pairs(path))
    assert what in caught.value.what
    assert (caught.value.file, caught.value.line) == (path, line)


def test_a_parquet_file_cut_or_damaged_anywhere(tmp_path: Path) -> None:
    ids = [f"P{i}" for i in range(3000)]
    content = write_parquet(tmp_path, {"id1": ids, "id2": ids}).read_bytes()
    for damaged in (content[:-1], content[: len(content) // 2], content[:100] + b"\xff" * 300 + content[400:]):
        with pytest.raises(InputError, match="the Parquet file is damaged"):
            list(iter_pairs(write(tmp_path, damaged)))


def test_files_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="absent.tsv: no such file"):
        next(iter_pairs(tmp_path / "absent.tsv"))
    with pytest.raises(InputError, match="this is a folder"):
        next(iter_pairs(tmp_path))
