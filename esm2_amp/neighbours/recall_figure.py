"""The trade-off between recall and time, drawn."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle
from pathlib import Path

from matplotlib.figure import Figure

from esm2_amp.evaluation.svg import FIFTH, FOURTH, INK, MODEL, MUTED, SECOND, SIXTH, THIRD, svg
from esm2_amp.io.atomic import atomic_path
from esm2_amp.neighbours.recall import RecallReport

_SIZE = (5.2, 3.6)
_ALT = "Recall over milliseconds a query, a line for each number of candidates, a point for each nprobe."
_THEMED = (MODEL, SECOND, THIRD, FOURTH, FIFTH, SIXTH)
_PLAIN = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
"""Colours that people with colour blindness tell apart (Okabe and Ito)."""


def draw_tradeoff(name: str, report: RecallReport) -> str:
    """An ``<svg>`` element for a page, in the page's colours; ``name`` is its own within the page."""
    return svg(name, _SIZE, _ALT, lambda figure: _draw(figure, report, _THEMED, (INK, MUTED)))


def write_tradeoff(report: RecallReport, file: Path) -> None:
    """Write the figure by itself, as its suffix says: .svg, .png or .pdf."""
    figure = Figure(figsize=_SIZE, layout="constrained")
    _draw(figure, report, _PLAIN, ("black", "#777777"))
    with atomic_path(file) as path:
        figure.savefig(path, dpi=200)


def _draw(figure: Figure, report: RecallReport, colours: Sequence[str], ink: tuple[str, str]) -> None:
    axis = figure.subplots()
    numbers = sorted({setting.candidates for setting in report.settings})
    for number, colour in zip(numbers, cycle(colours), strict=False):
        line = [setting for setting in report.settings if setting.candidates == number]
        times, recalls = [s.milliseconds for s in line], [s.recall for s in line]
        axis.plot(times, recalls, marker="o", markersize=3.5, color=colour, label=f"{number} candidates")
    chosen = report.chosen
    axis.axhline(chosen.wanted, color=ink[1], linewidth=0.8, linestyle="--")
    axis.plot([chosen.milliseconds], [chosen.recall], marker="o", markersize=10, fillstyle="none", color=ink[0])
    axis.annotate(f"nprobe={chosen.nprobe}", (chosen.milliseconds, chosen.recall), (6, -12), textcoords="offset points")
    axis.set(xscale="log", xlabel="milliseconds a query", ylabel=f"recall of the true {chosen.k} nearest")
    axis.legend(loc="lower right")
