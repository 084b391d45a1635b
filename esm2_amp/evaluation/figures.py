"""Pictures of an evaluation and of a training run, as SVG for the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.metrics import precision_recall_curve, roc_curve

from esm2_amp.evaluation.calibration import ReliabilityBin
from esm2_amp.evaluation.svg import FIFTH, FOURTH, INK, MODEL, MUTED, SECOND, SIXTH, THIRD, svg, thinned

CURVE_POINTS = 2000
_SQUARE = (4.4, 3.9)
_LINES = ((MODEL, "-", 1.8), (SECOND, "-", 1.0), (THIRD, "-", 1.0), (FOURTH, "-", 1.0))
_DASHED = (MUTED, "--", 1.0)
_MARKS = (("o", MODEL), ("D", SECOND), ("s", THIRD), ("^", FOURTH), ("v", FIFTH), ("P", SIXTH), ("X", MUTED))
_BARS = 40


class Curve(NamedTuple):
    """Scores of pairs of both classes, to draw a curve of: the first boldest, a baseline dashed."""

    name: str
    label: NDArray[np.int64]
    score: NDArray[np.float64]
    baseline: bool = False


class Estimate(NamedTuple):
    """A number in [0, 1] and its interval, None where there is none."""

    value: float
    low: float | None
    high: float | None


def draw_roc(name: str, curves: Sequence[Curve], alt: str) -> str:
    """Receiver operating characteristics."""

    def draw(figure: Figure) -> None:
        axis = figure.subplots()
        axis.plot([0, 1], [0, 1], color=MUTED, linewidth=0.8)
        for curve, style in _styled(curves):
            false, true, _ = roc_curve(curve.label, curve.score)
            _line(axis, curve.name, thinned(false, true, CURVE_POINTS), style)
        axis.set(xlabel="false positive rate", ylabel="true positive rate", xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
        axis.legend(loc="lower right")

    return svg(name, _SQUARE, alt, draw)


def draw_precision_recall(name: str, curves: Sequence[Curve], alt: str) -> str:
    """Precision over recall; the level line is the share of positives, what guessing reaches."""

    def draw(figure: Figure) -> None:
        axis = figure.subplots()
        axis.axhline(float(np.mean(curves[0].label)), color=MUTED, linewidth=0.8)
        for curve, style in _styled(curves):
            precision, recall, _ = precision_recall_curve(curve.label, curve.score)
            _line(axis, curve.name, thinned(recall, precision, CURVE_POINTS), style)
        axis.set(xlabel="recall", ylabel="precision", xlim=(-0.01, 1.01), ylim=(-0.01, 1.02))
        axis.legend(loc="lower left")

    return svg(name, _SQUARE, alt, draw)


def _styled(curves: Sequence[Curve]) -> list[tuple[Curve, tuple[str, str, float]]]:
    plain = cycle(_LINES)
    return [(curve, _DASHED if curve.baseline else next(plain)) for curve in curves]


def _line(
    axis: Axes,
    title: str,
    points: tuple[NDArray[np.float64], NDArray[np.float64]],
    style: tuple[str, str, float],
    marker: str = "",
) -> None:
    colour, line, width = style
    axis.plot(*points, color=colour, linestyle=line, linewidth=width, marker=marker, markersize=4, label=title)


def draw_reliability(name: str, bins: Mapping[str, Sequence[ReliabilityBin]], alt: str) -> str:
    """Observed share of positives over predicted probability, above how many pairs each bin holds.

    Args:
        name: see :func:`~esm2_amp.evaluation.svg.svg`.
        bins: by title, at most two; the last one those of the probabilities in use.
        alt: see :func:`~esm2_amp.evaluation.svg.svg`.
    """

    def draw(figure: Figure) -> None:
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        upper.plot([0, 1], [0, 1], color=MUTED, linewidth=0.8)
        *before, (title, used) = bins.items()
        for other, rows in before:
            _reliability_line(upper, other, rows, (MUTED, ":", 1.0))
        _reliability_line(upper, title, used, (MODEL, "-", 1.4))
        for row in used:
            if row.interval is not None:
                upper.plot([row.predicted] * 2, row.interval, color=MODEL, linewidth=1.0)
        upper.set(ylabel="share that interacts", xlim=(-0.01, 1.01), ylim=(-0.02, 1.02))
        lower.bar(
            [row.low for row in used], [row.n for row in used],
            width=[row.high - row.low for row in used], align="edge", color=MODEL, alpha=0.45,
        )  # fmt: skip
        lower.set(xlabel="predicted probability", ylabel="pairs")
        figure.legend(loc="outside upper left", ncols=2)

    return svg(name, _SQUARE, alt, draw)


def _reliability_line(axis: Axes, title: str, rows: Sequence[ReliabilityBin], style: tuple[str, str, float]) -> None:
    held = [(row.predicted, row.observed) for row in rows if row.n]
    points = np.array(held, dtype=np.float64).T
    _line(axis, title, (points[0], points[1]), style, marker="o")


def draw_scores(
    name: str, label: NDArray[np.int64], probability: NDArray[np.float64], threshold: float, alt: str
) -> str:
    """Where the probabilities of both classes lie, each class as shares of itself."""

    def draw(figure: Figure) -> None:
        axis = figure.subplots()
        edges = np.linspace(0, 1, _BARS + 1)
        for value, title, colour in ((0, "does not interact", SECOND), (1, "interacts", MODEL)):
            chosen = probability[label == value]
            if chosen.size:
                share = np.histogram(chosen, edges)[0] / chosen.size
                axis.stairs(share, edges, fill=True, color=colour, alpha=0.35, label=title)
                axis.stairs(share, edges, color=colour, linewidth=1.1)
        axis.axvline(threshold, color=INK, linestyle="--", linewidth=0.9, label=f"threshold {threshold:.3f}")
        axis.set(xlabel="predicted probability", ylabel="share of the class", xlim=(-0.01, 1.01))
        figure.legend(loc="outside upper left", ncols=3)

    return svg(name, _SQUARE, alt, draw)


def draw_estimates(name: str, rows: Mapping[str, Mapping[str, Estimate]], quantity: str, alt: str) -> str:
    """Estimates with intervals, one row a pair class: the model first, then every baseline.

    Args:
        name: see :func:`~esm2_amp.evaluation.svg.svg`.
        rows: by class, then by whose estimate it is; the same names in the same order in every row.
        quantity: what is estimated, for the axis.
        alt: see :func:`~esm2_amp.evaluation.svg.svg`.
    """
    names = list(dict.fromkeys(name for row in rows.values() for name in row))

    def draw(figure: Figure) -> None:
        axis = figure.subplots()
        for (mark, colour), source, offset in zip(_MARKS, names, np.linspace(-0.3, 0.3, len(names)), strict=False):
            here = [(place, row[source]) for place, row in enumerate(rows.values()) if source in row]
            for place, found in here:
                if found.low is not None and found.high is not None:
                    axis.plot([found.low, found.high], [place + offset] * 2, color=colour, linewidth=1.4)
            axis.plot(
                [found.value for _, found in here], [place + offset for place, _ in here],
                linestyle="", marker=mark, markersize=5.5, color=colour, label=source,
            )  # fmt: skip
        axis.axvline(0.5, color=MUTED, linewidth=0.9)
        axis.set_yticks(range(len(rows)), list(rows))
        axis.set(xlabel=quantity, ylim=(len(rows) - 0.5, -0.5))
        axis.grid(visible=False, axis="y")
        axis.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))

    return svg(name, (9.0, 0.9 + 0.62 * max(len(rows), 2)), alt, draw)


def draw_history(name: str, history: Sequence[Mapping[str, float]], alt: str) -> str:
    """Losses and validation ranking by epoch; ``history`` has ``epoch`` and the logged metrics."""

    def draw(figure: Figure) -> None:
        epochs = [row["epoch"] for row in history]
        for axis, names in zip(
            figure.subplots(1, 2), (("train/loss", "val/loss"), ("val/aupr", "val/auroc")), strict=True
        ):
            for metric, colour in zip(names, (MODEL, SECOND), strict=True):
                axis.plot(epochs, [row[metric] for row in history], marker=".", color=colour, label=metric)
            axis.set_xlabel("epoch")
            axis.legend()

    return svg(name, (9.0, 3.0), alt, draw)
