"""The network as a picture: places in a rectangle, colours with a legend, widths, and the paths of an SVG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from esm2_amp.screening.graph import Interactome
from esm2_amp.screening.graph_tables import in_words

WIDTH, _MARGIN = 1000, 16
LEVELS = 4
"""Widths of lines, by score, from the lowest to the highest."""
_COLOURS = 8
_LABELS = 14
_DOTS = ((2, 3.5), (5, 5.0), (15, 7.5), (10**9, 11.0))
"""Up to so many partners, a dot is so large."""


@dataclass(frozen=True, eq=False)
class Colouring:
    """Colours of the drawn proteins: ``of`` (n,) numbers of ``names``; the last one is that of all others."""

    title: str
    names: Sequence[str]
    of: NDArray[np.int64]

    def style(self, number: int) -> str:
        """The style class of a colour."""
        return "rest" if number == len(self.names) - 1 else f"c{number}"

    @property
    def legend(self) -> list[tuple[str, str]]:
        """Styles and names of the colours that occur."""
        held = set(self.of.tolist())
        return [(self.style(i), name) for i, name in enumerate(self.names) if i in held]


@dataclass(frozen=True, eq=False)
class Picture:
    """A network in a rectangle ``WIDTH`` wide.

    Attributes:
        height: of the rectangle.
        x: (n,) of each drawn protein.
        y: (n,) downwards.
        ends: (m, 2) the drawn proteins of each edge.
        levels: (m,) width of each edge, 0 to ``LEVELS`` - 1.
        colourings: by community, and by what is known of the proteins.
        lines: paths of the edges and their level, widest last.
        dots: paths of the proteins, their style and size.
        labels: names, x and y of the proteins with most partners.
    """

    height: int
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    ends: NDArray[np.int64]
    levels: NDArray[np.int64]
    colourings: Sequence[Colouring]
    lines: Sequence[tuple[int, str]]
    dots: Sequence[tuple[str, float, str]]
    labels: Sequence[tuple[str, float, float]]

    @classmethod
    def of(cls, network: Interactome) -> Picture:
        """Draw a network."""
        rows = network.drawn
        number = np.zeros(len(network.nodes), dtype=np.int64)
        number[rows] = np.arange(len(rows))
        nodes, ends = network.nodes.iloc[rows].reset_index(drop=True), number[network.ends]
        x, y, height = _scaled(network.positions[rows])
        levels = edge_levels(network.edges["logit"].to_numpy(dtype=float))
        colourings = _colourings(nodes)
        degree = nodes["degree"].to_numpy()
        first = np.argsort(-degree, kind="stable")[:_LABELS].tolist()
        return cls(
            height, x, y, ends, levels, colourings, _lines(x, y, ends, levels), _dots(x, y, degree, colourings[0]),
            [(str(nodes["id"].iloc[i]), float(x[i]), float(y[i])) for i in first],
        )  # fmt: skip


def edge_levels(logit: NDArray[np.float64]) -> NDArray[np.int64]:
    """(m,) widths of edges: equal parts of the range of the logits."""
    if not logit.size:
        return np.zeros(0, dtype=np.int64)
    low, span = float(logit.min()), max(float(np.ptp(logit)), 1e-9)
    return np.minimum((logit - low) / span * LEVELS, LEVELS - 1).astype(np.int64)


def _scaled(places: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64], int]:
    if not len(places):
        return np.zeros(0), np.zeros(0), 0
    low, span = places.min(axis=0), np.ptp(places, axis=0)
    scale = (WIDTH - 2 * _MARGIN) / max(float(span[0]), float(span[1]), 1e-9)
    size = span * scale
    height = round(float(np.clip(size[1], WIDTH / 5, WIDTH))) + 2 * _MARGIN
    found = (places - low) * scale + (np.array([WIDTH, height]) - size) / 2
    return found[:, 0].round(1), found[:, 1].round(1), height


def _colourings(nodes: pd.DataFrame) -> list[Colouring]:
    community = nodes["community"].to_numpy(dtype=np.int64)
    names = [f"community {i}" for i in range(1, _COLOURS + 1)]
    found = [Colouring("community", [*names, "smaller communities"], np.minimum(community - 1, _COLOURS))]
    for column, title, words in (
        ("side", "side", {}),
        ("in_training", "in the training data", {"yes": "in the training data", "no": "not in the training data"}),
    ):
        if column in nodes:
            found.append(_by_value(title, [words.get(word, word) for word in map(in_words, nodes[column])]))
    return found


def _by_value(title: str, values: Sequence[str]) -> Colouring:
    names = sorted(set(values) - {"–"})[:_COLOURS]
    number = {name: i for i, name in enumerate(names)}
    return Colouring(title, [*names, "others"], np.array([number.get(value, len(names)) for value in values]))


def _lines(x: Any, y: Any, ends: NDArray[np.int64], levels: NDArray[np.int64]) -> list[tuple[int, str]]:
    found = []
    for level in range(LEVELS):
        chosen = ends[levels == level].tolist()
        # a protein paired with itself gets a ring
        parts = (
            f"M{x[a]:g} {y[a]:g}L{x[b]:g} {y[b]:g}" if a != b else f"M{x[a]:g} {y[a]:g}a5 5 0 1 0 .1 0"
            for a, b in chosen
        )
        found.append((level, "".join(parts)))
    return [(level, path) for level, path in found if path]


def _dots(x: Any, y: Any, degree: NDArray[np.int64], colours: Colouring) -> list[tuple[str, float, str]]:
    """Lines of no length with round ends, rest first, so that groups lie above it."""
    size = np.searchsorted([limit for limit, _ in _DOTS], degree)
    found = []
    for number in reversed(range(len(colours.names))):
        for step, (_, width) in enumerate(_DOTS):
            chosen = np.flatnonzero((colours.of == number) & (size == step)).tolist()
            if chosen:
                found.append((colours.style(number), width, "".join(f"M{x[i]:g} {y[i]:g}h0" for i in chosen)))
    return found
