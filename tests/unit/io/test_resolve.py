"""Pairs into arrays: every policy is applied, counted and listed, every mistake has its place."""

from __future__ import annotations

import csv
import tracemalloc
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from esm2_amp.errors import InputError
from esm2_amp.io.fasta import ProteinSet, read_fasta
from esm2_amp.io.pairs import iter_pairs
from esm2_amp.io.resolve import PairIssue, PairTable, count_issues, resolve_pairs, write_issues
from esm2_amp.records import Pair, Protein

PROTEINS = ProteinSet(
    [Protein("A", "MKV"), Protein("B", "GGG"), Protein("sp|C|X", "LLL"), Protein("B2", "GGG"), Protein("D", "AAA")],
    file="proteins.fasta",
)


def resolve(
    rows: Iterable[tuple[str, str, int | None]],
    *,
    unknown: Any = "error",
    conflicts: Any = "error",
    labels: bool = True,
) -> PairTable:
    pairs = (Pair(a, b, label, line) for line, (a, b, label) in enumerate(rows, start=1))
    return resolve_pairs(pairs, PROTEINS, unknown=unknown, conflicts=conflicts, need_labels=labels, file="pairs.tsv")


def as_rows(table: PairTable) -> list[tuple[str, str, int, int]]:
    names = [protein.id for protein in table.proteins]
    return [
        (names[a], names[b], int(label), int(line))
        for a, b, label, line in zip(table.a, table.b, table.label, table.line, strict=True)
    ]


def test_a_clean_list_becomes_arrays_in_its_order() -> None:
    table = resolve([("D", "C", 1), ("A", "sp|C|X", 0), ("A", "D", 0)])
    assert as_rows(table) == [("D", "sp|C|X", 1, 1), ("A", "sp|C|X", 0, 2), ("A", "D", 0, 3)]
    assert [protein.id for protein in table.proteins] == ["D", "sp|C|X", "A"]  # those used, by first use
    assert [array.dtype for array in (table.a, table.b, table.label, table.line)] == [
        np.int32,
        np.int32,
        np.int8,
        np.int64,
    ]
    assert len(table) == 3
    assert table.issues == ()


def test_unknown_ids_stop_with_counts_and_the_first_five() -> None:
    rows = [("A", "B", 1), *((f"X{i}", "A", 1) for i in range(6)), ("X0", "Y", 0)]
    with pytest.raises(InputError) as caught:
        resolve(rows)
    assert str(caught.value).startswith(
        "pairs.tsv, line 2: no sequence in proteins.fasta for 7 ids (7 rows): "
        "X0 (line 2), X1 (line 3), X2 (line 4), X3 (line 5), X4 (line 6) and 2 more. "
    )
    assert "data.unknown=drop" in caught.value.remedy


def test_unknown_ids_are_dropped_and_listed() -> None:
    table = resolve([("A", "X", 1), ("D", "C", 1), ("X", "Y", 0), ("X", "X", 0)], unknown="drop")
    assert as_rows(table) == [("D", "sp|C|X", 1, 2)]
    assert [protein.id for protein in table.proteins] == ["D", "sp|C|X"]  # A is in a dropped row only
    assert table.issues == (
        PairIssue("unknown_protein", 1, "A", "X", "dropped", "no sequence for X in proteins.fasta"),
        PairIssue("unknown_protein", 3, "X", "Y", "dropped", "no sequence for X and Y in proteins.fasta"),
        PairIssue("unknown_protein", 4, "X", "X", "dropped", "no sequence for X in proteins.fasta"),
    )


def test_self_pairs_are_kept_and_listed() -> None:
    table = resolve([("A", "A", 1), ("B", "B2", 0), ("C", "sp|C|X", 1)])
    assert as_rows(table) == [("A", "A", 1, 1), ("B", "B2", 0, 2), ("sp|C|X", "sp|C|X", 1, 3)]
    assert [(issue.kind, issue.line, issue.action) for issue in table.issues] == [
        ("self_pair", line, "kept") for line in (1, 2, 3)
    ]


def test_repeated_pairs_keep_the_first_row() -> None:
    table = resolve([("A", "B", 1), ("D", "A", 0), ("B2", "A", 1), ("A", "B", 1), ("A", "D", 0)])
    assert as_rows(table) == [("A", "B", 1, 1), ("D", "A", 0, 2)]
    assert table.issues == (
        PairIssue("repeated_pair", 3, "B2", "A", "dropped", "same pair on line 1"),
        PairIssue("repeated_pair", 4, "A", "B", "dropped", "same pair on line 1"),
        PairIssue("repeated_pair", 5, "A", "D", "dropped", "same pair on line 2"),
    )


def test_a_repeated_row_with_a_label_is_preferred_to_one_without() -> None:
    table = resolve([("A", "B", None), ("B", "A", 1), ("A", "D", None)], labels=False)
    assert as_rows(table) == [("B", "A", 1, 2), ("A", "D", -1, 3)]
    assert table.issues == (PairIssue("repeated_pair", 1, "A", "B", "dropped", "same pair on line 2"),)


def test_contradictory_labels_stop_with_both_lines() -> None:
    rows = [("A", "B", 1), ("A", "D", 1), ("B2", "A", 0), ("A", "B", 0), ("D", "D", 1), ("D", "D", 0)]
    with pytest.raises(InputError) as caught:
        resolve(rows)
    assert str(caught.value).startswith(
        "pairs.tsv, line 1: both labels for 2 pairs: "
        "A - B (0 on line 3, 1 on line 1), D - D (0 on line 6, 1 on line 5)."
    )
    assert "data.conflicts=drop" in caught.value.remedy


