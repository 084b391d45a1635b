"""The network as a figure for a paper."""

from __future__ import annotations

from pathlib import Path

from matplotlib.collections import LineCollection, PathCollection
from matplotlib.figure import Figure

from esm2_amp.explain.paper import INK, bare, drawable, save_figure
from esm2_amp.screening.graph import Interactome
from esm2_amp.screening.graph_picture import LEVELS, WIDTH, Picture

_COLOURS = ("#1f5fbf", "#c2571a", "#2c8a57", "#8a4fb0", "#a8801a", "#b0395f", "#12808c", "#6b5344")
_REST, _EDGE = "#98a3b3", "#5d6b80"
_INCHES = 7.2


def draw_network(folder: Path, network: Interactome) -> None:
    """Write ``network.png`` and ``network.pdf``: as on the page, coloured by community.

    Raises:
        InputError: the folder cannot be written.
    """
    picture = Picture.of(network)
    height = _INCHES * picture.height / WIDTH + 0.6
    save_figure(folder, "network", (_INCHES, height), lambda figure: _draw(figure, network, picture))


def _draw(figure: Figure, network: Interactome, picture: Picture) -> None:
    axis = figure.subplots()
    axis.set(xlim=(0, WIDTH), ylim=(max(picture.height, 1), 0), aspect="equal")
    bare(axis)
    for level in range(LEVELS):
        ends = picture.ends[picture.levels == level]
        segments = [[(picture.x[i], picture.y[i]) for i in pair] for pair in ends.tolist()]
        axis.add_collection(
            LineCollection(segments, colors=_EDGE, linewidths=0.2 + 0.25 * level, alpha=0.3 + 0.15 * level)
        )
    degree = network.nodes["degree"].to_numpy()[network.drawn]
    colours = picture.colourings[0]
    for number in reversed(range(len(colours.names))):
        chosen = colours.of == number
        if chosen.any():
            colour = _REST if colours.style(number) == "rest" else _COLOURS[number]
            axis.scatter(
                picture.x[chosen], picture.y[chosen], s=1.5 + 1.5 * degree[chosen], color=colour, linewidths=0,
                label=colours.names[number], zorder=3,
            )  # fmt: skip
    for name, x, y in picture.labels:
        axis.text(x, y - 8, drawable(name, 24), fontsize=5.5, color=INK, ha="center", zorder=4)
    if len(picture.x):
        handles, names = axis.get_legend_handles_labels()
        legend = figure.legend(
            handles[::-1], names[::-1], loc="outside lower center", ncols=5, fontsize=6, frameon=False
        )
        for handle in legend.legend_handles:
            if isinstance(handle, PathCollection):
                handle.set_sizes([18.0])
