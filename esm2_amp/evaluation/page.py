"""An evaluation as one HTML page: self-contained, offline, printable, every word of the user's escaped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from numpy.typing import NDArray
import numpy as np

from esm2_amp.evaluation.figures import draw_history
from esm2_amp.evaluation.page_parts import lead_sentence, part_of_page, tiles_of, verdicts_of
from esm2_amp.evaluation.page_tables import seed_tables, shuffle_table


@dataclass(frozen=True, eq=False)
class ScoredSet:
    """Labelled pairs as they were measured: the summary, and the n scores its figures are drawn of.

    ``before`` are the probabilities before calibration (None: there was none), ``classes`` says C1, C2 or C3 of each
    pair (None: not known), ``baselines`` their scores by name; ``summary`` is that of
    :func:`esm2_amp.evaluation.summary.summarise`.
    """

    name: str
    label: NDArray[np.int64]
    probability: NDArray[np.float64]
    before: NDArray[np.float64] | None
    classes: NDArray[np.str_] | None
    baselines: Mapping[str, NDArray[np.float64]]
    summary: Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Page:
    """Everything a page says.

    ``sets``: the first is the one the page leads with. ``findings``: of the audit, each with ``check``,
    ``severity``, ``count`` and ``sentence``; None where none was made. ``shuffle``: ranking of the model on pairs
    with shuffled partners. ``seeds``: over several trainings, see
    :func:`esm2_amp.evaluation.page_tables.seed_tables`. ``history``: metrics by epoch.
    """

    title: str
    subtitle: str
    banner: str | None
    sets: Sequence[ScoredSet]
    threshold: float
    threshold_from: str
    calibration: str
    notes: Sequence[str]
    findings: Sequence[Mapping[str, Any]] | None
    shuffle: Mapping[str, Any] | None
    seeds: Mapping[str, Any] | None
    history: Sequence[Mapping[str, float]]
    provenance: Sequence[tuple[str, str]]
    version: str


_STYLES = {"block": "stop", "blocks": "stop", "error": "stop", "doubt": "warn", "warning": "warn"}


def render(page: Page) -> str:
    """The page as HTML text."""
    folder = Path(__file__).parent
    environment = Environment(loader=FileSystemLoader(folder), autoescape=True, undefined=StrictUndefined)
    first = page.sets[0]
    history = draw_history("history", page.history, "Loss and validation ranking by epoch.") if page.history else ""
    return environment.get_template("page.html.j2").render(
        title=page.title,
        subtitle=page.subtitle,
        banner=page.banner,
        lead=lead_sentence(first),
        verdicts=verdicts_of(first),
        tiles=tiles_of(first),
        notes=page.notes,
        seeds=page.seeds and seed_tables(page.seeds),
        parts=[part_of_page(scored, page.threshold) for scored in page.sets],
        threshold=f"{page.threshold:.3f}",
        threshold_from=page.threshold_from,
        calibration=page.calibration,
        shuffle=page.shuffle and shuffle_table(page.shuffle, first),
        history=Markup(history),  # noqa: S704 - our own drawing
        findings=None if page.findings is None else [_finding(finding) for finding in page.findings],
        provenance=page.provenance,
        version=page.version,
    )


def _finding(finding: Mapping[str, Any]) -> dict[str, Any]:
    return {**finding, "style": _STYLES.get(str(finding["severity"]), "good")}
