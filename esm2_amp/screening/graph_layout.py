"""Where the proteins of a network lie on a plane: each component by springs, components side by side."""

from __future__ import annotations

from collections.abc import Sequence

import networkx as nx
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree

Places = NDArray[np.float64]
Box = tuple[float, float, float, float]

_DIRECT = 300
"""Up to so many proteins networkx's springs, whose time grows with the square, lay a component out at once."""
_NEAR = 16
"""Neighbours on the plane that push a protein away; all others are too far to cover it."""
_FAR = 0.05
"""Push of a group's middle for each of its members, against that of a near protein."""
_STEPS = 100
_WIDE = 1.3
"""How much wider than high all components together become."""
_GAP = 1.0
"""Room between two components; a protein has about one unit of area."""


def lay_out(graph: nx.Graph[int], components: Sequence[Sequence[int]], groups: Sequence[int], seed: int) -> Places:
    """Lay a network out, the same way for the same arguments.

    A component is laid out by springs (Fruchterman and Reingold 1991). A large one starts from such a layout of its
    groups, with the members of a group around its place.

    Args:
        graph: of the nodes 0..n-1.
        components: nodes of each component to lay out, largest first; each gets a rectangle of an area in
            proportion to its nodes, side by side.
        groups: (n,) the group of each node.
        seed: of what is drawn at random.

    Returns:
        (n, 2) from (0, 0) on, y downwards; NaN for nodes in none of the components.
    """
    places = np.full((graph.number_of_nodes(), 2), np.nan)
    sizes = np.array([len(nodes) for nodes in components], dtype=np.float64)
    high = float(np.sqrt(sizes.sum() / _WIDE))
    for nodes, box in zip(components, _boxes(sizes, (0.0, 0.0, high * _WIDE, high)), strict=True):
        places[list(nodes)] = _fitted(_springs(graph.subgraph(nodes), nodes, groups, seed), box)
    return places


def _boxes(sizes: Places, box: Box) -> list[Box]:
    """Cut a rectangle into one of each size: in two of about equal area, and so on."""
    if len(sizes) < 2:
        return [box] * len(sizes)
    grown = np.cumsum(sizes)
    first = 1 + int(np.argmin(np.abs(grown[:-1] - grown[-1] / 2)))
    share = float(grown[first - 1] / grown[-1])
    x, y, width, height = box
    if width >= height:
        left, right = (x, y, width * share, height), (x + width * share, y, width * (1 - share), height)
    else:
        left, right = (x, y, width, height * share), (x, y + height * share, width, height * (1 - share))
    return _boxes(sizes[:first], left) + _boxes(sizes[first:], right)


def _fitted(places: Places, box: Box) -> Places:
    """Moved, scaled and turned into the middle of a box, with room around."""
    corner, room = np.array(box[:2]), np.array(box[2:])
    if (np.ptp(places[:, 0]) > np.ptp(places[:, 1])) != (room[0] > room[1]):
        places = places[:, ::-1]
    low, span = places.min(axis=0), np.ptp(places, axis=0)
    inner = room - np.minimum(_GAP, room / 2)
    scale = float(np.min(inner / np.maximum(span, 1e-9)))
    return corner + (places - low) * scale + (room - span * scale) / 2


def _springs(graph: nx.Graph[int], nodes: Sequence[int], groups: Sequence[int], seed: int) -> Places:
    """Places of the nodes, in their order."""
    if len(nodes) < 3:
        return np.array([[float(i), 0.0] for i in range(len(nodes))])
    if len(nodes) <= _DIRECT:
        found = nx.spring_layout(graph, weight=None, seed=seed, method="force")
        return np.array([found[node] for node in nodes])
    number = {node: i for i, node in enumerate(nodes)}
    ends = np.array([(number[a], number[b]) for a, b in graph.edges if a != b])
    _, member, sizes = np.unique([groups[node] for node in nodes], return_inverse=True, return_counts=True)
    return _relaxed(_grouped(ends, member, sizes, seed), ends, member, sizes)


def _grouped(ends: NDArray[np.int64], member: NDArray[np.int64], sizes: NDArray[np.int64], seed: int) -> Places:
    """A start: groups by springs, each group's members on a sunflower's spiral around its place."""
    pairs, counts = np.unique(np.sort(member[ends], axis=1), axis=0, return_counts=True)
    coarse: nx.Graph[int] = nx.Graph()
    coarse.add_nodes_from(range(len(sizes)))
    coarse.add_weighted_edges_from((int(a), int(b), float(n)) for (a, b), n in zip(pairs, counts, strict=True))
    found = nx.spring_layout(coarse, seed=seed)
    centres = np.array([found[group] for group in range(len(sizes))]) * np.sqrt(len(member))
    rank = np.empty(len(member))
    rank[np.argsort(member, kind="stable")] = np.arange(len(member)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    angle = rank * np.pi * (3 - np.sqrt(5))
    return centres[member] + np.sqrt(rank + 0.5)[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)


def _relaxed(places: Places, ends: NDArray[np.int64], member: NDArray[np.int64], sizes: NDArray[np.int64]) -> Places:
    """Springs along the edges against pushes, from the nearest proteins and from the middle of each group.

    A spring pulls with the logarithm of its length (Noack 2009), which draws groups apart, and a protein moves the
    less the more springs hold it.
    """
    places = places.copy()
    weight = np.sqrt(np.bincount(ends.ravel(), minlength=len(places)))[:, None]
    for step in np.linspace(1.0, 0.02, _STEPS):
        middle = np.stack([np.bincount(member, places[:, axis]) for axis in (0, 1)], axis=1) / sizes[:, None]
        force = _push(places, places[cKDTree(places).query(places, k=_NEAR + 1)[1]].transpose(2, 0, 1), 1.0)
        force += _FAR * _push(places, middle.T[:, None], sizes)
        stretch = places[ends[:, 1]] - places[ends[:, 0]]
        long = np.linalg.norm(stretch, axis=1, keepdims=True)
        pull = stretch * np.log1p(long) / np.maximum(long, 1e-9)
        for side, way in ((0, 1), (1, -1)):
            np.add.at(force, ends[:, side], way * pull / weight[ends[:, side]])
        length = np.linalg.norm(force, axis=1, keepdims=True)
        places += force * np.minimum(1.0, step / np.maximum(length, 1e-9))
    return places


def _push(places: Places, others: Places, weight: ArrayLike) -> Places:
    """(n, 2) forces away from others, (2, n or 1, k), as their weight over the distance."""
    x, y = places[:, :1] - others[0], places[:, 1:] - others[1]
    share = weight / np.maximum(x * x + y * y, 1e-2)
    return np.stack([np.einsum("nk,nk->n", x, share), np.einsum("nk,nk->n", y, share)], axis=1)
