"""Pairs and their sequences made into arrays for training.

Policies of :func:`resolve_pairs`, each counted and listed: a pair of a protein with itself is kept (homodimers are
real); of a pair that comes again, in either order, one row is kept; a protein without a sequence, and a pair with
both labels, is an error or is dropped, as asked.
"""

from __future__ import annotations

import csv
from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from esm2_amp.errors import InputError
from esm2_amp.io.atomic import atomic_text
from esm2_amp.io.fasta import ProteinSet
from esm2_amp.io.pairs import NAME_THE_COLUMNS, counted
from esm2_amp.io.text import FilePath
from esm2_amp.records import Pair, Protein

Policy = Literal["error", "drop"]
IssueKind = Literal["unknown_protein", "self_pair", "repeated_pair", "conflicting_label"]
Action = Literal["kept", "dropped"]

_SHOWN = 5


class PairIssue(NamedTuple):
    """A row of a pair list that a policy spoke about; ``a`` and ``b`` are the ids as written."""

    kind: IssueKind
    line: int
    a: str
    b: str
    action: Action
    detail: str


@dataclass(frozen=True, eq=False)
class PairTable:
    """Pairs as arrays of one length n, in the order of their file.

    ``a`` and ``b`` are positions in ``proteins`` (those used, each id once, by first use); ``label`` is 1, 0 or -1
    for none; ``line`` is where the row stands in its file; ``issues`` lists what the policies kept and dropped.
    """

    proteins: tuple[Protein, ...]
    a: NDArray[np.int32]
    b: NDArray[np.int32]
    label: NDArray[np.int8]
    line: NDArray[np.int64]
    issues: tuple[PairIssue, ...]

    def __len__(self) -> int:
        return len(self.line)


@dataclass(frozen=True, eq=False)
class _Rows:
    """Rows of a pair list as arrays; ``a`` and ``b`` are positions in ``names``, the ids as written."""

    names: list[str]
    a: NDArray[np.int32]
    b: NDArray[np.int32]
    label: NDArray[np.int8]
    line: NDArray[np.int64]

    def take(self, chosen: NDArray[np.bool_]) -> _Rows:
        return _Rows(self.names, self.a[chosen], self.b[chosen], self.label[chosen], self.line[chosen])

    def ids(self, row: int) -> tuple[str, str]:
        return self.names[self.a[row]], self.names[self.b[row]]

    def issue(self, row: int, kind: IssueKind, action: Action, detail: str) -> PairIssue:
        return PairIssue(kind, int(self.line[row]), *self.ids(row), action, detail)


def resolve_pairs(
    pairs: Iterable[Pair],
    proteins: ProteinSet,
    *,
    unknown: Policy,
    conflicts: Policy,
    need_labels: bool,
    file: FilePath | None,
) -> PairTable:
    """Find the sequences of pairs and apply the policies at the top of this module.

    Two rows are the same pair when their sequences are the same, in either order and whatever the ids. Of its rows
    the first with a label stays; if none has a label, the first.

    Args:
        pairs: the rows.
        proteins: the sequences.
        unknown: what to do about a row that names a protein without a sequence.
        conflicts: what to do about a pair with both labels; "drop" drops all its rows.
        need_labels: whether a row without a label is an error.
        file: where the rows come from, for messages.

    Raises:
        InputError: by these policies; an ambiguous accession; no row is left.
    """
    rows = _collect(pairs, need_labels, file)
    found = [proteins.get(name) for name in rows.names]
    issues: list[PairIssue] = []
    rows = _with_sequences(rows, found, unknown, proteins.file or "the FASTA file", file, issues)
    rows = _once_each(rows, found, conflicts, file, issues)
    if not len(rows.line):
        counts = ", ".join(f"{kind.replace('_', ' ')}: {count}" for kind, count in count_issues(issues).items())
        raise InputError(f"no pair is left ({counts})", file=file, remedy="Check the ids and the labels.")
    held = {protein.id: protein for protein in found if protein is not None}
    number = {name: position for position, name in enumerate(held)}
    position = np.array([-1 if protein is None else number[protein.id] for protein in found], dtype=np.int32)
    a, b = position[rows.a], position[rows.b]
    used = np.zeros(len(held), dtype=bool)
    used[a] = used[b] = True
    new = np.cumsum(used, dtype=np.int32) - np.int32(1)
    kept = tuple(protein for protein, use in zip(held.values(), used, strict=True) if use)
    by_line = tuple(sorted(issues, key=lambda issue: issue.line))
    return PairTable(kept, new[a], new[b], rows.label, rows.line, by_line)


def count_issues(issues: Iterable[PairIssue]) -> dict[str, int]:
    """Number of issues of each kind, zeros included."""
    counts = Counter(issue.kind for issue in issues)
    return {kind: counts[kind] for kind in get_args(IssueKind)}


def write_issues(path: FilePath, issues: Iterable[PairIssue]) -> None:
    """Write issues as a tab-separated table with a header, atomically."""
    with atomic_text(path) as stream:
        table = csv.writer(stream, delimiter="\t", lineterminator="\n")
        table.writerow(("kind", "line", "protein_a", "protein_b", "action", "detail"))
        table.writerows(issues)


