"""The results of a screen: tables, network, page, and last ``screen.json``, which says that all is there."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from esm2_amp import __version__
from esm2_amp.io.atomic import atomic_text, write_json
from esm2_amp.screening.finish import best
from esm2_amp.screening.graph import Interactome, interactome
from esm2_amp.screening.graph_figure import draw_network
from esm2_amp.screening.graph_files import write_network
from esm2_amp.screening.graph_page import report_page
from esm2_amp.screening.promiscuity import promiscuity
from esm2_amp.tasks.screen_explained import explain_best, explaining_command
from esm2_amp.tasks.screen_scored import PAIRS, ScoredScreen
from esm2_amp.tasks.screen_words import lead_sentence, words_of
from esm2_amp.tasks.screen_worth import Worth, curve_of, worth, write_worth

HIGHEST = 0.01
"""A protein is promiscuous by how often it is among this share of the highest scores."""
NETWORK = "network"


def write_results(done: ScoredScreen, folder: Path) -> str:
    """Write everything but the pairs, which are there; returns the result in a sentence."""
    config = done.inputs.config
    proteins = protein_table(done)
    _write_table(folder / "proteins.tsv", proteins)
    worths = _worths(done)
    write_worth(folder / "precision.tsv", worths)
    edges = best(folder / PAIRS, config.network.edges)
    network = interactome(edges, _nodes(proteins), config.seed)
    if len(network.edges):
        _write_network(folder / NETWORK, network, figures=config.network.figures)
    lead = lead_sentence(done, worths)
    links = explain_best(done, edges.head(config.network.explain), folder)
    page = report_page(network, words_of(done, lead, proteins, worths), links, explaining_command(done))
    with atomic_text(folder / "report.html") as stream:
        stream.write(page)
    write_json(folder / "screen.json", _record(done, lead))
    return lead


def protein_table(done: ScoredScreen) -> pd.DataFrame:
    """A row a protein: where it comes from, how it scores with all others, and its best pair."""
    inputs, found = done.inputs, done.summary
    distance, known = inputs.distances()
    logits = np.nan_to_num(found.best_logit)
    partners = [inputs.sides.ids[number] if number >= 0 else None for number in found.best_partner.tolist()]
    return pd.DataFrame({
        "id": inputs.sides.ids,
        "side": [inputs.side(number) for number in range(len(inputs.proteins))],
        "length": [len(protein.sequence) for protein in inputs.proteins],
        "in_training": [protein.key in inputs.seen for protein in inputs.proteins],
        "distance": distance,
        "far": pd.array([None] * len(distance) if known is None else distance > known.p99, dtype="boolean"),
        "pairs_scored": found.scored,
        "pairs_kept": found.kept,
        "mean_logit": found.mean_logit,
        "promiscuity": promiscuity(done.background, HIGHEST),
        "best_partner": pd.array(partners, dtype="string"),
        "best_probability": np.where(found.kept > 0, done.prior.probability(logits), np.nan),
    })  # fmt: skip


def _nodes(proteins: pd.DataFrame) -> pd.DataFrame:
    """What the network says of a protein; a column of which nothing is known is left out."""
    return proteins.drop(columns=["best_partner", "best_probability"]).dropna(axis="columns", how="all")


def _worths(done: ScoredScreen) -> list[Worth]:
    curve = curve_of(done.inputs.model)
    return [] if curve is None else worth(curve, done.background, done.inputs.pairs, done.prior)


def _write_table(file: Path, table: pd.DataFrame) -> None:
    with atomic_text(file) as stream:
        table.to_csv(stream, sep="\t", index=False, lineterminator="\n", float_format="%.6g")


def _write_network(folder: Path, network: Interactome, *, figures: bool) -> None:
    write_network(folder, network)
    if figures:
        draw_network(folder, network)


def _record(done: ScoredScreen, lead: str) -> dict[str, Any]:
    inputs = done.inputs
    return {
        "lead": lead,
        "proteins": len(inputs.proteins),
        "pairs": inputs.pairs,
        "pairs_scored": done.scored,
        "pairs_kept": done.summary.pairs,
        "plan": asdict(done.plan),
        "settings": inputs.settings(),
        "checkpoint": str(inputs.model.folder),
        "version": __version__,
    }
