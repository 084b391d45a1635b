"""The network of the best pairs: who is connected to whom, in which groups, and where each protein is drawn."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import Any

import networkx as nx
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from esm2_amp.errors import InputError
from esm2_amp.screening.graph_layout import lay_out

EDGE_COLUMNS = (
    "protein_a", "protein_b", "logit", "probability", "probability_at_prevalence", "percentile_a", "percentile_b",
)  # fmt: skip
MEASURES = ("degree", "component", "community", "clustering", "betweenness")
"""Columns that :func:`interactome` adds to the nodes."""
_NOT_IN_TABLES = re.compile("[\t\n\r\ud800-\udfff]")
_AFFORDABLE = 3_000_000
"""Proteins times pairs up to which betweenness is calculated: some seconds."""
_LEAST_WEIGHT = 1e-6
"""Of a pair whose probability is zero: Louvain's modularity divides by the sum of the weights."""


@dataclass(frozen=True, eq=False)
class Interactome:
    """Proteins, pairs between them, and a drawing.

    Attributes:
        nodes: one row a protein: ``id``, the columns given, ``degree`` (pairs it is in, one with itself counted
            once), ``component`` and ``community`` (numbers from 1, largest first; NA for a protein in no pair),
            ``clustering`` (share of pairs of its partners that are pairs too), ``betweenness`` (share of shortest
            paths between proteins in pairs that lead through it; NA for all where the network is too large for it).
        edges: one row a pair, highest logit first: :data:`EDGE_COLUMNS`.
        ends: (m, 2) of each edge, the rows of its proteins in ``nodes``.
        positions: (n, 2) of each node, y downwards; NaN for a protein in no pair.
    """

    nodes: pd.DataFrame
    edges: pd.DataFrame
    ends: NDArray[np.int64]
    positions: NDArray[np.float64]

    @property
    def drawn(self) -> NDArray[np.int64]:
        """Rows of the nodes that are in a pair."""
        return np.flatnonzero(self.nodes["degree"].to_numpy() > 0)


def interactome(edges: pd.DataFrame, nodes: pd.DataFrame, seed: int) -> Interactome:
    """Measure and lay out the network of some pairs; the same arguments always give the same.

    Args:
        edges: pairs, with :data:`EDGE_COLUMNS`; each pair once, in either order; a protein may be paired with itself.
        nodes: proteins, with a column ``id`` and any others but :data:`MEASURES`; also those in no pair.
        seed: of communities and layout.

    Raises:
        InputError: a name that no table of the network can hold.
        ValueError: the tables contradict each other or themselves.
    """
    _check_names(nodes["id"])
    edges = edges[list(EDGE_COLUMNS)].sort_values(
        ["logit", "protein_a", "protein_b"], ascending=[False, True, True], ignore_index=True
    )
    ends = _ends(edges, nodes)
    graph: nx.Graph[int] = nx.Graph()
    graph.add_nodes_from(range(len(nodes)))
    weights = edges["probability"].clip(lower=_LEAST_WEIGHT).tolist()
    graph.add_weighted_edges_from((a, b, weight) for (a, b), weight in zip(ends.tolist(), weights, strict=True))
    components = _largest_first(part for part in nx.connected_components(graph) if graph.degree(min(part)))
    linked = graph.subgraph(sorted(node for part in components for node in part))
    communities = (
        _largest_first(nx.community.louvain_communities(linked, weight="weight", seed=seed)) if edges.size else []
    )
    measured = nodes.reset_index(drop=True).assign(
        degree=np.bincount(ends.ravel(), minlength=len(nodes)) - np.bincount(_own(ends), minlength=len(nodes)),
        component=_numbers(components, len(nodes)),
        community=_numbers(communities, len(nodes)),
        clustering=pd.Series(nx.clustering(graph), dtype=float),
        betweenness=_betweenness(linked, len(nodes)),
    )
    groups = measured["community"].fillna(0).tolist()
    return Interactome(measured, edges, ends, lay_out(graph, components, groups, seed))


def _check_names(names: Iterable[str]) -> None:
    for name in names:
        if _NOT_IN_TABLES.search(name):
            raise InputError(
                f"the name of a protein, {name!r}, has a tab, a line end or half a character",
                remedy="No table of a network can hold it; give the protein another name.",
            )


def _ends(edges: pd.DataFrame, nodes: pd.DataFrame) -> NDArray[np.int64]:
    if clash := sorted({*MEASURES, "name"} & set(nodes.columns)):
        raise ValueError(f"columns of the nodes that the network needs: {clash}")
    names: pd.Index[Any] = pd.Index(nodes["id"])
    if not names.is_unique:
        raise ValueError(f"a protein twice among the nodes: {names[names.duplicated()][0]!r}")
    ends = np.stack([names.get_indexer(pd.Index(edges[column])) for column in EDGE_COLUMNS[:2]], axis=1).astype(
        np.int64
    )
    if (unknown := np.flatnonzero((ends < 0).any(axis=1))).size:
        raise ValueError(f"a pair of a protein that is not among the nodes: {edges.iloc[unknown[0]].to_dict()}")
    if len(np.unique(np.sort(ends, axis=1), axis=0)) < len(ends):
        raise ValueError("a pair twice among the edges")
    return ends


def _own(ends: NDArray[np.int64]) -> NDArray[np.int64]:
    """Proteins paired with themselves."""
    return ends[ends[:, 0] == ends[:, 1], 0]


def _largest_first(groups: Iterable[Iterable[int]]) -> list[list[int]]:
    """Members ascending; among groups of a size, the one with the first protein first."""
    return sorted((sorted(group) for group in groups), key=lambda group: (-len(group), group[0]))


def _numbers(groups: list[list[int]], count: int) -> pd.Series[Any]:
    found: dict[Hashable, int] = {node: i for i, group in enumerate(groups, start=1) for node in group}
    return pd.Series(range(count)).map(found).astype("Int64")


def _betweenness(linked: nx.Graph[int], count: int) -> pd.Series[Any]:
    if linked.number_of_nodes() * linked.number_of_edges() > _AFFORDABLE:
        return pd.Series(pd.NA, index=range(count), dtype="Float64")
    return pd.Series(nx.betweenness_centrality(linked), dtype="Float64").reindex(range(count), fill_value=0.0)