def _collect(pairs: Iterable[Pair], need_labels: bool, file: FilePath | None) -> _Rows:
    number: dict[str, int] = {}
    a, b, label, line = array("i"), array("i"), array("b"), array("q")
    for pair in pairs:
        if need_labels and pair.label is None:
            what = f"the pair {pair.a} - {pair.b} has no label"
            raise InputError(
                what, file=file, line=pair.line, remedy=f"Training needs 0 or 1 in every row. {NAME_THE_COLUMNS}"
            )
        a.append(number.setdefault(pair.a, len(number)))
        b.append(number.setdefault(pair.b, len(number)))
        label.append(-1 if pair.label is None else pair.label)
        line.append(pair.line)
    return _Rows(
        list(number), np.array(a, np.int32), np.array(b, np.int32), np.array(label, np.int8), np.array(line, np.int64)
    )


def _with_sequences(
    rows: _Rows,
    found: Sequence[Protein | None],
    policy: Policy,
    fasta: FilePath,
    file: FilePath | None,
    issues: list[PairIssue],
) -> _Rows:
    """The rows whose two proteins have sequences; the others are an error or go to ``issues``."""
    unknown = np.array([protein is None for protein in found], dtype=bool)
    missing = unknown[rows.a] | unknown[rows.b]
    lines: dict[str, int] = {}
    for row in map(int, np.flatnonzero(missing)):
        names = [rows.names[i] for i in (rows.a[row], rows.b[row]) if unknown[i]]
        if policy == "drop":
            detail = f"no sequence for {' and '.join(dict.fromkeys(names))} in {fasta}"
            issues.append(rows.issue(row, "unknown_protein", "dropped", detail))
        for name in names:
            lines.setdefault(name, int(rows.line[row]))
    if policy == "error" and lines:
        listed = _listed([f"{name} (line {line})" for name, line in lines.items()])
        raise InputError(
            f"no sequence in {fasta} for {counted(len(lines), 'id')} ({counted(missing.sum(), 'row')}): {listed}",
            file=file,
            line=next(iter(lines.values())),
            remedy="Add the sequences, correct the ids, or drop these rows with data.unknown=drop.",
        )
    return rows.take(~missing)


def _once_each(
    rows: _Rows,
    found: Sequence[Protein | None],
    policy: Policy,
    file: FilePath | None,
    issues: list[PairIssue],
) -> _Rows:
    """One row of each pair of sequences; pairs with both labels are an error or go to ``issues`` altogether."""
    numbers: dict[str, int] = {}
    sequence = np.array(
        [-1 if protein is None else numbers.setdefault(protein.sequence, len(numbers)) for protein in found], np.int64
    )
    a, b = sequence[rows.a], sequence[rows.b]
    first, zero, one = same_pairs(a, b, rows.label)
    nowhere = len(first)
    clash = (zero < nowhere) & (one < nowhere)
    if policy == "error" and clash.any():
        raise _conflict_error(rows, np.flatnonzero(clash & (first == np.arange(nowhere))), zero, one, file)
    for row in map(int, np.flatnonzero(clash)):
        detail = f"label 0 on line {rows.line[zero[row]]}, label 1 on line {rows.line[one[row]]}"
        issues.append(rows.issue(row, "conflicting_label", "dropped", detail))
    stays = ~clash & (first == np.arange(nowhere))
    for row in map(int, np.flatnonzero(~clash & ~stays)):
        issues.append(rows.issue(row, "repeated_pair", "dropped", f"same pair on line {rows.line[first[row]]}"))
    for row in map(int, np.flatnonzero(stays & (a == b))):
        names = rows.ids(row)
        detail = "a protein with itself" if names[0] == names[1] else "two ids of one sequence"
        issues.append(rows.issue(row, "self_pair", "kept", detail))
    return rows.take(stays)


def same_pairs(
    a: NDArray[np.int64], b: NDArray[np.int64], label: NDArray[np.int8]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """For each of n rows, among the rows of the same unordered pair: the one to keep, the first 0 and the first 1.

    Where there is no such label the number is n.
    """
    n = len(a)
    pairs, group = np.unique(np.minimum(a, b) << 32 | np.maximum(a, b), return_inverse=True)
    firsts = []
    for chosen in (label == 0, label == 1, label >= -1):
        first = np.full(len(pairs), n, dtype=np.int64)
        np.minimum.at(first, group[chosen], np.flatnonzero(chosen))
        firsts.append(first)
    zero, one, anything = firsts
    labelled = np.minimum(zero, one)
    return np.where(labelled < n, labelled, anything)[group], zero[group], one[group]


def _conflict_error(
    rows: _Rows,
    clashes: NDArray[np.int64],
    zero: NDArray[np.int64],
    one: NDArray[np.int64],
    file: FilePath | None,
) -> InputError:
    examples = [
        f"{' - '.join(rows.ids(int(row)))} (0 on line {rows.line[zero[row]]}, 1 on line {rows.line[one[row]]})"
        for row in clashes[:_SHOWN]
    ]
    return InputError(
        f"both labels for {counted(len(clashes), 'pair')}: {_listed(examples, len(clashes))}",
        file=file,
        line=int(rows.line[clashes[0]]),
        remedy="Decide which label is right, or drop these pairs with data.conflicts=drop.",
    )


def _listed(examples: Sequence[str], total: int | None = None) -> str:
    """The first few of ``total`` things, and how many more there are."""
    more = (len(examples) if total is None else total) - _SHOWN
    return ", ".join(examples[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
