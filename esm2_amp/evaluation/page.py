"""An evaluation as one HTML page: self-contained, offline, printable, every word of the user's escaped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from esm2_amp.evaluation.figures import draw_history
from esm2_amp.evaluation.page_parts import ScoredSet, lead_sentence, part_of_page, tiles, unclear, verdict
from esm2_amp.evaluation.page_tables import differences_table, seeds_sentence, seeds_table, shuffle_table

_STYLES = {"block": "stop", "show": "warn", "ok": ""}
"""By severity of a finding; what is in order has no box."""


@dataclass(frozen=True)
class Seeds:
    """Several trainings of one model on the same pairs: ``files`` have ``name`` and ``metrics``, ``means`` intervals.

    ``differences`` by metric from another model, None where there is no other; see
    :func:`esm2_amp.evaluation.intervals.paired_difference`.
    """

    files: Sequence[Mapping[str, Any]]
    means: Mapping[str, Any]
    differences: Mapping[str, Mapping[str, Any]] | None

    @property
    def sentence(self) -> str:
        """The mean and the difference of what matters most."""
        return seeds_sentence(len(self.files), self.means, self.differences)


@dataclass(frozen=True, eq=False)
class Page:
    """Everything a page says.

    ``sets``: the first is the one the page leads with. ``banner``: what must not be overlooked. ``notes``: rows that
    were not measured, and the like. ``findings``: of the audit, each with ``check``, ``sentence`` and a ``severity``
    of ``block``, ``show`` or ``ok``; None where none was made. ``shuffled``: ``auroc`` and ``aupr`` of the model on
    pairs with shuffled partners. ``history``: metrics by epoch. ``provenance``: names and values.
    """

    title: str
    subtitle: str
    sets: Sequence[ScoredSet]
    threshold: float
    threshold_from: str
    calibration: str
    provenance: Sequence[tuple[str, str]]
    version: str
    banner: str | None = None
    notes: Sequence[str] = ()
    findings: Sequence[Mapping[str, Any]] | None = None
    shuffled: Mapping[str, Any] | None = None
    seeds: Seeds | None = None
    history: Sequence[Mapping[str, float]] = ()


def render(page: Page) -> str:
    """The page as HTML text."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    first = page.sets[0]
    seeds, history = page.seeds, ""
    if page.history:
        history = draw_history("history", page.history, "Loss and validation ranking by epoch.")
    return environment.get_template("page.html.j2").render(
        page=page,
        lead=lead_sentence(first),
        warnings=unclear(first),
        verdict=verdict(first),
        tiles=tiles(first),
        level=f"{first.summary['level']:.0%}" if first.summary["resamples"] else None,
        resamples=first.summary["resamples"],
        seeds=seeds and seeds_table(seeds.files, seeds.means),
        differences=seeds and seeds.differences and differences_table(seeds.differences),
        parts=[part_of_page(scored, page.threshold) for scored in page.sets],
        threshold=f"{page.threshold:.3f}",
        shuffled=page.shuffled and shuffle_table(first.numbers["all"], page.shuffled),
        history=Markup(history),  # noqa: S704 - our own drawing
        findings=None if page.findings is None else [_styled(finding) for finding in page.findings],
    )


def _styled(finding: Mapping[str, Any]) -> dict[str, Any]:
    return {**finding, "style": _STYLES[finding["severity"]]}
