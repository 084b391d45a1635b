"""What is wrong or doubtful in labelled pair lists: rows, overlap between splits, proteins in one class only.

A split may be *declared*: ``c3`` says that no protein of a held-out pair occurs in a training pair, ``c2`` that at
most one does, ``c1`` that both may (Park & Marcotte 2012, doi 10.1038/nmeth.2259). What contradicts the declaration
blocks; without one it is shown. The same pair on both sides, and a pair with both labels, always blocks.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from esm2_amp.data.findings import SHOWN, AuditSplit, Example, Finding, Numbered, Severity, finding
from esm2_amp.io.pairs import counted
from esm2_amp.io.resolve import IssueKind, Policy

Declared = Literal["c1", "c2", "c3"]
ONE_CLASS_PAIRS = 0.01
"""Proteins in one class only are doubtful where they stand in more than this share of the pairs, and in more than
chance explains."""
CHANCE = 3.0
"""Standard deviations above what chance gives that make a doubt."""


def row_findings(splits: Sequence[AuditSplit], unknown: Policy, conflicts: Policy) -> list[Finding]:
    """Rows of each split that are wrong by themselves.

    Args:
        splits: the pair lists.
        unknown: rows that name a protein without a sequence block ("error") or are shown ("drop").
        conflicts: the same for pairs with both labels.
    """
    kinds: tuple[tuple[IssueKind, str, Severity, str], ...] = (
        ("unknown_protein", "unknown_proteins", _by(unknown), "name a protein without a sequence"),
        ("conflicting_label", "label_conflicts", _by(conflicts), "give a pair both labels"),
        ("repeated_pair", "repeated_pairs", "show", "repeat a pair of two sequences, in either order"),
        ("self_pair", "self_pairs", "show", "pair a protein with itself"),
    )
    found = []
    for split in splits:
        for kind, check, severity, says in kinds:
            rows = [issue for issue in split.table.issues if issue.kind == kind]
            examples = [Example(split.name, split.file, r.line, f"{r.a} - {r.b} ({r.detail})") for r in rows]
            sentence = f"{counted(len(rows), 'row')} of {split.name} {says}."
            if len(rows) == 1:
                sentence = sentence.replace(says, says.replace(" ", "s ", 1), 1)
            found.append(finding(check, [split], severity, len(rows), sentence, {}, examples))
    return found


def _by(policy: Policy) -> Severity:
    return "block" if policy == "error" else "show"


def balance_findings(splits: Sequence[AuditSplit]) -> list[Finding]:
    """How many pairs of each split are positive; a split with one class only is doubtful."""
    found = []
    for split in splits:
        n, positive = len(split.table), int((split.table.label == 1).sum())
        figures = {"pairs": n, "positive": positive, "negative": n - positive}
        sentence = f"{positive:,} of the {n:,} pairs of {split.name} are positive ({positive / n:.1%})."
        count = n if positive in (0, n) else 0
        found.append(finding("class_balance", [split], "show", count, sentence, figures))
    return found


def overlap_findings(numbered: Numbered, declared: Declared | None) -> list[Finding]:
    """What each two splits share: pairs, in either order, with the same or another label, and sequences.

    Between two test lists sharing proteins is no fault, and sharing pairs is shown.
    """
    found = []
    for i, j in combinations(range(len(numbered.splits)), 2):
        found += _shared_pairs(numbered, i, j)
        if numbered.splits[i].role != numbered.splits[j].role:
            found.append(_shared_sequences(numbered, i, j, declared))
    return found


def _shared_pairs(numbered: Numbered, i: int, j: int) -> list[Finding]:
    one, other = numbered.splits[i], numbered.splits[j]
    _, rows, others = np.intersect1d(numbered.pairs(i), numbered.pairs(j), assume_unique=True, return_indices=True)
    order = np.argsort(others)
    rows, others = rows[order], others[order]
    crossed = numbered.a[i][rows] != numbered.a[j][others]
    differ = one.table.label[rows] != other.table.label[others]
    severity: Severity = "show" if one.role == other.role else "block"
    places = [
        other.example(int(b), f"{' - '.join(_ids(one, int(a)))} on line {one.table.line[a]} of {one.name}")
        for a, b in zip(rows[: 10**4], others[: 10**4], strict=True)
    ]
    shared = f"{counted(len(rows), 'pair')} of {other.name} {'stands' if len(rows) == 1 else 'stand'} in {one.name} too"
    figures = {"same_order": int((~crossed).sum()), "other_order": int(crossed.sum()), "other_label": int(differ.sum())}
    clash = f"{counted(differ.sum(), 'pair')} of {other.name} {'has' if differ.sum() == 1 else 'have'} another label"
    return [
        finding("shared_pairs", (one, other), severity, len(rows), f"{shared} (same two sequences).", figures, places),
        finding(
            "label_conflicts", (one, other), "block", differ.sum(), f"{clash} in {one.name}.", {},
            [place for place, wrong in zip(places, differ, strict=False) if wrong],
        ),
    ]  # fmt: skip


def _ids(split: AuditSplit, row: int) -> tuple[str, str]:
    return split.table.proteins[split.table.a[row]].id, split.table.proteins[split.table.b[row]].id


def _shared_sequences(numbered: Numbered, i: int, j: int, declared: Declared | None) -> Finding:
    one, other = numbered.splits[i], numbered.splits[j]
    first = {int(number): position for position, number in reversed(list(enumerate(numbered.members[i])))}
    names = {p.id for p in one.table.proteins}
    shared = [position for position, number in enumerate(numbered.members[j].tolist()) if number in first]
    distinct = len(np.unique(numbered.members[j][shared]))
    renamed = [position for position in shared if other.table.proteins[position].id not in names]
    severity: Severity = "show" if declared is None else "ok"
    if declared == "c3":
        severity = "block" if one.role == "train" else "show"
    examples = [
        other.protein_example(k, f"{one.table.proteins[first[int(numbered.members[j][k])]].id} of {one.name}")
        for k in [*renamed, *shared][:SHOWN]
    ]
    total = len(np.unique(numbered.members[j]))
    sentence = f"{distinct:,} of the {total:,} sequences of {other.name} stand in {one.name} too"
    sentence += f", {len(renamed):,} under another id." if renamed else "."
    figures = {"sequences": total, "renamed": len(renamed)}
    return finding("shared_sequences", (one, other), severity, distinct, sentence, figures, dict.fromkeys(examples))


def class_findings(numbered: Numbered, declared: Declared | None, clusters: NDArray[np.int64] | None) -> list[Finding]:
    """How many pairs of each held-out split are C1, C2 and C3, by protein and, given clusters, by cluster.

    Args:
        numbered: the splits.
        declared: pairs of both proteins seen contradict ``c2``.
        clusters: the cluster of each of ``numbered.sequences``, or None.
    """
    seen = numbered.trained()
    if not seen.any():
        return []
    found = []
    for i in (*numbered.of_role("val"), *numbered.of_role("test")):
        split = numbered.splits[i]
        by_protein = _class_counts(seen, numbered.a[i], numbered.b[i])
        figures = {"by_protein": by_protein}
        if clusters is not None:
            near = np.isin(clusters, clusters[seen])
            figures["by_cluster"] = _class_counts(near, numbered.a[i], numbered.b[i])
        wrong = by_protein["C1"] if declared == "c2" else 0
        told = ", ".join(f"{name} {count:,}" for name, count in by_protein.items())
        sentence = f"Pairs of {split.name} by what training saw of their proteins: {told}"
        if "by_cluster" in figures:
            told = ", ".join(f"{name} {count:,}" for name, count in figures["by_cluster"].items())
            sentence += f"; by sequence cluster: {told}"
        both = np.flatnonzero(seen[numbered.a[i]] & seen[numbered.b[i]])[:SHOWN]
        examples = [split.example(int(row), "both proteins stand in training pairs") for row in both] if wrong else []
        found.append(finding("pair_classes", [split], "block", wrong, f"{sentence}.", figures, examples))
    return found


def _class_counts(seen: NDArray[np.bool_], a: NDArray[np.int64], b: NDArray[np.int64]) -> dict[str, int]:
    counts = np.bincount((~seen[a]).astype(np.int64) + ~seen[b], minlength=3)
    return {f"C{i + 1}": int(count) for i, count in enumerate(counts)}


def one_class_findings(splits: Sequence[AuditSplit]) -> list[Finding]:
    """Proteins, by id, that occur in positives only or in negatives only: a model need only recognise them.

    A protein of few pairs may be so by chance: of degree d, with probability p^d + (1 - p)^d where the share p of
    the pairs is positive. The doubt is about what exceeds that.
    """
    found = []
    for split in splits:
        table = split.table
        positive, negative = class_degrees(table.a, table.b, table.label, len(table.proteins))
        degree = positive + negative
        lonely = (positive > 0) != (negative > 0)
        count, touched = int(lonely.sum()), int((lonely[table.a] | lonely[table.b]).sum())
        p = float((table.label == 1).mean())
        chance = np.minimum(p**degree + (1 - p) ** degree, 1)  # rounded, the sum may exceed 1
        expected, spread = float(chance.sum()), float(np.sqrt((chance * (1 - chance)).sum()))
        doubtful = count > expected + CHANCE * max(spread, 1) and touched > ONE_CLASS_PAIRS * len(table)
        figures = {
            "only_positive": int((lonely & (positive > 0)).sum()),
            "only_negative": int((lonely & (negative > 0)).sum()),
            "proteins": len(degree),
            "by_chance": round(expected, 1),
            "pairs": touched,
            "pairs_share": round(touched / len(table), 4),
        }
        sentence = (
            f"{count:,} of the {len(degree):,} proteins of {split.name} occur in one class only "
            f"({figures['only_positive']:,} in positives, {figures['only_negative']:,} in negatives; by chance "
            f"{expected:,.0f}), in {touched:,} pairs ({touched / len(table):.1%})."
        )
        commonest = np.argsort(-np.where(lonely, degree, 0), kind="stable")[: SHOWN if doubtful else 0]
        examples = tuple(
            split.protein_example(int(k), f"in {degree[k]} {'positives' if positive[k] else 'negatives'} only")
            for k in commonest
            if lonely[k]
        )
        severity: Severity = "show" if doubtful else "ok"
        found.append(Finding("one_class_proteins", (split.name,), severity, count, sentence, figures, examples))
    return found


def class_degrees(
    a: NDArray[np.integer], b: NDArray[np.integer], label: NDArray[np.int8], n: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Positive and negative degree of each of n proteins, (n,) each; a self-pair counts once."""
    degrees = []
    for value in (1, 0):
        chosen = label == value
        ends = np.concatenate([a[chosen], b[chosen & (a != b)]])
        degrees.append(np.bincount(ends, minlength=n))
    return degrees[0], degrees[1]
