"""Tables of scores: every row is either measured or counted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from esm2_amp.errors import InputError
from esm2_amp.io.scores import ScoreCollector, ScoredRow, iter_scores, read_scores

NAMES = st.sampled_from("ABCD")
ROWS = st.lists(st.tuples(NAMES, NAMES, st.sampled_from([0, 1, None]), st.sampled_from([0.25, 0.5, None])), max_size=30)


@given(ROWS)
def test_every_row_is_measured_or_counted(rows: list[tuple[str, str, int | None, float | None]]) -> None:
    collector = ScoreCollector()
    for line, row in enumerate(rows, start=1):
        collector.add(ScoredRow(*row, line))
    pairs = collector.pairs("drop", None)
    counts = pairs.counts
    usable = [row for row in rows if row[2] is not None and row[3] is not None]
    assert counts["rows"] == len(rows)
    assert counts["without_label"] == sum(row[2] is None for row in rows)
    assert counts["without_probability"] == sum(row[3] is None for row in rows)
    assert counts["measured"] + counts["repeated"] + counts["both_labels"] == len(usable)
    labels: dict[frozenset[str], set[int]] = {}
    for a, b, label, _ in usable:
        labels.setdefault(frozenset((a, b)), set()).add(label)
    first = {frozenset(row[:2]): row for row in reversed(usable) if len(labels[frozenset(row[:2])]) == 1}
    order = sorted(first.values(), key=usable.index)
    found = [
        (pairs.proteins[a], pairs.proteins[b], int(label), float(p))
        for a, b, label, p in zip(pairs.a, pairs.b, pairs.label, pairs.probability, strict=True)
    ]
    assert found == order


def test_a_pair_with_both_labels_is_named_with_both_lines() -> None:
    collector = ScoreCollector()
    for line, (a, b, label) in enumerate([("A", "B", 1), ("C", "A", 0), ("B", "A", 0)], start=2):
        collector.add(ScoredRow(a, b, label, 0.5, line))
    with pytest.raises(InputError, match="f.tsv, line 4: A - B has the label 0 on line 4 and 1 on line 2"):
        collector.pairs("error", "f.tsv")


def test_proteins_are_the_same_by_what_the_caller_says(tmp_path: Path) -> None:
    file = tmp_path / "scores.csv"
    file.write_text("Protein1,Protein2,Probability,Label\nx,y,0.25,1\nY,X,0.75,1\nz,z,1e-3,0.0\n")
    assert [row[2:] for row in iter_scores(file)] == [(1, 0.25, 2), (1, 0.75, 3), (0, 0.001, 4)]
    assert len(read_scores(file, str)) == 3
    same = read_scores(file, str.lower)
    assert same.counts["repeated_with_another_probability"] == 1
    assert np.array_equal(same.probability, [0.25, 0.001])
