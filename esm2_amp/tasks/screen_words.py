"""Sentences and small tables of a screen's page: what was found, what it is worth, what to beware of."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from esm2_amp import __version__
from esm2_amp.io.pairs import counted
from esm2_amp.screening.graph_page import ReportWords
from esm2_amp.screening.graph_tables import WordTable
from esm2_amp.tasks.controls import banner_of
from esm2_amp.tasks.reporting import model_provenance
from esm2_amp.tasks.screen_scored import ScoredScreen
from esm2_amp.tasks.screen_worth import Worth
from esm2_amp.tasks.training_data import file_hash

_ROWS = 12
_PROMISCUOUS = 5.0
"""A protein among the highest scores so many times as often as the average one is named."""
_NAMED = 20
_TWICE = 2.0
"""Precision by the count differs notably from that of validation where one is so many times the other."""


def lead_sentence(done: ScoredScreen, worths: Sequence[Worth]) -> str:
    """The result in a sentence or two."""
    said = (
        f"{done.scored:,} of {done.inputs.pairs:,} pairs of {counted(len(done.inputs.proteins), 'protein')} "
        f"scored, {done.summary.pairs:,} kept."
    )
    best = max(worths, key=lambda row: min(row.precision.low, row.by_count), default=None)
    if best is None:
        return said
    return said + (
        f" If one pair in {1 + done.prior.ratio:,.0f} interacts, of the {best.pairs:,.0f} pairs with a probability of "
        f"{best.probability:.3f} or more about {best.precision.value:.1%} do ({best.precision.low:.1%} to "
        f"{best.precision.high:.1%}) by the validation pairs, {best.by_count:.1%} by the count of pairs here."
    )


def words_of(done: ScoredScreen, lead: str, proteins: pd.DataFrame, worths: Sequence[Worth]) -> ReportWords:
    """What the page says besides the network."""
    inputs, names = done.inputs, [Path(file).name for file in done.inputs.files.values()]
    return ReportWords(
        title=f"Screen of {' and '.join(names)}",
        subtitle=f"{inputs.model.card.network}, {_mode(done)}",
        lead=lead,
        prevalence=f"1 : {done.prior.ratio:g}",
        version=__version__,
        tiles=(
            (f"{len(proteins):,}", "proteins"),
            (f"{inputs.pairs:,}", "pairs"),
            (f"{done.scored:,}", "pairs scored"),
            (f"{done.summary.pairs:,}", "pairs kept"),
        ),
        warnings=_warnings(done, proteins, worths),
        notes=[*done.notes, *_NOTES],
        tables=[*_worth_tables(worths, done.prior.ratio), *_promiscuous(proteins)],
        provenance=_provenance(done),
    )


_NOTES = (
    "percentile_a and percentile_b say which share of a protein's own scored pairs score lower: a pair that is high "
    "for both of its proteins says more than one with a protein that scores high with everyone.",
    "No score of sequences alone shows that two proteins meet, in the same cell, place and time: it says where to "
    "look.",
)


def _mode(done: ScoredScreen) -> str:
    inputs = done.inputs
    if inputs.config.fasta_b is not None:
        return "each protein of one file with each of the other"
    return "all with all" if inputs.config.query is None else "some proteins with all others"


def _warnings(done: ScoredScreen, proteins: pd.DataFrame, worths: Sequence[Worth]) -> list[str]:
    card = done.inputs.model.card
    found = [banner] if (banner := banner_of(card.training)) else []
    far = proteins["far"]
    if far.isna().all():
        found.append("The model's card does not say how far training proteins lie apart: train again to have it.")
    elif (count := int(far.sum())) > 0.05 * len(proteins):
        found.append(
            f"{counted(count, 'protein')} of {len(proteins):,} lie further from the training proteins than 99 % of "
            "these do (far in proteins.tsv): their scores are guesses."
        )
    if not worths:
        found.append("The model's card has no operating curve: no precision can be expected. Train again to have one.")
    elif _differs(worths):
        found.append(
            "The proteins of this screen score differently than the validation pairs did: precision by count and by "
            "validation disagree. Believe the lower one."
        )
    if not done.prior.known:
        found.append("The model's card does not say how many validation pairs interacted: half of them is assumed.")
    return found


def _differs(worths: Sequence[Worth]) -> bool:
    row = min(worths, key=lambda row: abs(row.recall - 0.1))
    low, high = sorted((row.precision.value, row.by_count))
    return high > _TWICE * max(low, 1e-9)


def _worth_tables(worths: Sequence[Worth], ratio: float) -> list[WordTable]:
    if not worths:
        return []
    step = max(1, len(worths) // _ROWS)
    rows = [
        (
            f"{row.probability:.4f}",
            f"{row.at_prevalence:.4f}",
            f"{row.pairs:,.0f}",
            f"{row.recall:.1%}",
            f"{row.precision.value:.1%} ({row.precision.low:.1%} to {row.precision.high:.1%})",
            f"{row.by_count:.1%}",
        )
        for row in worths[::step]
    ]
    return [
        WordTable(
            "What a score is worth",
            ["probability of at least", f"at 1:{ratio:g}", "pairs", "of the true pairs", "of these true", "by count"],
            rows,
            "From the validation pairs, weighed as if interacting pairs were that rare; the interval is that of the "
            "validation pairs, too narrow where they share proteins. By count: recall of the validation pairs, but as "
            "many pairs as reach the score here. All thresholds: precision.tsv.",
        )
    ]


def _promiscuous(proteins: pd.DataFrame) -> list[WordTable]:
    high = proteins[proteins["promiscuity"] >= _PROMISCUOUS].sort_values("promiscuity", ascending=False, kind="stable")
    if high.empty:
        return []
    rows = [
        (str(row.id), f"{row.promiscuity:.1f} x", f"{row.mean_logit:.2f}", f"{row.pairs_kept:,}")
        for row in high.head(_NAMED).itertuples()
    ]
    return [
        WordTable(
            "Promiscuous proteins",
            ["protein", "among the highest 1 %", "mean logit", "pairs kept"],
            rows,
            f"{counted(len(high), 'protein')} among the highest 1 % of all scores {_PROMISCUOUS:g} times as often as "
            "the average protein, or more. They score high with almost anything; all of them: proteins.tsv.",
        )
    ]


def _provenance(done: ScoredScreen) -> list[tuple[str, str]]:
    inputs, options = done.inputs, done.inputs.config.screen
    files = [(name, f"{Path(file).name}, SHA-256 {file_hash(file)}") for name, file in inputs.files.items()]
    kept = [("kept", f"top {options.top}" if options.top else "no limit"), ("threshold", str(options.threshold))]
    ran = [("strategy", options.strategy), ("precision", options.precision), ("seed", str(inputs.config.seed))]
    return [("checkpoint", str(inputs.model.folder)), *files, *kept, *ran, *model_provenance(inputs.model.card)]
