"""Tables of scores of the same pairs: aligned, calibrated on validation, compared over seeds and with another model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from esm2_amp.errors import InputError
from esm2_amp.evaluation.calibration import Calibration, fit_calibration
from esm2_amp.evaluation.intervals import Runs, paired_difference, protein_intervals
from esm2_amp.evaluation.metrics import best_threshold, binary_metrics
from esm2_amp.evaluation.page import Seeds
from esm2_amp.evaluation.weighted import METRICS
from esm2_amp.io.pairs import counted
from esm2_amp.io.scores import ScoredPairs, read_scores
from esm2_amp.tasks.config_groups import ReportConfig
from esm2_amp.tasks.console import progress
from esm2_amp.tasks.reporting import Pairs
from esm2_amp.tasks.scored_pairs import row_notes

_SAME = "Tables that are compared hold the same labelled pairs."
_CLIP = 1e-7  # of probabilities before calibration: 0 and 1 have no logit


class Setting(NamedTuple):
    """As configured (``threshold`` None: from validation, else 0.5), and what makes a protein itself."""

    calibration: str
    threshold: float | None
    identity: Callable[[str], str]


@dataclass(frozen=True, eq=False)
class Run:
    """One table of scores: its probabilities in the order of the first table's pairs, before and after calibration.

    ``notes`` say which rows were not measured, and why there is no calibration where one was asked for.
    """

    file: str
    before: NDArray[np.float64]
    probability: NDArray[np.float64]
    threshold: float
    calibration: Calibration
    notes: list[str]


def read_runs(files: Sequence[str], validation: Sequence[str], pairs: ScoredPairs, setting: Setting) -> list[Run]:
    """Read tables of the same pairs, and fit calibration and threshold of each to its validation scores, if any.

    Raises:
        InputError: unreadable, or other pairs than ``pairs``.
    """
    beside: Sequence[str | None] = validation or [None] * len(files)
    return [_read(file, val, pairs, setting) for file, val in zip(files, beside, strict=True)]


def _read(file: str, val: str | None, pairs: ScoredPairs, setting: Setting) -> Run:
    scored = read_scores(file, setting.identity)
    before, notes = _aligned(scored, pairs, file), row_notes(file, scored.counts)
    threshold = 0.5 if setting.threshold is None else setting.threshold
    if val is None:
        return Run(file, before, before, threshold, Calibration("none"), notes)
    known = read_scores(val, setting.identity)
    notes += row_notes(val, known.counts)
    fitted, fallback = fit_calibration(setting.calibration, _logits(known.probability), known.label)
    if fallback is not None:
        notes.append(f"{file} is not calibrated: in {val}, {fallback}.")
    probability, of_known = before, known.probability
    if fitted.method != "none":
        probability, of_known = fitted.apply(_logits(before)), fitted.apply(_logits(known.probability))
    if setting.threshold is None:
        threshold = best_threshold(known.label, of_known)
    return Run(file, before, probability, threshold, fitted, notes)


def _logits(probability: NDArray[np.float64]) -> NDArray[np.float64]:
    inside = np.clip(probability, _CLIP, 1 - _CLIP)
    logits: NDArray[np.float64] = np.log(inside) - np.log1p(-inside)
    return logits


def _aligned(scored: ScoredPairs, pairs: ScoredPairs, file: str) -> NDArray[np.float64]:
    """Probabilities in the order of ``pairs``.

    Raises:
        InputError: another pair, a pair less, or another label.
    """
    place = {pair: (row, int(scored.label[row])) for row, pair in enumerate(_unordered(scored))}
    rows = []
    for pair, label in zip(_unordered(pairs), pairs.label.tolist(), strict=True):
        row, said = place.pop(pair, (-1, label))
        if row < 0 or said != label:
            what = "is not scored here" if row < 0 else f"has the label {said} here and {label} in the first table"
            raise InputError(f"the pair {' - '.join(pair)} {what}", file=file, remedy=_SAME)
        rows.append(row)
    if place:
        what = f"{counted(len(place), 'pair')} that the first table has not, as {' - '.join(next(iter(place)))}"
        raise InputError(what, file=file, remedy=_SAME)
    return scored.probability[rows]


def _unordered(scored: ScoredPairs) -> list[tuple[str, str]]:
    names = scored.proteins
    return [
        (names[a], names[b]) if names[a] <= names[b] else (names[b], names[a])
        for a, b in zip(scored.a.tolist(), scored.b.tolist(), strict=True)
    ]


def compare(
    pairs: Pairs, runs: Sequence[Run], others: Sequence[Run], n_proteins: int, report: ReportConfig
) -> Seeds | None:
    """Means over tables and differences from other tables; None where one table stands alone."""
    if len(runs) == 1 and not others:
        return None
    tables = [
        {"name": run.file, "metrics": binary_metrics(pairs.label, run.probability, run.threshold)} for run in runs
    ]
    means: dict[str, Any] = _means(tables)
    with progress("over seeds", "resamples") as (begin, advance):
        begin(report.resamples * (2 if others else 1))
        resampling = report.resampling(advance)
        if resampling is None:
            return Seeds(tables, means, None)
        ours = _runs(runs)
        drawn = protein_intervals(*pairs, *ours, n_proteins=n_proteins, resampling=resampling)
        means["intervals"] = drawn.bounds
        if not others:
            return Seeds(tables, means, None)
        found = paired_difference(*pairs, ours, _runs(others), n_proteins=n_proteins, resampling=resampling)
    return Seeds(tables, means, {metric: difference._asdict() for metric, difference in found.items()})


def _runs(runs: Sequence[Run]) -> Runs:
    return Runs(np.stack([run.probability for run in runs]), np.array([run.threshold for run in runs]))


def _means(files: Sequence[dict[str, Any]]) -> dict[str, Any]:
    values = {metric: [file["metrics"][metric] for file in files] for metric in METRICS}
    return {metric: None if None in found else float(np.mean(found)) for metric, found in values.items()}