def test_contradictory_labels_drop_all_rows_of_the_pair() -> None:
    table = resolve([("A", "B", 1), ("A", "D", 1), ("B2", "A", 0), ("A", "B", None)], conflicts="drop", labels=False)
    assert as_rows(table) == [("A", "D", 1, 2)]
    detail = "label 0 on line 3, label 1 on line 1"
    assert table.issues == (
        PairIssue("conflicting_label", 1, "A", "B", "dropped", detail),
        PairIssue("conflicting_label", 3, "B2", "A", "dropped", detail),
        PairIssue("conflicting_label", 4, "A", "B", "dropped", detail),
    )


def test_a_missing_label_is_an_error_where_labels_are_needed() -> None:
    with pytest.raises(InputError, match="pairs.tsv, line 2: the pair A - D has no label"):
        resolve([("A", "B", 1), ("A", "D", None)])


def test_nothing_left_is_an_error() -> None:
    with pytest.raises(InputError, match=r"no pair is left \(unknown protein: 1, self pair: 0"):
        resolve([("A", "X", 1)], unknown="drop")
    with pytest.raises(InputError, match="no pair is left"):
        resolve([])


def test_an_ambiguous_accession_stops() -> None:
    proteins = ProteinSet([Protein("sp|P|X", "MKV"), Protein("tr|P|Y", "GGG")])
    with pytest.raises(InputError, match="the accession 'P' stands for two different sequences"):
        resolve_pairs([Pair("P", "P", 1, 1)], proteins, unknown="drop", conflicts="drop", need_labels=True, file=None)


NAMES = st.sampled_from(["A", "B", "B2", "C", "sp|C|X", "D", "X", "Y"])


@settings(deadline=None, derandomize=True)
@given(st.lists(st.tuples(NAMES, NAMES, st.sampled_from([0, 1, None])), max_size=40))
def test_policies_against_a_plain_reading_of_them(rows: list[tuple[str, str, int | None]]) -> None:
    """Every row is kept once or listed as dropped once, and by the rule that the policy states."""
    groups: dict[frozenset[str], list[int]] = defaultdict(list)
    dropped, selfs = {}, []
    for line, (a, b, _) in enumerate(rows, start=1):
        first, second = PROTEINS.get(a), PROTEINS.get(b)
        if first is None or second is None:
            dropped[line] = "unknown_protein"
        else:
            groups[frozenset((first.sequence, second.sequence))].append(line)
    kept = []
    for key, lines in groups.items():
        if {0, 1} <= {rows[line - 1][2] for line in lines}:
            dropped |= dict.fromkeys(lines, "conflicting_label")
            continue
        best = next((line for line in lines if rows[line - 1][2] is not None), lines[0])
        kept.append(best)
        dropped |= {line: "repeated_pair" for line in lines if line != best}
        selfs += [best] if len(key) == 1 else []
    if not kept:
        with pytest.raises(InputError, match="no pair is left"):
            resolve(rows, unknown="drop", conflicts="drop", labels=False)
        return
    table = resolve(rows, unknown="drop", conflicts="drop", labels=False)
    assert table.line.tolist() == sorted(kept)
    for a, b, label, line in zip(table.a, table.b, table.label, table.line, strict=True):
        written = rows[line - 1]
        assert (table.proteins[a], table.proteins[b]) == (PROTEINS.get(written[0]), PROTEINS.get(written[1]))
        assert label == (-1 if written[2] is None else written[2])
    assert {issue.line: issue.kind for issue in table.issues if issue.action == "dropped"} == dropped
    assert [issue.line for issue in table.issues if issue.action == "kept"] == sorted(selfs)
    assert set(table.a.tolist()) | set(table.b.tolist()) == set(range(len(table.proteins)))


def test_issues_are_counted_and_written(tmp_path: Path) -> None:
    issues = resolve([("A", "A", 1), ("A", "B", 1), ("B", "A", 1), ("A,\t", "X", 0)], unknown="drop").issues
    counts = {"unknown_protein": 1, "self_pair": 1, "repeated_pair": 1, "conflicting_label": 0}
    assert count_issues(issues) == counts
    write_issues(tmp_path / "issues.tsv", issues)
    with (tmp_path / "issues.tsv").open(newline="") as stream:
        header, *rows = csv.reader(stream, delimiter="\t")
    assert header == ["kind", "line", "protein_a", "protein_b", "action", "detail"]
    assert [PairIssue(kind, int(line), *rest) for kind, line, *rest in rows] == list(issues)  # type: ignore[arg-type]


def test_memory_of_many_pairs_is_a_few_arrays() -> None:
    names = [f"P{i}" for i in range(500)]
    proteins = ProteinSet(Protein(name, "MK" + "".join("ACDEFGHIKL"[int(d)] for d in name[1:])) for name in names)
    count = 120_000
    pairs = (Pair(names[i % 500], names[i // 500], i % 2, i + 1) for i in range(count) if i % 500 < i // 500)
    tracemalloc.start()
    table = resolve_pairs(pairs, proteins, unknown="error", conflicts="error", need_labels=True, file=None)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(table) == sum(min(500, j) for j in range(240))
    assert peak < 200 * len(table) + 1_000_000


def test_pairs_named_by_accession_meet_a_fasta_of_uniprot(tmp_path: Path) -> None:
    fasta, pairs = tmp_path / "p.fasta", tmp_path / "pairs.txt"
    fasta.write_text(">sp|P1|X\nMKV\n>sp|P2|Y\nGGG\n")
    pairs.write_text("P1 P2\nP2 P1\nP1 P3\n")
    table = resolve_pairs(
        iter_pairs(pairs), read_fasta(fasta), unknown="drop", conflicts="error", need_labels=False, file=pairs
    )
    assert as_rows(table) == [("sp|P1|X", "sp|P2|Y", -1, 1)]
    assert [issue.line for issue in table.issues] == [2, 3]
