"""How well and how fast an index finds, on the user's own vectors, against exact search."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from esm2_amp.errors import InputError
from esm2_amp.neighbours.index import Index
from esm2_amp.neighbours.index_card import Measured
from esm2_amp.neighbours.index_train import sample_rows
from esm2_amp.neighbours.scores import Rows, Scores
from esm2_amp.neighbours.search import search
from esm2_amp.neighbours.vectors import Vectors


@dataclass(frozen=True)
class Tradeoff:
    """One setting: recall of the true k nearest with ``nprobe`` lists and ``candidates`` scored again, and what a
    query took in milliseconds, one query after another.
    """

    nprobe: int
    candidates: int
    recall: float
    milliseconds: float


@dataclass(frozen=True)
class RecallReport:
    """What was measured: ``settings`` in the order measured, and the one ``chosen``; the exact search took
    ``exact_milliseconds`` a query, all queries at once.
    """

    settings: list[Tradeoff]
    chosen: Measured
    exact_milliseconds: float

    @property
    def reached(self) -> bool:
        """Whether the recall that was wanted is reached by a setting."""
        return self.chosen.recall >= self.chosen.wanted


@dataclass(frozen=True)
class RecallQuestion:
    """What is measured: recall of the ``k`` nearest by ``metric`` of ``queries`` sampled vectors; ``wanted`` of it."""

    k: int
    metric: str
    queries: int
    wanted: float
    seed: int


def measure_recall(
    vectors: Vectors,
    index: Index,
    question: RecallQuestion,
    nprobes: Sequence[int],
    candidates: Sequence[int],
    begin: Callable[[int], None],
    advance: Callable[[int], None],
) -> RecallReport:
    """Measure every ``nprobe`` with every number of candidates.

    The queries are stored vectors, which are no hits of themselves. A hit counts as found if it is as close as the
    k-th nearest: with equal vectors it does not matter which of them is returned. Chosen is the fastest setting that
    reaches the recall wanted; if none does, the one with the highest recall.

    Args:
        vectors: that the index is of.
        index: of them.
        question: what to measure.
        nprobes: lists looked through; more than there are count as all.
        candidates: rows scored again; fewer than k count as k.
        begin: told how many settings there are, and one for the exact search.
        advance: told when one is done.

    Raises:
        InputError: a number that does not fit.
    """
    nprobes = sorted({min(number, index.card.lists) for number in nprobes})
    candidates = sorted({max(number, question.k) for number in candidates})
    _check(question, [*nprobes, *candidates])
    begin(1 + len(nprobes) * len(candidates))
    rows = sample_rows(vectors.n, question.queries, question.seed)
    queries = vectors.take(rows)
    began = time.perf_counter()
    _, truth = search(vectors, None, queries, question.k, question.metric, exclude=rows)
    exact = 1000 * (time.perf_counter() - began) / len(rows)
    advance(1)
    settings = []
    for nprobe in nprobes:
        for count in candidates:
            settings.append(_measured(vectors, index, question, (queries, rows, truth), (nprobe, count)))
            advance(1)
    return RecallReport(settings, _chosen(settings, question, len(rows)), exact)


def save_measured(index: Index, report: RecallReport) -> None:
    """Keep the chosen setting in the index's card: from now on searches use it."""
    index.card = index.card.with_measured(report.chosen)
    index.card.write(index.folder)


def recall_of(scores: Scores, truth: Scores, metric: str) -> float:
    """Share of the true hits found.

    Args:
        scores: (m, k) of what was found, NaN where there was nothing.
        truth: (m, k) of the true hits, nearest first, NaN where there are fewer.
        metric: that they are by.
    """
    sign = -1 if metric == "l2" else 1
    closeness, true = sign * scores, sign * truth
    there = ~np.isnan(true)
    worst = np.where(there, true, np.inf).min(axis=1)
    found = (closeness >= worst[:, None]).sum(axis=1)
    return float(np.minimum(found, there.sum(axis=1)).sum() / max(1, there.sum()))


def _measured(
    vectors: Vectors,
    index: Index,
    question: RecallQuestion,
    asked: tuple[Scores, Rows, Scores],
    setting: tuple[int, int],
) -> Tradeoff:
    queries, rows, truth = asked
    nprobe, count = setting
    found = np.empty_like(truth)
    began = time.perf_counter()
    for number in range(len(rows)):
        one = slice(number, number + 1)
        _, found[one] = search(
            vectors, index, queries[one], question.k, question.metric, count, nprobe, exclude=rows[one]
        )
    milliseconds = 1000 * (time.perf_counter() - began) / len(rows)
    return Tradeoff(nprobe, count, recall_of(found, truth, question.metric), milliseconds)


def _chosen(settings: Sequence[Tradeoff], question: RecallQuestion, queries: int) -> Measured:
    enough = [setting for setting in settings if setting.recall >= question.wanted]
    if enough:
        best = min(enough, key=lambda setting: setting.milliseconds)
    else:
        best = max(settings, key=lambda setting: (setting.recall, -setting.milliseconds))
    return Measured(
        question.metric, question.k, best.nprobe, best.candidates, best.recall, question.wanted, best.milliseconds,
        queries, question.seed,
    )  # fmt: skip


def _check(question: RecallQuestion, numbers: Sequence[int]) -> None:
    if question.k < 1 or question.queries < 1 or not numbers or min(numbers) < 1:
        raise InputError("k, queries, nprobe and candidates must be 1 or more")
    if not 0 < question.wanted <= 1:
        raise InputError(f"a recall of {question.wanted:g} is wanted", remedy="Give one above 0, up to 1.")
