"""The comparison of ranked segments with their background as one HTML page; every word of the user's is escaped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.figure import Figure

from esm2_amp.evaluation import page as evaluation_page
from esm2_amp.evaluation.svg import MODEL, MUTED, SECOND, svg
from esm2_amp.explain.coverage import ANY
from esm2_amp.explain.ranked_pairs import HIT_LEVELS
from esm2_amp.explain.region_comparison import ALL, BACKGROUND, COMPARED, CONTRASTS, Compared
from esm2_amp.io.segments import LOW, TOP

OUTCOMES = {
    "1-1": "true positives: they interact, and are called so",
    "0-1": "false positives: they do not interact, but are called so",
    "0-0": "true negatives: they do not interact, and are not called so",
    "1-0": "false negatives: they interact, but are not called so",
    "?-1": "called interacting, without a label",
    "?-0": "not called interacting, without a label",
    ALL: "pairs of every outcome",
}
"""What label-prediction stands for."""
_LONGEST = 32
_SETS = (TOP, LOW, BACKGROUND)
_MARKS = {TOP: ("o", MODEL), LOW: ("v", SECOND), BACKGROUND: ("D", MUTED)}
_ROWS_AT_MOST = 20


@dataclass(frozen=True, eq=False)
class RegionPage:
    """Everything the page says.

    ``compared``: every number. ``ranks``: how many segments are ranked on either side. ``level``: of the intervals,
    None without any. ``notes``: what was left out, and the like. ``provenance``: names and values.
    """

    subtitle: str
    compared: Sequence[Compared]
    ranks: int
    level: float | None
    draws: int
    notes: Sequence[str]
    provenance: Sequence[tuple[str, str]]
    version: str


Table = dict[str, Any]
"""``head``, and ``rows`` with ``name`` and ``cells``; a cell has a ``value`` and ``notes`` beneath it."""
Numbers = Mapping[tuple[str, str, str], Compared]
"""Of one outcome, by column, measure and what is compared."""


def render(page: RegionPage) -> str:
    """The page as HTML text."""
    folders = [Path(__file__).parent, Path(evaluation_page.__file__).parent]
    environment = Environment(
        loader=FileSystemLoader(folders), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    outcomes = list(dict.fromkeys(row.outcome for row in page.compared))
    parts = [
        _part(outcome, number, {row[1:4]: row for row in page.compared if row.outcome == outcome}, page)
        for number, outcome in enumerate(outcomes)
    ]
    return environment.get_template("region_page.html.j2").render(page=page, parts=parts)


def lead_sentence(numbers: Numbers) -> str:
    """Top against background, any kind of region, in words."""
    found = [numbers[ANY, "coverage", name] for name in (TOP, BACKGROUND, CONTRASTS[0])]
    top, background, difference = (row.value for row in found)
    if top is None or background is None or difference is None:
        return "No pair has top-ranked segments to compare."
    interval, p_value = found[2].interval, found[2].p_value
    sentence = (
        f"Annotated regions cover {top:.1f} % of the top-ranked segments and {background:.1f} % of the segments of the "
        f"same pairs on average: a difference of {_decimal(difference, True)} points"
    )
    if interval is not None:
        sentence += f" ({_decimal(interval[0], True)} to {_decimal(interval[1], True)})"
    sentence += "" if p_value is None else f", p = {p_value:.2g}"
    if interval is not None and interval[0] <= 0 <= interval[1]:
        sentence += ". The interval holds zero: no difference is shown"
    return sentence + "."


def _part(outcome: str, number: int, numbers: Numbers, page: RegionPage) -> dict[str, Any]:
    columns = list(dict.fromkeys(column for column, _, _ in numbers))
    drawn = columns[:_ROWS_AT_MOST]
    alt = f"Coverage of top- and low-ranked segments and of all segments of the same pairs: {', '.join(drawn)}."
    first = numbers[ANY, "coverage", BACKGROUND]
    return {
        "outcome": outcome,
        "meaning": OUTCOMES.get(outcome, ""),
        "pairs": f"{first.pairs:,} pairs of {first.proteins:,} proteins",
        "lead": lead_sentence(numbers),
        "figure": Markup(draw(f"coverage-{number}", numbers, drawn, alt)),  # noqa: S704 - our own drawing
        "undrawn": len(columns) - len(drawn),
        "coverage": _coverage_table(numbers, columns),
        "hits": [_hit_table(numbers, columns, page.ranks, level) for level in HIT_LEVELS],
    }


def draw(name: str, numbers: Numbers, columns: Sequence[str], alt: str) -> str:
    """Mean coverage of top-ranked, low-ranked and all segments, one row for each kind, as SVG."""

    def fill(figure: Figure) -> None:
        axis = figure.subplots()
        for source, offset in zip(_SETS, (-0.22, 0.0, 0.22), strict=True):
            mark, colour = _MARKS[source]
            rows = [(place + offset, numbers[column, "coverage", source]) for place, column in enumerate(columns)]
            shown = [(place, row.value, row.interval) for place, row in rows if row.value is not None]
            for place, _, interval in shown:
                if interval is not None:
                    axis.plot(interval, [place] * 2, color=colour, linewidth=1.4)
            axis.plot(
                [value for _, value, _ in shown], [place for place, _, _ in shown],
                linestyle="", marker=mark, markersize=5.5, color=colour,
                label="all segments" if source == BACKGROUND else f"{source}-ranked",
            )  # fmt: skip
        axis.set_yticks(range(len(columns)), [_short(column) for column in columns])
        axis.set(xlabel="covered residues, %", ylim=(len(columns) - 0.5, -0.5))
        axis.set_xlim(left=0)
        axis.grid(visible=False, axis="y")
        axis.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))

    return svg(name, (9.0, 1.0 + 0.5 * max(len(columns), 2)), alt, fill)


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _coverage_table(numbers: Numbers, columns: Sequence[str]) -> Table:
    head = ["covered residues, %", *(_title(name, "all") for name in COMPARED)]
    return _table(head, numbers, columns, "coverage", COMPARED)


def _hit_table(numbers: Numbers, columns: Sequence[str], ranks: int, level: int) -> Table:
    """Pairs of whose ranked segments at least one is hit, beside what chance gives."""
    compared = (*_SETS, *CONTRASTS[:2])
    names = {TOP: f"any of top {ranks}", LOW: f"any of low {ranks}", BACKGROUND: f"any of {ranks} at random"}
    head = [f"pairs hit at {level} %", *(names.get(name) or _title(name, "random") for name in compared)]
    return _table(head, numbers, columns, f"any_{level}", compared)


def _table(
    head: Sequence[str], numbers: Numbers, columns: Sequence[str], measure: str, compared: Sequence[str]
) -> Table:
    rows = [
        {"name": column, "cells": [_cell(numbers[column, measure, name]) for name in compared]} for column in columns
    ]
    return {"head": head, "rows": rows}


def _title(compared: str, background: str) -> str:
    return "all segments" if compared == BACKGROUND else compared.replace(BACKGROUND, background).replace("-", " − ")


def _cell(row: Compared) -> dict[str, Any]:
    """A value; of a contrast with its sign; beneath, interval, p value and effect size."""
    if row.value is None:
        return {"value": "–", "notes": []}
    signed, notes = row.compared in CONTRASTS, list[str]()
    if row.interval is not None:
        notes.append(f"{_decimal(row.interval[0], signed)} to {_decimal(row.interval[1], signed)}")
    said = [] if row.p_value is None else [f"p {row.p_value:.2g}"]
    said += [] if row.effect_size is None else [f"d {row.effect_size:+.2f}"]
    return {"value": _decimal(row.value, signed), "notes": [*notes, *([", ".join(said)] if said else [])]}


def _decimal(value: float, signed: bool) -> str:
    plain = round(value, 1) + 0.0  # no -0.0
    return f"{plain:+.1f}" if signed else f"{plain:.1f}"
