"""What degree and column give away of the labels, on lists where it is known."""

from __future__ import annotations

import numpy as np
import pytest

from esm2_amp.data.audit_homology import search_homology
from esm2_amp.data.findings import AuditSplit, Numbered
from esm2_amp.data.homology import homology_engine
from esm2_amp.evaluation.leaks import AuditRules, audit, column_finding, degree_finding
from esm2_amp.io.resolve import PairTable
from esm2_amp.records import STANDARD_RESIDUES, Protein

LETTERS = list(STANDARD_RESIDUES)


def numbered(a: np.ndarray, b: np.ndarray, label: np.ndarray, n: int) -> Numbered:
    rng = np.random.default_rng(0)
    proteins = tuple(Protein(f"P{i}", "".join(rng.choice(LETTERS, 12))) for i in range(n))
    table = PairTable(proteins, a.astype(np.int32), b.astype(np.int32), label.astype(np.int8), np.arange(len(a)), ())
    return Numbered.of([AuditSplit("train", "train", "train.tsv", table)])


def random_list(rng: np.random.Generator, n: int = 200, pairs: int = 3000) -> tuple[np.ndarray, ...]:
    i, j = np.triu_indices(n, 1)
    chosen = rng.choice(len(i), pairs, replace=False)
    a, b, label = i[chosen], j[chosen], rng.integers(0, 2, pairs)
    turn = rng.random(pairs) < 0.5
    return np.where(turn, b, a), np.where(turn, a, b), label


@pytest.mark.parametrize("seed", range(5))
def test_a_random_list_gives_nothing_away(seed: int) -> None:
    given = numbered(*random_list(np.random.default_rng(seed)), 200)
    for finding, key in ((degree_finding(given, 0), "oracle_auroc"), (column_finding(given, 0), "column_auroc")):
        assert finding.severity == "ok"
        assert abs(finding.figures[key] - 0.5) < 0.05


def test_hubs_that_are_positive_only_are_seen() -> None:
    rng = np.random.default_rng(1)
    a, b, _ = random_list(rng)
    label = (rng.random(len(a)) < np.where((a < 60) | (b < 60), 0.9, 0.1)).astype(int)
    finding = degree_finding(numbered(a, b, label, 200), 0)
    assert finding.severity == "show"
    assert finding.figures["oracle_auroc"] > 0.8


@pytest.mark.parametrize("sorted_class", [0, 1])
def test_sorted_pairs_of_one_class_are_seen(sorted_class: int) -> None:
    a, b, label = random_list(np.random.default_rng(2))
    swap = (label == sorted_class) & (a > b)
    a, b = np.where(swap, b, a), np.where(swap, a, b)
    finding = column_finding(numbered(a, b, label, 200), 0)
    assert finding.severity == "show"
    sides = finding.figures["imbalance_negatives"], finding.figures["imbalance_positives"]
    assert sides[sorted_class] > sides[1 - sorted_class] + 0.2


def test_sorted_pairs_of_both_classes_tell_nothing() -> None:
    a, b, label = random_list(np.random.default_rng(3))
    finding = column_finding(numbered(np.minimum(a, b), np.maximum(a, b), label, 200), 0)
    assert finding.severity == "ok"


def test_the_columns_of_few_pairs_are_left_to_chance() -> None:
    finding = column_finding(numbered(np.arange(6), np.arange(6, 12), np.array([0, 1] * 3), 12), 0)
    assert finding.severity == "ok"


def test_classes_by_cluster_are_those_that_the_audit_counts() -> None:
    rng = np.random.default_rng(4)
    old, new = (
        ["".join(rng.choice(LETTERS, 150)) for _ in range(6)],
        ["".join(rng.choice(LETTERS, 150)) for _ in range(4)],
    )
    new[0] = old[0][:140] + new[0][:10]  # a homologue of a training protein
    label = np.array([0, 1, 0], dtype=np.int8)

    def split(role: str, sequences: list[str]) -> AuditSplit:
        proteins = tuple(Protein(f"{role}{i}", sequence) for i, sequence in enumerate(sequences))
        a, b = np.array([0, 1, 2], dtype=np.int32), np.array([3, 0, 3], dtype=np.int32)
        return AuditSplit(role, role, "", PairTable(proteins, a, b, label, np.arange(3), ()))

    given = Numbered.of([split("train", old), split("val", new)])
    rules = AuditRules("c3", False, "error", "error")
    found = audit(given, rules, search_homology(given, homology_engine("kmers"), 0.4, 0.8, 1))
    assert found.cluster_classes("val").tolist() == ["C2", "C2", "C3"]
    (classes,) = (f for f in found.findings if f.check == "pair_classes")
    assert classes.figures == {"by_protein": {"C1": 0, "C2": 0, "C3": 3}, "by_cluster": {"C1": 0, "C2": 2, "C3": 1}}
    assert audit(given, rules, None).cluster_classes("val") is None
