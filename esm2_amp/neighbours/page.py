"""Neighbours as one HTML page: a map, a table, links; self-contained, offline, every word of the user's escaped."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from esm2_amp.neighbours.map import Plane
from esm2_amp.neighbours.markdown import shown

ROWS_SHOWN = 1000
"""Rows of a table that a page shows: what a browser lays out at once."""
_WIDTH, _MARGIN = 1000, 24
_ABOUT = 160
_GROUPS = 5
_LABELS = 12
"""So many queries are named on the map; more would hide it."""


@dataclass(frozen=True)
class PageCell:
    """A name in a table, what is known about it, an ``https`` address, and its number among the points of the map."""

    text: str
    about: str = ""
    url: str | None = None
    point: int | None = None


@dataclass(frozen=True)
class PageRow:
    """Names and the score of one row."""

    cells: Sequence[PageCell]
    score: str


@dataclass(frozen=True)
class Point:
    """A vector on the map; ``kind`` is ``query``, ``hit`` or ``dust``, ``group`` what it is coloured by, or empty."""

    name: str
    about: str
    url: str | None
    kind: str
    group: str = ""


@dataclass(frozen=True, eq=False)
class Chart:
    """The points of a map, where they lie, and lines between some.

    ``arms`` are (from, to, kind): numbers of points, and ``query`` or ``hit``.
    """

    points: Sequence[Point]
    plane: Plane
    arms: Sequence[tuple[int, int, str]] = ()


@dataclass(frozen=True)
class PageFigure:
    """A drawing of our own, as an ``<svg>`` element."""

    title: str
    drawing: str
    caption: str


@dataclass(frozen=True, eq=False)
class Page:
    """Everything a page says; ``left_out`` counts rows that are in the written table only."""

    title: str
    subtitle: str
    provenance: Sequence[tuple[str, str]]
    version: str
    columns: Sequence[str] = ()
    rows: Sequence[PageRow] = ()
    left_out: int = 0
    chart: Chart | None = None
    figures: Sequence[PageFigure] = ()
    notes: Sequence[str] = ()


def render(page: Page) -> str:
    """The page as HTML text."""
    folder = Path(__file__).parent
    script = (folder / "page.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
    environment = Environment(
        loader=FileSystemLoader(folder), autoescape=True, undefined=StrictUndefined, trim_blocks=True, finalize=_plain
    )
    return environment.get_template("page.html.j2").render(
        page=page,
        chart=None if page.chart is None else _drawn(page.chart),
        script=Markup(script),  # noqa: S704 - our own
        script_hash=f"sha256-{digest}",
    )


def drawing(svg: str) -> Markup:
    """An ``<svg>`` element of our own, to go into a page as it is."""
    return Markup(svg)  # noqa: S704


def _plain(value: Any) -> Any:
    """Characters that would turn the direction of writing, or end a line, made visible in what is the user's."""
    return shown(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _drawn(chart: Chart) -> dict[str, Any]:
    """A map for the template: paths, a legend, and the points for the script."""
    places = chart.plane.places
    height = round((_WIDTH - 2 * _MARGIN) * float(np.clip(np.ptp(places[:, 1]), 0.35, 0.8))) + 2 * _MARGIN
    size = min(_WIDTH - 2 * _MARGIN, (height - 2 * _MARGIN) / max(float(np.ptp(places[:, 1])), 1e-9))
    x = np.round((_WIDTH - size * float(np.ptp(places[:, 0]))) / 2 + size * places[:, 0], 1)
    y = np.round((height + size * float(np.ptp(places[:, 1]))) / 2 - size * places[:, 1], 1)
    groups = _groups(chart.points)
    styles = [_style(point, groups) for point in chart.points]
    order = ["dust", *(f"group{i}" for i in range(len(groups))), "hit", "query"]
    parts = [{"style": _weight(style), "path": _dots(x, y, [s == style for s in styles])} for style in order]
    at = next((i for i, style in enumerate(order) if style == "hit"), len(order))
    arms = [{"style": f"arm {kind}", "path": _lines(x, y, chart.arms, kind)} for kind in ("hit", "query")]
    parts[at:at] = arms
    return {
        "width": _WIDTH,
        "height": height,
        "alt": f"Map of {len(chart.points)} vectors; the table below names what was found.",
        "parts": [part for part in parts if part["path"]],
        "labels": _labels(chart.points, x, y),
        "legend": _legend(groups, set(styles)),
        "axes": chart.plane.axes,
        "note": chart.plane.note,
        "points": {
            "x": x.tolist(),
            "y": y.tolist(),
            "name": [shown(point.name) for point in chart.points],
            "about": [_short(shown(point.about)) for point in chart.points],
            "url": [point.url or "" for point in chart.points],
        },
    }


def _groups(points: Sequence[Point]) -> dict[str, str]:
    """The largest groups and their styles; further groups are drawn as the rest is."""
    counts: dict[str, int] = {}
    for point in points:
        if point.group:
            counts[point.group] = counts.get(point.group, 0) + 1
    largest = sorted(counts, key=lambda name: (-counts[name], name))[:_GROUPS]
    return {name: f"group{i}" for i, name in enumerate(largest)}


def _style(point: Point, groups: Mapping[str, str]) -> str:
    return groups.get(point.group, "dust") if point.kind == "dust" else point.kind


def _weight(style: str) -> str:
    return style if style in ("hit", "query") else f"dots {style}"


def _legend(groups: Mapping[str, str], used: set[str]) -> list[dict[str, str]]:
    names = {"query": "query", "hit": "found", **{style: _short(name) for name, style in groups.items()}}
    names["dust"] = "others" + (" and further groups" if groups else "")
    return [{"style": style, "name": name} for style, name in names.items() if style in used]


def _labels(points: Sequence[Point], x: Any, y: Any) -> list[dict[str, Any]]:
    queries = [i for i, point in enumerate(points) if point.kind == "query"][:_LABELS]
    right = _WIDTH / 2  # a name is written towards the middle, where there is room for it
    return [
        {
            "name": points[i].name[:24],
            "x": f"{x[i] + (10 if x[i] < right else -10):g}",
            "y": f"{y[i] - 8:g}",
            "end": x[i] >= right,
        }
        for i in queries
    ]


def _dots(x: Any, y: Any, chosen: Sequence[bool]) -> str:
    """A line of no length, with a round end, at each chosen place."""
    return "".join(f"M{x[i]:g} {y[i]:g}h0" for i, drawn in enumerate(chosen) if drawn)


def _lines(x: Any, y: Any, arms: Sequence[tuple[int, int, str]], kind: str) -> str:
    return "".join(f"M{x[a]:g} {y[a]:g}L{x[b]:g} {y[b]:g}" for a, b, of in arms if of == kind)


def _short(text: str) -> str:
    return text if len(text) <= _ABOUT else text[: _ABOUT - 1] + "\N{HORIZONTAL ELLIPSIS}"
