"""The pages of an explanation: one of the set, one of each pair that is shown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from esm2_amp import __version__
from esm2_amp.evaluation.intervals import Resampling
from esm2_amp.explain.attention import attention_weights
from esm2_amp.explain.batch import evidence
from esm2_amp.explain.explained import Evidence, ExplainedPair, ExplainedSet, ShownPair
from esm2_amp.explain.forward import joined, logits
from esm2_amp.explain.page import render_set
from esm2_amp.explain.page_pair import render_pair
from esm2_amp.explain.paper_figures import write_set_figures
from esm2_amp.explain.paper_pair import write_pair_figures
from esm2_amp.explain.scoreboard import Row
from esm2_amp.explain.summary import Summary, better_than_random, by_trust, faithfulness_table
from esm2_amp.explain.tables import write_pair_tables, write_set_tables
from esm2_amp.io.atomic import atomic_text, write_json
from esm2_amp.io.pairs import counted
from esm2_amp.tasks.console import progress
from esm2_amp.tasks.explain_results import (
    Explained,
    summarise,
    write_attributions,
    write_measures,
    write_pairs,
    write_ranked_segments,
)
from esm2_amp.tasks.explain_words import banner, calibration_of, lead_sentence, notes_of, provenance_of
from esm2_amp.tasks.training_evidence import FAR_NOTE, TrainingEvidence

PAGES, FIGURES = "pages", "figures"
_LEVEL = 0.95
_TOP = 2


def write_everything(done: Explained) -> ExplainedSet:
    """Tables, then pages, then ``explanation.json``, which says that all is there."""
    summary = summarise(done)
    rows = summary.rows(_resampling(done))
    methods = by_trust(rows, done.explainer.methods)
    write_attributions(done)
    write_pairs(done)
    write_measures(done.folder, rows)
    write_ranked_segments(done, methods[0])
    shown = _shown(done)
    explained = _set(done, summary, rows, methods, shown)
    _write_pages(done, explained, shown)
    write_set_tables(explained, done.folder / FIGURES)
    if done.scored.inputs.config.figures:
        write_set_figures(explained, done.folder / FIGURES)
    with atomic_text(done.folder / "report.html") as stream:
        stream.write(render_set(explained, FIGURES))
    about: dict[str, Any] = {"lead": explained.lead, "methods": methods, "pairs": dict(explained.outcomes)}
    write_json(
        done.folder / "explanation.json", {**about, "provenance": dict(explained.provenance), "version": __version__}
    )
    return explained


def _resampling(done: Explained) -> Resampling:
    config = done.scored.inputs.config
    return Resampling(config.faithfulness.resamples, config.seed, _LEVEL)


def _shown(done: Explained) -> list[int]:
    """Rows that get a page: all, or as many of the highest as of the lowest scores, in the order of the input."""
    numbers, most = done.scored.explained, done.scored.inputs.config.pages
    if len(numbers) <= most:
        return [int(number) for number in numbers]
    order = sorted(numbers.tolist(), key=lambda number: -(done.scored.rows[number].probability or 0.0))
    half = -(-most // 2)
    return sorted(order[:half] + (order[-(most - half) :] if most > half else []))


def _set(
    done: Explained, summary: Summary, rows: Sequence[Row], methods: Sequence[str], shown: Sequence[int]
) -> ExplainedSet:
    table, inputs = faithfulness_table(rows, methods), done.scored.inputs
    place = [done.explainer.methods.index(name) for name in methods]
    outcomes = Counter(done.outcome(int(number)) for number in done.scored.explained)
    return ExplainedSet(
        title=f"Why {inputs.model.card.network} scores {Path(inputs.pairs_file).name} so",
        subtitle=f"{counted(summary.pairs, 'pair')} explained by {counted(len(methods), 'method')}",
        banner=banner(done),
        lead=lead_sentence(table, better_than_random(rows), len(done.names)),
        calibration=calibration_of(done),
        layout=done.explainer.network.layout,
        methods=methods,
        outcomes=outcomes,
        faithfulness=table,
        profile=summary.profile,
        magnitude=summary.magnitude,
        agreement=summary.agreement[np.ix_(place, place)],
        attention=summary.attention,
        blocks=summary.structure,
        completeness=summary.completeness,
        surrogates=done.taught.quality(methods),
        pairs=_rows(done, methods[0], shown),
        notes=notes_of(done),
        provenance=provenance_of(done),
        version=__version__,
    )


def _rows(done: Explained, method: str, shown: Sequence[int]) -> list[ShownPair]:
    """The table of all explained pairs, with the top tokens by the most trusted method."""
    pages = {number: page_of(number) for number in shown}
    rows = []
    for numbers, arrays in done.read():
        found = evidence(method, arrays[f"signed/{method}"], done.scored.called(numbers))
        for number, values in zip(numbers.tolist(), found, strict=True):
            pair, probability, _ = done.scored.rows[number]
            there = np.where(done.present(number), values, -np.inf)
            top = [done.names[i] for i in np.argsort(-there, kind="stable")[:_TOP]]
            outcome, page = done.outcome(number), pages.get(number)
            rows.append(ShownPair(pair.a, pair.b, pair.label, float(probability or 0), outcome, top, page))
    return rows


def _write_pages(done: Explained, explained: ExplainedSet, shown: Sequence[int]) -> None:
    inputs, nearest = done.scored.inputs, None
    if inputs.training is not None and inputs.config.evidence:
        nearest = TrainingEvidence.of(done.scored.store, inputs.training, inputs.config.evidence)
    wanted = set(shown)
    with progress("pages", "pages") as (begin, advance):
        begin(len(shown))
        for numbers, arrays in done.read():
            here = np.array([number in wanted for number in numbers.tolist()])
            if not here.any():
                continue
            rows = {
                name: found if "sum" in name or "structure" in name else found[here] for name, found in arrays.items()
            }
            for pair, number in _pairs(done, numbers[here], rows, nearest):
                beside = done.folder / PAGES / _name(number)
                write_pair_tables(explained, pair, beside)
                if done.scored.inputs.config.figures:
                    write_pair_figures(explained, pair, beside)
                with atomic_text(beside.with_suffix(".html")) as stream:
                    stream.write(render_pair(explained, pair, "../report.html", beside.name))
                advance(1)


def _pairs(
    done: Explained, numbers: NDArray[np.int64], arrays: Mapping[str, NDArray[Any]], nearest: TrainingEvidence | None
) -> list[tuple[ExplainedPair, int]]:
    """The pages' pairs, of some rows of a block."""
    scored, card = done.scored, done.scored.inputs.model.card
    places = scored.places(numbers)
    network, tokens = done.explainer.network, [scored.tokens(place) for place in places]
    truth = done.regions.truth(scored, numbers)
    logit = logits(network, joined(network, *tokens)).tolist()
    looked = attention_weights(network, *tokens).mean(dim=2).double().numpy() if "attention/sum" in arrays else None
    near = None if nearest is None else nearest.find(*places)
    pairs = []
    for i, number in enumerate(numbers.tolist()):
        (a, b), (pair, probability, _) = scored.ends(number), scored.rows[number]
        pairs.append(ExplainedPair(
            protein_a=pair.a,
            protein_b=pair.b,
            length_a=len(a.sequence),
            length_b=len(b.sequence),
            label=pair.label,
            probability=float(probability or 0),
            logit=logit[i],
            threshold=card.threshold,
            values={name: arrays[f"signed/{name}"][i].astype(np.float64) for name in done.explainer.methods},
            regions_a=done.regions.of(a),
            regions_b=done.regions.of(b),
            attention=None if looked is None else looked[i],
            evidence=() if near is None else [Evidence(*row) for row in near[i].near],
            notes=() if near is None or not near[i].far else (FAR_NOTE,),
            ig_error=float(arrays["ig/error"][i]) if "ig/error" in arrays else None,
            truth=None if truth is None or not truth[i].any() else truth[i],
        ))  # fmt: skip
    return [(pair, number) for pair, number in zip(pairs, numbers.tolist(), strict=True)]


def page_of(number: int) -> str:
    """The page of a row within the folder of an explanation."""
    return f"{PAGES}/{_name(number)}.html"


def _name(number: int) -> str:
    """A row's page without the ending; the rows of the input are counted from 1."""
    return f"{number + 1:06d}"
