"""What pair lists share is counted by sequence, whatever the ids and the order; chance is not taken for a fault."""

from __future__ import annotations

import numpy as np
import pytest

from esm2_amp.data.audit import class_findings, one_class_findings, overlap_findings
from esm2_amp.data.findings import AuditSplit, Finding, Numbered
from esm2_amp.io.resolve import PairTable
from esm2_amp.records import Protein

LETTERS = "ACDEFGHIKLMNPQRSTVWY"


def split(role: str, *pairs: tuple[str, str, int]) -> AuditSplit:
    """Pairs of sequences; each split has ids of its own."""
    names = list(dict.fromkeys(sequence for pair in pairs for sequence in pair[:2]))
    a, b = (np.array([names.index(pair[i]) for pair in pairs], dtype=np.int32) for i in (0, 1))
    proteins = tuple(Protein(f"{role}{i}", name) for i, name in enumerate(names))
    label = np.array([pair[2] for pair in pairs], dtype=np.int8)
    return AuditSplit(role, role, f"{role}.tsv", PairTable(proteins, a, b, label, np.arange(len(pairs)) + 2, ()))


TRAIN = split("train", ("AAA", "CCC", 1), ("CCC", "DDD", 0), ("EEE", "EEE", 1))
VAL = split("val", ("DDD", "CCC", 0), ("EEE", "FFF", 1), ("GGG", "FFF", 0))
TEST = split("test", ("EEE", "EEE", 0), ("GGG", "CCC", 0), ("CCC", "AAA", 1))
ALL = Numbered.of([TRAIN, VAL, TEST])


def by_place(findings: list[Finding], check: str) -> dict[str, Finding]:
    return {" ".join(f.splits): f for f in findings if f.check == check}


def test_pairs_in_common_are_found_in_either_order_and_under_other_ids() -> None:
    found = by_place(overlap_findings(ALL, None), "shared_pairs")
    assert {place: f.count for place, f in found.items()} == {"train val": 1, "train test": 2, "val test": 0}
    assert found["train val"].figures == {"same_order": 0, "other_order": 1, "other_label": 0}
    assert [found[place].severity for place in found] == ["block", "block", "ok"]
    assert found["train val"].examples[0][:3] == ("val", "val.tsv", 2)
    assert "line 3 of train" in found["train val"].examples[0].what


def test_a_pair_with_another_label_elsewhere_is_a_conflict() -> None:
    found = by_place(overlap_findings(ALL, None), "label_conflicts")
    assert {place: f.count for place, f in found.items()} == {"train val": 0, "train test": 1, "val test": 0}
    assert found["train test"].severity == "block"
    assert [e.line for e in found["train test"].examples] == [2]


@pytest.mark.parametrize(
    ("declared", "severities"),
    [(None, ("show", "show", "show")), ("c1", ("ok", "ok", "ok")), ("c3", ("block", "block", "show"))],
)
def test_sequences_in_common_are_judged_by_what_is_declared(declared: str | None, severities: tuple[str, ...]) -> None:
    found = by_place(overlap_findings(ALL, declared), "shared_sequences")  # type: ignore[arg-type]
    assert [f.count for f in found.values()] == [3, 3, 3]
    assert tuple(f.severity for f in found.values()) == severities
    assert found["train val"].figures == {"sequences": 5, "renamed": 3}


def test_two_test_lists_may_share_proteins_but_not_silently_pairs() -> None:
    other = AuditSplit("other", "test", "other.tsv", TEST.table)
    found = overlap_findings(Numbered.of([TEST, other]), "c3")
    assert [(f.check, f.severity, f.count) for f in found if f.count] == [("shared_pairs", "show", 3)]


def test_classes_are_counted_by_protein_and_by_cluster() -> None:
    clusters = np.array([{"F": 0, "A": 0}.get(sequence[0], i + 1) for i, sequence in enumerate(ALL.sequences)])
    found = by_place(class_findings(ALL, None, clusters), "pair_classes")
    assert found["val"].figures == {
        "by_protein": {"C1": 1, "C2": 1, "C3": 1},
        "by_cluster": {"C1": 2, "C2": 1, "C3": 0},
    }
    assert found["test"].figures["by_protein"] == {"C1": 2, "C2": 1, "C3": 0}
    assert {f.severity for f in found.values()} == {"ok"}
    assert by_place(class_findings(ALL, "c2", None), "pair_classes")["val"].severity == "block"


def random_pairs(degree: int, rng: np.random.Generator, n: int = 120) -> list[tuple[str, str, int]]:
    names = ["".join(rng.choice(list(LETTERS), 8)) for _ in range(n)]
    codes = rng.choice(n * n, n * degree // 2, replace=False)
    return [(names[c // n], names[c % n], int(rng.integers(2))) for c in codes]


@pytest.mark.parametrize("degree", [1, 2, 4, 20])
def test_few_pairs_a_protein_are_no_doubt_about_its_class(degree: int) -> None:
    pairs = random_pairs(degree, np.random.default_rng(degree))
    (finding,) = one_class_findings([split("train", *pairs)])
    assert finding.severity == "ok"
    assert abs(finding.count - finding.figures["by_chance"]) < 5 * np.sqrt(finding.count + 1)


def test_proteins_that_serve_as_negatives_only_are_a_doubt() -> None:
    pairs = random_pairs(12, np.random.default_rng(0))
    decoys = [("W" * (n + 1), pairs[n * 9 + k][0], 0) for n in range(12) for k in range(8)]
    (finding,) = one_class_findings([split("train", *pairs, *decoys)])
    assert finding.severity == "show"
    assert finding.figures["only_negative"] == 12
    assert finding.figures["pairs"] >= 96
    assert "in 8 negatives only" in finding.examples[0].what
