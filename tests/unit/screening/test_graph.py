"""The network: its measures against networkx, its places, and what it refuses."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pandas as pd
import pytest
from graph_world import HOSTILE, random_pairs, tables

from esm2_amp.errors import InputError
from esm2_amp.screening.graph import Interactome, interactome


def world(proteins: int = 150, pairs: int = 160, seed: int = 0) -> tuple[Interactome, nx.Graph]:
    names = [f"P{i:04d}" for i in range(proteins)]
    edges, nodes = tables(names, random_pairs(proteins, pairs, seed), seed)
    graph = nx.Graph()
    graph.add_nodes_from(names)
    graph.add_weighted_edges_from(zip(edges["protein_a"], edges["protein_b"], edges["probability"], strict=True))
    return interactome(edges, nodes, 3), graph


def test_measures_are_those_of_networkx() -> None:
    network, graph = world()
    nodes = network.nodes.set_index("id")
    loops = {a for a, _ in nx.selfloop_edges(graph)}
    assert loops == {"P0000", "P0007"}
    assert nodes["degree"].to_dict() == {name: degree - (name in loops) for name, degree in graph.degree}
    assert nodes["clustering"].to_dict() == pytest.approx(nx.clustering(graph))
    linked = graph.subgraph(name for name, degree in graph.degree if degree)
    between = nodes["betweenness"].astype(float)
    assert between[list(linked)].to_dict() == pytest.approx(nx.betweenness_centrality(linked))
    assert (between[nodes["degree"] == 0] == 0).all()
    parts = [set(names.index) for _, names in nodes.groupby("component")]
    assert sorted(map(sorted, parts)) == sorted(map(sorted, nx.connected_components(linked)))
    sizes = [len(part) for part in parts]
    assert sizes == sorted(sizes, reverse=True)
    assert nodes[["component", "community"]].isna().all(axis=1).equals(nodes["degree"] == 0)


def test_communities_are_within_components_and_better_than_chance() -> None:
    network, graph = world(400, 900)
    nodes = network.nodes[network.nodes["degree"] > 0]
    assert (nodes.groupby("community")["component"].nunique() == 1).all()
    linked = graph.subgraph(nodes["id"])
    found = [set(names) for _, names in nodes.groupby("community")["id"]]
    assert nx.community.modularity(linked, found, weight="weight") > 0.6


def test_no_protein_and_no_pair_is_lost_and_edges_are_sorted() -> None:
    names = [f"P{i:04d}" for i in range(90)]
    edges, nodes = tables(names, random_pairs(60, 100))
    network = interactome(edges, nodes, 0)
    assert network.nodes["id"].tolist() == names
    assert {tuple(row) for row in network.edges.itertuples(index=False)} == {
        tuple(row) for row in edges.itertuples(index=False)
    }
    assert network.edges["logit"].is_monotonic_decreasing
    of_end = network.nodes["id"].to_numpy()[network.ends]
    assert (of_end == network.edges[["protein_a", "protein_b"]].to_numpy()).all()


@pytest.mark.parametrize("pairs", [[], [(0, 0)], [(0, 1)], [(0, 1), (1, 1), (2, 3)], [(i, 0) for i in range(1, 12)]])
def test_small_networks_are_drawn_without_overlap(pairs: list[tuple[int, int]]) -> None:
    edges, nodes = tables([f"P{i}" for i in range(12)], pairs)
    network = interactome(edges, nodes, 0)
    held = sorted({i for pair in pairs for i in pair})
    assert network.drawn.tolist() == held
    assert np.isfinite(network.positions[held]).all()
    assert np.isnan(np.delete(network.positions, held, axis=0)).all()
    if len(held) > 1:
        apart = network.positions[held][:, None] - network.positions[held]
        assert np.linalg.norm(apart, axis=2)[~np.eye(len(held), dtype=bool)].min() > 0.1


def test_components_lie_side_by_side() -> None:
    names = [f"P{i:03d}" for i in range(120)]
    chains = [(i, i + 1) for i in range(119) if i > 40 or i % 3 < 2 if i % 7]
    network = interactome(*tables(names, chains), 0)
    x, y = network.positions[network.drawn].T
    drawn = network.nodes.iloc[network.drawn].assign(x=x, y=y)
    boxes = drawn.groupby("component")[["x", "y"]].agg(["min", "max"]).to_numpy()
    assert len(boxes) > 20
    for i, (x0, x1, y0, y1) in enumerate(boxes):
        others = np.delete(boxes, i, axis=0)
        apart = (others[:, 1] < x0) | (others[:, 0] > x1) | (others[:, 3] < y0) | (others[:, 2] > y1)
        assert apart.all()


def test_the_same_arguments_give_the_same_network_and_a_large_one_is_laid_out() -> None:
    first, second = world(500, 900)[0], world(500, 900)[0]
    pd.testing.assert_frame_equal(first.nodes, second.nodes)
    assert np.array_equal(first.positions, second.positions, equal_nan=True)
    places = first.positions[first.drawn]
    a, b = first.positions[first.ends[:, 0]], first.positions[first.ends[:, 1]]
    others = np.random.default_rng(0).permutation(b)
    # partners lie nearer to each other than any two proteins
    assert np.linalg.norm(a - b, axis=1).mean() < 0.5 * np.linalg.norm(a - others, axis=1).mean()
    assert len(np.unique(places.round(6), axis=0)) == len(places)


def test_a_probability_of_zero_is_a_pair_too() -> None:
    edges, nodes = tables(["a", "b", "c"], [(0, 1), (1, 2)])
    network = interactome(edges.assign(probability=0.0), nodes, 0)
    assert network.nodes["degree"].tolist() == [1, 2, 1]
    assert network.nodes["community"].notna().all()


@pytest.mark.parametrize("name", ["a\tb", "a\nb", "half\ud800"])
def test_names_that_no_table_holds_are_refused(name: str) -> None:
    edges, nodes = tables(["A", "B"], [(0, 1)])
    with pytest.raises(InputError, match="the name of a protein"):
        interactome(edges, nodes.assign(id=pd.Series(["A", name], dtype=object)), 0)


def test_tables_that_contradict_each_other_are_refused() -> None:
    edges, nodes = tables(["A", "B", "C"], [(0, 1), (1, 2)])
    with pytest.raises(ValueError, match="not among the nodes"):
        interactome(edges, nodes.iloc[:2], 0)
    swapped = edges.rename(columns={"protein_a": "protein_b", "protein_b": "protein_a"})
    with pytest.raises(ValueError, match="a pair twice"):
        interactome(pd.concat([edges, swapped]), nodes, 0)
    with pytest.raises(ValueError, match="twice among the nodes"):
        interactome(edges, pd.concat([nodes, nodes]), 0)
    with pytest.raises(ValueError, match="degree"):
        interactome(edges, nodes.assign(degree=0), 0)


def test_any_name_is_a_protein() -> None:
    edges, nodes = tables(HOSTILE, [(i, i + 1) for i in range(len(HOSTILE) - 1)])
    assert interactome(edges, nodes, 0).nodes["degree"].sum() == 2 * len(edges)
