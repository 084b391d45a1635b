"""``screen.strategy=retrieve``: a student proposes pairs, and the model scores those only."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from esm2_amp.errors import InputError
from esm2_amp.io.pairs import counted
from esm2_amp.screening.background import edges_around
from esm2_amp.screening.engine import sample, screen
from esm2_amp.screening.finish import finish
from esm2_amp.screening.joined import JoinedParts
from esm2_amp.screening.keep import Keep
from esm2_amp.screening.lessons import Lessons
from esm2_amp.screening.pair_list import PairList
from esm2_amp.screening.parts import Parts, open_parts
from esm2_amp.screening.recall import Recall
from esm2_amp.screening.retrieve import Search
from esm2_amp.screening.rounds import SAMPLE, Budget, Retrieval
from esm2_amp.screening.scorer import Scorer
from esm2_amp.screening.student import StudentSize
from esm2_amp.screening.student_inputs import student_inputs
from esm2_amp.tasks.console import log, progress
from esm2_amp.tasks.resumable_folder import WORK
from esm2_amp.tasks.screen_input import ScreenInputs
from esm2_amp.tasks.screen_plan import PILOT_PAIRS, make_plan, show_plan
from esm2_amp.tasks.screen_scored import PAIRS, Crew, ScoredScreen
from esm2_amp.tasks.screen_worth import Prior

_SHARES = (0.001, 0.01)
"""Recall is told of so many of all pairs, the best."""
_ALL = Keep(None, None)


class _Steps:
    """Scores the pairs of one step after the other, each into parts of its own."""

    def __init__(self, inputs: ScreenInputs, scorer: Scorer, prior: Prior, edge: int, folder: Path) -> None:
        self.inputs, self.scorer, self.prior, self.edge, self.folder = inputs, scorer, prior, edge, folder
        self.parts: dict[str, tuple[Parts, int]] = {}
        self._first: Parts | None = None

    def score(self, name: str, work: PairList) -> NDArray[np.float32]:
        """The logits of a step's pairs, in their order."""
        inputs = self.inputs
        parts = open_parts(
            self.folder / name.replace(" ", "-"),
            inputs.sides.ids,
            {**inputs.settings(), "tile": self.edge},
            lambda: self._edges(work),
            inputs.config.screen.commit_seconds,
        )
        self.parts[name] = (parts, len(work))
        log.info("Scoring %s: %s pairs.", name, f"{work.pairs:,}")
        self._first = self._first or parts
        left = work.pairs - sum(work.size(number) for number in parts.done())
        with progress(f"scoring, {name}", "pairs") as (begin, advance):
            begin(left)
            screen(
                work, inputs.tokens, self.scorer, _ALL, self.prior.probability, parts,
                share=(0, 1), advance=advance, check=lambda: None,
            )  # fmt: skip
        kept = [pairs.logit for pairs in parts.kept()]
        return np.concatenate(kept) if kept else np.empty(0, np.float32)

    def _edges(self, work: PairList) -> tuple[float, float]:
        """Where histograms begin and end: for all steps as for the first, so that they add up."""
        if self._first is not None:
            return self._first.edges
        return edges_around(sample(work, self.inputs.tokens, self.scorer, PILOT_PAIRS))


def retrieve(inputs: ScreenInputs, scorer: Scorer, crew: Crew, folder: Path) -> ScoredScreen | None:
    """Sample, teach, propose, score; resumable."""
    if crew.count > 1:
        raise InputError(
            "screen.strategy=retrieve works in one process", remedy="Leave trainer as it is, or use strategy=all."
        )
    options = inputs.config.screen
    budget = _budget(inputs)
    prior = Prior(inputs.model.card, options.negatives_per_positive)
    plan = make_plan(inputs, scorer, budget.pairs, 1)
    show_plan(plan, [("of these at random", f"{budget.sampled:,}"), ("rounds of proposals", str(budget.rounds))])
    steps = _Steps(inputs, scorer, prior, plan.tile, folder / WORK)
    retrieval = _retrieval(inputs, scorer, budget, plan.tile, folder / WORK)
    found = retrieval.run(steps.score, _SHARES, lambda _: None)  # seconds to minutes; scoring has bars of its own
    background = steps.parts[SAMPLE][0].background()
    joined = JoinedParts(list(steps.parts.values()), options.threshold)
    keep = Keep(options.threshold, options.top)
    summary = finish(joined, len(joined), keep, prior.at_prevalence, background, folder / PAIRS)
    notes = [recall_sentence(recall) for recall in found.recall]
    for note in notes:
        log.info("%s", note)
    scored = sum(step.work.pairs for step in found.steps)
    notes.append(
        f"A student of the model proposed the pairs that were scored; {budget.sampled:,} random ones taught it, and "
        "tell how each protein scores with any other (pairs_scored, mean_logit, percentiles)."
    )
    return ScoredScreen(inputs, plan, prior, summary, background, scored, notes)


def _budget(inputs: ScreenInputs) -> Budget:
    options = inputs.config.retrieve
    wanted = options.share * inputs.pairs
    if options.per_protein is not None:
        wanted = min(options.per_protein * len(inputs.proteins), inputs.pairs)
    pairs = max(2, round(wanted))
    return Budget(pairs, max(1, round(options.sample * pairs)), options.judges, options.rounds)


def _retrieval(inputs: ScreenInputs, scorer: Scorer, budget: Budget, edge: int, folder: Path) -> Retrieval:
    options, seed, n = inputs.config.retrieve, inputs.config.seed, len(inputs.proteins)
    folder.mkdir(parents=True, exist_ok=True)
    log.info("Reading the proteins for the student.")
    components = student_inputs(inputs.tokens, scorer, n, options.components, seed, folder / "components.safetensors")
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2e9
    wanted = Search(0, options.each, edge, folder, memory, None, torch.get_num_threads(), seed)
    size = StudentSize(options.components, options.hidden, options.rank)
    return Retrieval(inputs.grid(edge), components, size, budget, Lessons(options.steps, options.lr, seed), wanted)


def recall_sentence(recall: Recall) -> str:
    """How many of the best pairs were found, by the random pairs that the student did not learn from."""
    if recall.recall is None:
        return f"How many of the best {recall.share:.1%} of all pairs were found cannot be told: too few random pairs."
    return (
        f"Of the best {recall.share:.1%} of all pairs, {recall.recall:.0%} were found ({recall.low:.0%} to "
        f"{recall.high:.0%}, by {counted(recall.judged, 'random pair')} among them that the student had not seen)."
    )
