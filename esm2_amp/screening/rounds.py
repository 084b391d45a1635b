"""Retrieve, then re-rank: random pairs teach a student, it proposes, the full model scores, and the student learns.

The full model scores as many pairs as it is allowed, and no more: the random ones and all proposals.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from esm2_amp.errors import InputError
from esm2_amp.io.atomic import atomic_path
from esm2_amp.screening.lessons import Lessons, teach
from esm2_amp.screening.pair_list import Eligible, PairList, keys_of
from esm2_amp.screening.recall import Recall, estimated, held_out
from esm2_amp.screening.retrieve import Search, propose
from esm2_amp.screening.sample import random_pairs
from esm2_amp.screening.student import Student, StudentSize, load_student
from esm2_amp.screening.work import Rows

Logits = NDArray[np.float32]
Flags = NDArray[np.bool_]
Score = Callable[[str, PairList], Logits]
"""Scores pairs with the full model: name of a step and its pairs in, their logits in the order of ``a``, ``b`` out."""
SAMPLE = "sample"


@dataclass(frozen=True)
class Budget:
    """What the full model may score.

    Attributes:
        pairs: in all.
        sampled: of these, at random.
        judges: share of the random ones that the student does not learn from.
        rounds: in how many steps the rest is proposed.
    """

    pairs: int
    sampled: int
    judges: float
    rounds: int

    def __post_init__(self) -> None:
        if not 0 < self.sampled < self.pairs:
            raise InputError(
                f"{self.sampled:,} of the {self.pairs:,} pairs that may be scored are random: none is left to propose",
                remedy="Allow more pairs, or fewer random ones.",
            )
        if self.rounds < 1:
            raise InputError(f"{self.rounds} rounds", remedy="Give one or more.")


class Step(NamedTuple):
    """Pairs that the full model scored: ``sample``, then ``round 1`` and so on."""

    name: str
    work: PairList
    logits: Logits


class Retrieved(NamedTuple):
    """The pairs that were scored, none in two steps, and the recall for each share of best pairs asked for."""

    steps: list[Step]
    recall: list[Recall]


class Retrieval:
    """Find a model's best pairs without scoring all.

    Each round's student and proposals are kept in the folder of the search. Begun again after a kill, or by another
    process, every step has the same pairs as before, so that the scores of a finished step can be given back instead
    of computed again.

    Args:
        law: which pairs there are.
        inputs: (n, K), see :func:`~esm2_amp.screening.student_inputs.student_inputs`.
        size: of the student.
        budget: pairs that the full model may score.
        lessons: how the student learns.
        wanted: how proposals are looked up; its ``count`` is set by the budget.
    """

    def __init__(
        self, law: Eligible, inputs: Tensor, size: StudentSize, budget: Budget, lessons: Lessons, wanted: Search
    ) -> None:
        self._law, self._inputs, self._size = law, inputs, size
        self._budget, self._lessons, self._search = budget, lessons, wanted

    def run(self, score: Score, shares: tuple[float, ...], advance: Callable[[int], None]) -> Retrieved:
        """Sample, then so many rounds.

        Args:
            score: by the full model.
            shares: of all pairs; the recall of so many best ones is estimated.
            advance: told the steps learnt and the proteins looked up.

        Raises:
            InputError: a file that an earlier process kept is damaged.
        """
        sample = random_pairs(self._law, self._budget.sampled, self._search.seed, self._search.edge)
        steps = [Step(SAMPLE, sample, score(SAMPLE, sample))]
        keys = keys_of(sample.a, sample.b, self._law.n)
        judges = held_out(sample.pairs, self._budget.judges, self._search.seed)
        proposed = np.zeros(0, np.int64)
        for number in range(1, self._budget.rounds + 1):
            # pairs that judge may be proposed, or they could not judge; only they are not scored again
            known = np.concatenate([keys[~judges], proposed])
            found = self._proposals(number, steps, judges, known, advance)
            proposed = np.concatenate([proposed, found])
            new = found[~np.isin(found, keys)]
            work = PairList(new // self._law.n, new % self._law.n, self._search.edge)
            steps.append(Step(f"round {number}", work, score(f"round {number}", work)))
        return Retrieved(steps, estimated(steps[0].logits, judges, np.isin(keys, proposed), shares))

    def _proposals(
        self, number: int, steps: list[Step], judges: Flags, known: Rows, advance: Callable[[int], None]
    ) -> Rows:
        """Keys of a round's proposals; those of an earlier process, if it came so far."""
        file = self._search.folder / f"round-{number}.npy"
        if file.exists():
            return _read(file)
        left = self._budget.pairs - sum(step.work.pairs for step in steps)
        wanted = replace(self._search, count=left // (self._budget.rounds + 1 - number))
        student = self._student(number, steps, judges, advance)
        found = propose(student, self._inputs, self._law, known, wanted, advance)
        keys = keys_of(found.a, found.b, self._law.n)
        with atomic_path(file) as path, path.open("wb") as stream:
            np.save(stream, keys, allow_pickle=False)
        return keys

    def _student(self, number: int, steps: list[Step], judges: Flags, advance: Callable[[int], None]) -> Student:
        """Taught all that is known but the pairs that judge; or as an earlier process taught it."""
        file = self._search.folder / f"student-{number}.safetensors"
        if file.exists():
            return load_student(file, self._size)
        student = Student(self._size, self._lessons.seed)
        taught = np.concatenate([~judges, *(np.ones(step.work.pairs, dtype=bool) for step in steps[1:])])
        a, b, logits = (
            np.concatenate(columns)[taught]
            for columns in zip(*((step.work.a, step.work.b, step.logits) for step in steps), strict=True)
        )
        teach(student, self._inputs, (a, b), logits, self._lessons, advance)
        student.save(file)
        return student


def _read(file: Path) -> Rows:
    try:
        keys = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"damaged ({error})", file=file, remedy="Delete it and run again.") from error
    return np.asarray(keys, np.int64)
