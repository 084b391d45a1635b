"""Scored pairs from files beside the pairs a model was trained on: numbered together, with what is known of both."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from esm2_amp.errors import InputError
from esm2_amp.evaluation.leaks import Audit
from esm2_amp.evaluation.metrics import pair_classes
from esm2_amp.io.fasta import ProteinSet
from esm2_amp.io.pairs import counted, iter_pairs
from esm2_amp.io.scores import ScoredPairs
from esm2_amp.records import sequence_key
from esm2_amp.tasks.reporting import Known, Pairs, Scored

_ROW_NOTES = {
    "without_label": "without a label",
    "without_probability": "without a probability",
    "repeated": "of a pair that stands above already, in either order",
    "both_labels": "of pairs with both labels",
}


@dataclass(frozen=True, eq=False)
class TrainingPairs:
    """What a model was trained on: ``pairs`` are positions in ``proteins``, named as :func:`identity_of` does."""

    proteins: tuple[str, ...]
    pairs: Pairs


def identity_of(proteins: ProteinSet | None) -> Callable[[str], str]:
    """What makes a protein itself: the key of its sequence where there is one, else its id."""

    @cache  # a key is a hash of the whole sequence
    def identity(name: str) -> str:
        protein = None if proteins is None else proteins.get(name)
        return name if protein is None else protein.key

    return identity


def read_training_pairs(file: str, identity: Callable[[str], str]) -> TrainingPairs:
    """Read the labelled pairs a model was trained on.

    Raises:
        InputError: unreadable, or a row without a label.
    """
    numbers: dict[str, int] = {}
    a, b, label = array("q"), array("q"), array("q")
    for pair in iter_pairs(file):
        if pair.label is None:
            what = f"the pair {pair.a} - {pair.b} has no label"
            raise InputError(what, file=file, line=pair.line, remedy="Training pairs need 0 or 1 in every row.")
        a.append(numbers.setdefault(identity(pair.a), len(numbers)))
        b.append(numbers.setdefault(identity(pair.b), len(numbers)))
        label.append(pair.label)
    return TrainingPairs(tuple(numbers), Pairs(np.array(a), np.array(b), np.array(label)))


def beside_training(
    name: str,
    scored: ScoredPairs,
    train: TrainingPairs | None,
    seen: Mapping[str, Collection[str]],
    vectors: Callable[[Sequence[str]], NDArray[np.float32] | None],
) -> tuple[Scored, Known]:
    """Number the proteins of scored and training pairs together.

    Args:
        name: of the scored pairs.
        scored: read or predicted.
        train: None where they are not known.
        seen: by ``protein`` and by ``cluster``, as far as it is known: names of the proteins that training has seen.
        vectors: (n, D) of named proteins, or None where one has none; asked only where there are training pairs.
    """
    names = list(scored.proteins)
    numbers = {protein: number for number, protein in enumerate(names)}
    pairs = Pairs(scored.a.astype(np.int64), scored.b.astype(np.int64), scored.label.astype(np.int64))
    groups = {
        family: pair_classes((names[i] for i in pairs.a), (names[i] for i in pairs.b), known)
        for family, known in seen.items()
    }
    trained = None
    if train is not None:
        to = np.array([numbers.setdefault(protein, len(numbers)) for protein in train.proteins], dtype=np.int64)
        trained = Pairs(to[train.pairs.a], to[train.pairs.b], train.pairs.label)
    known = Known(len(numbers), trained, None if trained is None else vectors(list(numbers)))
    return Scored(name, pairs, scored.probability, None, groups), known


def near_training(audit: Audit) -> frozenset[str] | None:
    """Keys of the sequences in one cluster with a training sequence; None where homologues were not searched."""
    if audit.homology is None:
        return None
    numbered, clusters = audit.numbered, audit.homology.clusters
    near = np.isin(clusters, clusters[numbered.trained()])
    return frozenset(sequence_key(numbered.sequences[i]) for i in np.flatnonzero(near))


def shared_with_training(scored: ScoredPairs, train: TrainingPairs) -> int:
    """How many of the scored pairs are training pairs, in either order."""
    names, trained = scored.proteins, train.proteins
    known = {
        frozenset((trained[a], trained[b])) for a, b in zip(train.pairs.a.tolist(), train.pairs.b.tolist(), strict=True)
    }
    return sum(
        frozenset((names[a], names[b])) in known for a, b in zip(scored.a.tolist(), scored.b.tolist(), strict=True)
    )


def row_notes(name: str, counts: dict[str, int]) -> list[str]:
    """Sentences about the rows that were not measured; none where all were."""
    left = [f"{counts[kind]:,} {words}" for kind, words in _ROW_NOTES.items() if counts[kind]]
    notes = []
    if left:
        rows = f"{counts['measured']:,} of {counted(counts['rows'], 'row')} were measured"
        notes.append(f"{name}: {rows}; left out: {', '.join(left)}.")
    if changed := counts["repeated_with_another_probability"]:
        notes.append(f"{name}: {counted(changed, 'repeated row')} had another probability than the first of that pair.")
    return notes
