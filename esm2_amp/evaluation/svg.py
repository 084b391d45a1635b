"""Drawings for a page: small inline SVG whose colours follow the page's theme, light, dark and in print."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from html import escape
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

_THEME = {
    "#010101": "var(--ink)", "#020202": "var(--line)", "#030303": "var(--muted)", "#040404": "var(--model)",
    "#050505": "var(--second)", "#060606": "var(--third)", "#070707": "var(--fourth)", "#080808": "var(--fifth)",
    "#090909": "var(--sixth)",
}  # fmt: skip
"""Colours as drawn, and as the page's style sheet calls them."""
INK, LINE, MUTED, MODEL, SECOND, THIRD, FOURTH, FIFTH, SIXTH = _THEME
_SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.size": 9.5,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": MUTED,
    "grid.color": LINE,
    "grid.linewidth": 0.7,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "text.parse_math": False,
    **dict.fromkeys(("text.color", "axes.labelcolor", "xtick.color", "ytick.color"), INK),
}
_CLEANED = (
    (re.compile(r"^.*?<svg[^>]*?(viewBox=\"[^\"]*\")[^>]*>", re.DOTALL), r"<svg \1>"),
    (re.compile(r"<style.*?</style>", re.DOTALL), ""),  # inline it would hold for the whole page
    (re.compile(r"<g id=\"[^\"]*\">"), "<g>"),  # two figures would share these
    (re.compile(r"xlink:href"), "href"),
    (re.compile(r" font-family: [^;\"]*;"), ""),
    (re.compile(r"(\.\d\d)\d{3,}"), r"\1"),  # hundredths of a point
    (re.compile(r"\s*\n\s*"), " "),
)


def thinned(x: ArrayLike, y: ArrayLike, points: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """At most ``points`` of the points of a curve, its ends among them.

    They lie evenly along its length, the sum of abs(dx) + abs(dy): between a point left out and the next one that
    stays the curve is no longer than the whole length / (points - 1).

    Args:
        x: (n,) finite.
        y: (n,) finite.
        points: 2 or more.
    """
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if x.size <= points:
        return x, y
    along = np.concatenate([[0.0], np.cumsum(np.abs(np.diff(x)) + np.abs(np.diff(y)))])
    inner = np.searchsorted(along, np.linspace(0, along[-1], points)[1:-1])
    kept = np.unique(np.concatenate([[0], inner, [x.size - 1]]))
    return x[kept], y[kept]


def svg(name: str, size: tuple[float, float], alt: str, draw: Callable[[Figure], None]) -> str:
    """Draw a figure as an ``<svg>`` element.

    Args:
        name: its own within the page; ids inside are made from it.
        size: width and height in inches.
        alt: what it shows, for who cannot see it.
        draw: fills the figure; colours are those of this module.
    """
    stream = io.StringIO()
    with mpl.rc_context({**_SETTINGS, "svg.hashsalt": name}):
        figure = Figure(figsize=size, layout="constrained")
        draw(figure)
        figure.savefig(stream, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    text = stream.getvalue()
    for pattern, replacement in _CLEANED:
        text = pattern.sub(replacement, text)
    for drawn, themed in _THEME.items():
        text = text.replace(drawn, themed)
    return text.replace("<svg ", f'<svg role="img" aria-label="{escape(alt)}" ', 1).strip()
