"""From blocks of explanations to tables."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from esm2_amp.explain.batch import Explainer
from esm2_amp.explain.explained import pair_tokens
from esm2_amp.explain.ranking import rank_segments
from esm2_amp.explain.scoreboard import Row
from esm2_amp.explain.summary import Summary
from esm2_amp.io.atomic import atomic_text
from esm2_amp.io.blocks import read_block
from esm2_amp.io.segments import RankedSegment, outcome_of, write_segments
from esm2_amp.layout import SEGMENT_NAMES
from esm2_amp.tasks.explain_input import Scored
from esm2_amp.tasks.explain_regions import Regions
from esm2_amp.tasks.explain_surrogate import Taught
from esm2_amp.tasks.resumable_folder import WORK
from esm2_amp.tasks.run_folder import write_table

OUTCOMES = {(1, True): "TP", (0, True): "FP", (0, False): "TN", (1, False): "FN"}
_ATTRIBUTIONS = ("protein_a", "protein_b", "method", "token", "value")
_PAIRS = ("protein_a", "protein_b", "label", "probability", "outcome", "status")
_MEASURES = ("method", "model", "measure", "pairs", "mean", "low", "high")


@dataclass(frozen=True, eq=False)
class Explained:
    """A set of pairs whose blocks are all computed: ``blocks`` are the numbers of their rows."""

    folder: Path
    explainer: Explainer
    scored: Scored
    regions: Regions
    taught: Taught
    blocks: Sequence[NDArray[np.int64]]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the tokens of a pair."""
        return self.explainer.network.layout.pair_names

    def read(self) -> Iterator[tuple[NDArray[np.int64], dict[str, NDArray[Any]]]]:
        """The rows of each block and its arrays, one block in memory at a time."""
        for i, rows in enumerate(self.blocks):
            yield rows, read_block(self.folder / WORK, i)

    def present(self, number: int) -> NDArray[np.bool_]:
        """(2T,) tokens that stand for something: all but the empty segments of proteins below ten residues."""
        layout, proteins = self.explainer.network.layout, self.scored.ends(number)
        tokens = pair_tokens(layout, *(len(protein.sequence) for protein in proteins))
        return np.array([token.start is None or token.drawn for token in tokens])

    def outcome(self, number: int) -> str:
        """TP, FP, TN or FN of an explained row; nothing without a label."""
        label = self.scored.rows[number].pair.label
        return "" if label is None else OUTCOMES[label, bool(self.scored.called(np.array([number]))[0])]


def summarise(done: Explained) -> Summary:
    """Add up all blocks."""
    summary = Summary(done.explainer.methods, len(done.names))
    for rows, arrays in done.read():
        summary.add(arrays, done.scored.called(rows))
    return summary


def write_attributions(done: Explained) -> None:
    """``attributions.tsv``, and ``attributions_absolute.tsv`` with the sums of absolute values over dimensions."""
    with ExitStack() as stack:
        tables = {}
        for kind, name in (("signed", "attributions.tsv"), ("absolute", "attributions_absolute.tsv")):
            stream = stack.enter_context(atomic_text(done.folder / name))
            tables[kind] = csv.writer(stream, delimiter="\t", lineterminator="\n")
            tables[kind].writerow(_ATTRIBUTIONS)
        for rows, arrays in done.read():
            for kind, table in tables.items():
                values = {name: arrays[f"{kind}/{name}"] for name in done.explainer.methods}
                for i, number in enumerate(rows.tolist()):
                    pair = done.scored.rows[number].pair
                    for method, found in values.items():
                        named = zip(done.names, found[i].tolist(), strict=True)
                        table.writerows((pair.a, pair.b, method, token, f"{value:.6g}") for token, value in named)


def write_pairs(done: Explained) -> None:
    """``pairs.tsv``: every row of the input in its order, with its score, or why it has none and no explanation."""
    rows = []
    for number, (pair, probability, status) in enumerate(done.scored.rows):
        scored = probability is not None
        label = "" if pair.label is None else pair.label
        outcome = done.outcome(number) if scored else ""
        rows.append((pair.a, pair.b, label, f"{probability:.6g}" if scored else "", outcome, status))
    write_table(done.folder / "pairs.tsv", _PAIRS, rows)


def write_ranked_segments(done: Explained, method: str) -> None:
    """``segments.tsv``: the highest and lowest segments of each pair by one method, as ``esm2-amp regions`` reads them.

    Nothing for a network that reads no segments.
    """
    if any(name in SEGMENT_NAMES for name in done.explainer.network.layout):
        write_segments(done.folder / "segments.tsv", method, _ranked(done, method))


def _ranked(done: Explained, method: str) -> Iterator[RankedSegment]:
    for rows, arrays in done.read():
        for number, values, called in zip(
            rows.tolist(), arrays[f"signed/{method}"], done.scored.called(rows), strict=True
        ):
            pair = done.scored.rows[number].pair
            outcome = outcome_of(pair.label, int(called))
            there = np.where(done.present(number), values, np.nan)
            for kind, rank, token in rank_segments(there, done.names):
                yield RankedSegment(outcome, kind, rank, pair.a, pair.b, token, number)


def write_measures(folder: Path, rows: Sequence[Row]) -> None:
    """``faithfulness.tsv``: every measure of every method; ``model`` is trained, or randomised for its fresh copies."""
    found = []
    for row in rows:
        kind, _, method = row.method.partition("/")
        model = "randomised" if kind == "randomised" else "trained"
        numbers = ["" if value is None else f"{value:.6g}" for value in (row.mean, row.low, row.high)]
        found.append((method, model, row.measure, row.n, *numbers))
    write_table(folder / "faithfulness.tsv", _MEASURES, found)
