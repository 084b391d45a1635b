"""Training pairs like a pair at hand, and whether training has seen anything like its proteins at all."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from esm2_amp.features.store import FeatureStore
from esm2_amp.io.atomic import atomic_text
from esm2_amp.io.fasta import ProteinSet
from esm2_amp.io.resolve import PairTable
from esm2_amp.layout import MEAN
from esm2_amp.neighbours.evidence import far, far_threshold, nearest_similarities, nearest_training_pairs
from esm2_amp.records import Pair

FAR_QUANTILE = 0.05
"""A protein is far if its nearest training protein is less like it than that of one training protein in twenty."""
COLUMNS = ("line", "protein_a", "protein_b", "near_a", "near_b", "label", "similarity", "swapped", "far")
"""Of a table of evidence: the pair, then a training pair; ``swapped``: its near_b is the one that is like protein_a.

``far``: 1 where both proteins of the pair are far from all of training.
"""
FAR_NOTE = (
    "Both proteins are far from every training protein: less like their nearest one than all but one training protein "
    "in twenty are like theirs. The score is a guess from afar."
)

_PAIRS = 1024  # looked up at a time


class NearPair(NamedTuple):
    """A training pair: the ids of its proteins, its label, how like the pair at hand it is, and in which order."""

    a: str
    b: str
    label: int
    similarity: float
    swapped: bool


class Evidence(NamedTuple):
    """The nearest training pairs, nearest first, and whether both proteins are far from all of training."""

    near: list[NearPair]
    far: bool


@dataclass(frozen=True, eq=False)
class TrainingEvidence:
    """Looks pairs up among training pairs; similarities are cosines of mean tokens, as of the baseline of that name."""

    store: FeatureStore
    table: PairTable
    unit: NDArray[np.float32]
    threshold: float
    k: int

    @staticmethod
    def of(store: FeatureStore, table: PairTable, k: int) -> TrainingEvidence:
        """Prepare; the store holds every protein of the table.

        Args:
            store: features of one encoder.
            table: the training pairs.
            k: training pairs shown for a pair.
        """
        unit = _unit(store, store.find([protein.key for protein in table.proteins]))
        return TrainingEvidence(store, table, unit, far_threshold(unit, FAR_QUANTILE), k)

    def find(self, a: NDArray[np.int64], b: NDArray[np.int64]) -> list[Evidence]:
        """Evidence for pairs given by their store rows."""
        rows, place = np.unique(np.concatenate((a, b)), return_inverse=True)
        queries, pairs = _unit(self.store, rows), (place[: len(a)], place[len(a) :])
        known = (self.table.a.astype(np.int64), self.table.b.astype(np.int64))
        found = nearest_training_pairs(queries, pairs, self.unit, known, self.k)
        distant = far(nearest_similarities(queries, self.unit), pairs, self.threshold)
        return [
            Evidence([self._pair(*row) for row in zip(*columns, strict=True) if row[0] >= 0], bool(away))
            for *columns, away in zip(*found, distant, strict=True)
        ]

    def _pair(self, number: int, similarity: float, swapped: bool) -> NearPair:
        table = self.table
        a, b = table.proteins[table.a[number]].id, table.proteins[table.b[number]].id
        return NearPair(a, b, int(table.label[number]), float(similarity), bool(swapped))


def write_evidence(
    path: Path, pairs: Iterable[Pair], proteins: ProteinSet, evidence: TrainingEvidence, advance: Callable[[int], None]
) -> int:
    """Write the table of evidence of every pair with two sequences, in bounded memory; returns how many are far.

    Args:
        path: the table.
        pairs: rows of a pair list.
        proteins: their sequences; the store of ``evidence`` holds them.
        evidence: where to look.
        advance: told the pairs done.
    """
    stream, distant = iter(pairs), 0
    with atomic_text(path) as out:
        table = csv.writer(out, delimiter="\t", lineterminator="\n")
        table.writerow(COLUMNS)
        while some := tuple(islice(stream, _PAIRS)):
            ends = [(pair, proteins.get(pair.a), proteins.get(pair.b)) for pair in some]
            known = [(pair, a.key, b.key) for pair, a, b in ends if a is not None and b is not None]
            a, b = evidence.store.find([key for _, key, _ in known]), evidence.store.find([key for *_, key in known])
            for (pair, *_), found in zip(known, evidence.find(a, b) if known else (), strict=True):
                distant += found.far
                table.writerows(
                    (
                        pair.line,
                        pair.a,
                        pair.b,
                        near.a,
                        near.b,
                        near.label,
                        f"{near.similarity:.4f}",
                        int(near.swapped),
                        int(found.far),
                    )
                    for near in found.near
                )
            advance(len(some))
    return distant


def _unit(store: FeatureStore, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """(n, D) mean tokens of length 1."""
    vectors = store.gather(rows, MEAN.stored)[:, 0].astype(np.float32)
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: NDArray[np.float32] = vectors / np.maximum(length, np.finfo(np.float32).tiny)
    return unit
