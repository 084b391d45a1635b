"""Rows of ``esm2-amp split``: those given, those drawn, those left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from esm2_amp.data.findings import AuditSplit, Numbered
from esm2_amp.errors import InputError
from esm2_amp.io.fasta import ProteinSet, read_fasta
from esm2_amp.io.pairs import iter_pairs
from esm2_amp.io.resolve import resolve_pairs
from esm2_amp.records import Pair
from esm2_amp.resources import resolve
from esm2_amp.tasks.audit import audit_rules
from esm2_amp.tasks.config import SplitConfig
from esm2_amp.tasks.console import log
from esm2_amp.tasks.drawing import Drawing


class LeftOut(NamedTuple):
    """A row that is in no part, and why."""

    protein_a: str
    protein_b: str
    label: str
    line: int
    reason: str


@dataclass(frozen=True, eq=False)
class PairRows:
    """Rows to deal out: ``a`` and ``b`` number sequences, ``names`` are the ids to write; arrays of one length."""

    names: list[tuple[str, str]]
    a: NDArray[np.int64]
    b: NDArray[np.int64]
    label: NDArray[np.int64]
    drawn: NDArray[np.bool_]

    def take(self, chosen: NDArray[np.int64]) -> PairRows:
        """Some of the rows."""
        names = [self.names[i] for i in chosen.tolist()]
        return PairRows(names, self.a[chosen], self.b[chosen], self.label[chosen], self.drawn[chosen])

    def with_drawn(self, drawing: Drawing, ids: Sequence[str]) -> PairRows:
        """These rows and the drawn negatives behind them."""
        first, second = drawing.pairs.T
        names = [(ids[x], ids[y]) for x, y in drawing.pairs.tolist()]
        n = len(names)
        return PairRows(
            [*self.names, *names],
            np.concatenate((self.a, first)),
            np.concatenate((self.b, second)),
            np.concatenate((self.label, np.zeros(n, np.int64))),
            np.concatenate((self.drawn, np.ones(n, bool))),
        )

    def summary(self) -> dict[str, int]:
        """How many pairs, of which class, how many drawn, and of how many sequences."""
        positive, n = int((self.label == 1).sum()), len(self.label)
        sequences = len(np.unique(np.concatenate((self.a, self.b))))
        return {
            "pairs": n,
            "positive": positive,
            "negative": n - positive,
            "drawn": int(self.drawn.sum()),
            "proteins": sequences,
        }


@dataclass(frozen=True, eq=False)
class Given:
    """What was read; ``lines`` are those of ``rows`` in their file, ``ids`` one id for each sequence."""

    proteins: ProteinSet
    raw: list[Pair]
    rows: PairRows
    lines: NDArray[np.int64]
    ids: list[str]
    sequences: list[str]
    left_out: list[LeftOut]


def read_rows(config: SplitConfig) -> Given:
    """The rows that can be dealt out, and those that cannot."""
    file = resolve(config.pairs)
    proteins, rows = read_fasta(resolve(config.fasta)), list(iter_pairs(file))
    rules = audit_rules(None, False, config.unknown, config.conflicts)
    try:
        table = resolve_pairs(
            rows, proteins, unknown=rules.unknown, conflicts=rules.conflicts, need_labels=False, file=file
        )
    except InputError as error:  # it names the options of training
        remedy = error.remedy.replace("data.", "")
        raise InputError(error.what, file=error.file, line=error.line, remedy=remedy) from error
    by_line = {row.line: row for row in rows}
    dropped = [
        _left_out(by_line[issue.line], f"{issue.kind.replace('_', ' ')}: {issue.detail}")
        for issue in table.issues
        if issue.action == "dropped"
    ]
    label = table.label.astype(np.int64)
    if (label == -1).all():
        log.info("The pairs have no labels: all are taken to interact.")
        label = np.ones_like(label)
    elif (label == -1).any():
        line = int(table.line[np.flatnonzero(label == -1)[0]])
        raise InputError("a pair without a label among others that have one", file=file, line=line)
    numbered = Numbered.of([AuditSplit("pairs", "train", file, table)])
    ids = [""] * len(numbered.sequences)
    for number, protein in zip(reversed(numbered.members[0].tolist()), reversed(table.proteins), strict=True):
        ids[number] = protein.id
    kept = [(by_line[line].a, by_line[line].b) for line in table.line.tolist()]
    pairs = PairRows(kept, numbered.a[0], numbered.b[0], label, np.zeros(len(label), bool))
    return Given(proteins, rows, pairs, table.line, ids, numbered.sequences, dropped)


def _left_out(row: Pair, reason: str) -> LeftOut:
    return LeftOut(row.a, row.b, "" if row.label is None else str(row.label), row.line, reason)
