"""Figures of a set of explained pairs for a paper: faithfulness, profile, agreement, attention, blocks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from esm2_amp.explain.explained import ExplainedSet, Mean, Values, pair_tokens
from esm2_amp.explain.page_maps import token_letter
from esm2_amp.explain.page_words import largest, measure, method, ordered_measures
from esm2_amp.explain.paper import DIVERGING, INK, LINE, MODEL, MUTED, SEQUENTIAL, bare, drawable, save_figure
from esm2_amp.layout import N_SEGMENTS, TokenLayout

_IN_A_ROW = 4


def write_set_figures(explained: ExplainedSet, folder: Path) -> None:
    """Write each figure of the page of a set as PNG and PDF; what is not known is not drawn.

    Raises:
        InputError: the folder cannot be written.
    """
    count = len(explained.methods)
    if explained.faithfulness:
        rows, columns = _grid(len(ordered_measures(name for row in explained.faithfulness for name in row.measures)))
        height = 0.8 + 0.2 * len(explained.faithfulness)
        save_figure(
            folder, "faithfulness", (1.6 + 1.7 * columns, height * rows), lambda figure: _trust(figure, explained)
        )
    save_figure(folder, "profile", (7.2, 0.6 + 0.75 * count), lambda figure: _profile(figure, explained))
    if count > 1:
        save_figure(folder, "agreement", (2.0 + 0.55 * count, 1.4 + 0.45 * count), lambda f: _agreement(f, explained))
    if explained.attention is not None:
        save_attention(folder, explained.attention, explained.layout)
    if explained.blocks is not None:
        blocks = explained.blocks
        save_figure(folder, "blocks", (4.2, 2.6), lambda figure: _blocks(figure.subplots(), blocks))


def _grid(count: int) -> tuple[int, int]:
    rows = -(-count // _IN_A_ROW)
    return rows, -(-count // rows)


def _trust(figure: Figure, explained: ExplainedSet) -> None:
    """A panel for each measure, a dot with its interval for each row; the broken line is that of random values."""
    rows = explained.faithfulness
    names = ordered_measures(name for row in rows for name in row.measures)
    panels = figure.subplots(*_grid(len(names)), sharey=True, squeeze=False)
    endings = {"method": "", "random": "", "randomised": ", fresh weights"}
    titles = [drawable(method(row.method).title) + endings[row.kind] for row in rows]
    for axis, name in zip(panels.flat, names, strict=False):
        good = {True: "\n(high is good)", False: "\n(low is good)", None: ""}[measure(name).high_is_good]
        axis.set_title(drawable(measure(name).title.replace("\u00ad", "")) + good, fontsize=7.5)
        for place, row in enumerate(rows):
            if name in row.measures:
                colour = MODEL if row.kind == "method" else MUTED
                _dot(axis, place, row.measures[name], colour)
            if row.kind == "random" and name in row.measures:
                axis.axvline(row.measures[name].value, color=MUTED, linewidth=0.8, linestyle="--", zorder=0)
        axis.set_yticks(range(len(rows)), titles)
        axis.set_ylim(len(rows) - 0.5, -0.5)
        axis.grid(color=LINE, linewidth=0.4, axis="x")
    for axis in list(panels.flat)[len(names) :]:
        axis.set_visible(False)


def _dot(axis: Axes, place: int, found: Mean, colour: str) -> None:
    if found.low is not None and found.high is not None:
        axis.plot([found.low, found.high], [place, place], color=colour, linewidth=1.4)
    axis.plot([found.value], [place], color=colour, marker="o", markersize=4)


def _profile(figure: Figure, explained: ExplainedSet) -> None:
    """Bars as high as the mean absolute value, coloured by the mean against it."""
    tokens = pair_tokens(explained.layout, N_SEGMENTS, N_SEGMENTS)
    places = np.array([token.place + (token.chain == "B") for token in tokens])
    axes = figure.subplots(len(explained.methods), 1, sharex=True, squeeze=False)
    for axis, name in zip(axes.flat, explained.methods, strict=True):
        size, mean = explained.magnitude[name], explained.profile[name]
        with np.errstate(invalid="ignore", divide="ignore"):
            side = np.nan_to_num(mean / size)
        most = largest(size) or 1.0
        colours = DIVERGING((side + 1) / 2) if method(name).signed else SEQUENTIAL(size / most)
        axis.bar(places, size, width=1.0, color=colours, edgecolor=MUTED, linewidth=0.4)
        axis.set_ylabel(drawable(method(name).title), rotation=0, ha="right", va="center")
        axis.yaxis.set_major_locator(_few_ticks())
    axes.flat[-1].set_xticks(places, [token_letter(token) for token in tokens])
    axes.flat[-1].set_xlabel("tokens of A, then of B; orange: for, blue: against interaction")


def _few_ticks() -> object:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(2)


def _agreement(figure: Figure, explained: ExplainedSet) -> None:
    axis = figure.subplots()
    titles = [drawable(method(name).title) for name in explained.methods]
    shown = axis.imshow(explained.agreement, cmap=DIVERGING, vmin=-1, vmax=1)
    bare(axis)
    axis.set_xticks(range(len(titles)), titles, rotation=40, ha="right")
    axis.set_yticks(range(len(titles)), titles)
    for (row, column), value in np.ndenumerate(explained.agreement):
        if np.isfinite(value):
            colour = "white" if abs(value) > 0.65 else INK
            axis.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=7, color=colour)
    figure.colorbar(shown, ax=axis, shrink=0.7, label="Spearman's correlation")


def save_attention(folder: Path, attention: Values, layout: TokenLayout) -> None:
    """Write the attention maps, (layers, 2T, 2T), a panel for each layer."""
    rows, columns = _grid(len(attention))
    size = (1.0 + 1.75 * columns, 0.2 + 1.95 * rows)
    save_figure(folder, "attention", size, lambda figure: _attention(figure, attention, layout))


def _attention(figure: Figure, attention: Values, layout: TokenLayout) -> None:
    tokens = pair_tokens(layout, N_SEGMENTS, N_SEGMENTS)
    half = len(tokens) // 2
    panels = figure.subplots(*_grid(len(attention)), squeeze=False)
    for layer, axis in enumerate(panels.flat):
        if layer >= len(attention):
            axis.set_visible(False)
            continue
        low, high = float(attention[layer].min()), float(attention[layer].max())
        shown = axis.imshow((attention[layer] - low) / ((high - low) or 1.0), cmap=SEQUENTIAL, vmin=0, vmax=1)
        axis.axhline(half - 0.5, color="white", linewidth=1.2)
        axis.axvline(half - 0.5, color="white", linewidth=1.2)
        bare(axis)
        middle = [half / 2 - 0.5, half * 1.5 - 0.5]
        axis.set_xticks(middle, ["to A", "to B"])
        axis.set_yticks(middle, ["from A", "from B"], rotation=90, va="center")
        axis.tick_params(length=0)
        axis.set_title(f"layer {layer + 1}: {low:.3f} to {high:.3f}")
    bar = figure.colorbar(shown, ax=panels, shrink=0.6, ticks=[0, 1])
    bar.ax.set_yticklabels(["smallest", "largest"])


def _blocks(axis: Axes, blocks: Values) -> None:
    layers = np.arange(1, len(blocks) + 1)
    for (own, across), title, colour, style in (((0, 1), "A to B", MODEL, "-"), ((3, 2), "B to A", "#c2571a", "--")):
        whole = blocks[:, own] + blocks[:, across]
        share = np.divide(blocks[:, across], whole, out=np.full(len(blocks), np.nan), where=whole > 0)
        axis.plot(layers, share, color=colour, linestyle=style, marker="o", markersize=4, label=title)
    axis.axhline(0.5, color=MUTED, linewidth=0.8)
    axis.set(xlabel="layer", ylabel="share of a chain's attention", ylim=(0, 1), xticks=layers)
    axis.legend(frameon=False)
