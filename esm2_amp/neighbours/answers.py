"""What a query finds: rows of names with a score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

SIMILAR = ("query", "hit", "score")
ANALOGY = ("a", "b", "c", "d", "score")
CLOSEST = ("a", "b", "score")


@dataclass(frozen=True, eq=False)
class Answer:
    """The rows that a query found, best first.

    Attributes:
        columns: names of the columns; the last one is the score.
        names: of each row, what the other columns say.
        rows: (len(names), len(columns) - 1) the vectors these are, -1 where it is none of the stored ones.
        given: (len(names),) how many of a row's names were asked about; the others were found.
        scores: (len(names),).
        metric: of the scores.
        notes: what there is to say about it, as that a query found nothing.
        clusters: (len(names),) the cluster of each analogy, where clusters were asked for.
        outside: vectors (d,) of queries that are none of the stored ones, by name.
    """

    columns: tuple[str, ...]
    names: Sequence[tuple[str, ...]]
    rows: NDArray[np.int64]
    given: NDArray[np.int64]
    scores: NDArray[np.float64]
    metric: str
    notes: Sequence[str] = ()
    clusters: NDArray[np.int64] | None = None
    outside: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.names)


def joined(answers: Sequence[Answer]) -> Answer:
    """Answers to several queries of one kind as one, in their order."""
    first = answers[0]
    return Answer(
        first.columns,
        [row for answer in answers for row in answer.names],
        np.concatenate([answer.rows for answer in answers]),
        np.concatenate([answer.given for answer in answers]),
        np.concatenate([answer.scores for answer in answers]),
        first.metric,
        [note for answer in answers for note in answer.notes],
        None,
        {name: vector for answer in answers for name, vector in answer.outside.items()},
    )
