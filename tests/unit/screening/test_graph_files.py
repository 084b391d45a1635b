"""Files of a network, read back by other readers."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import networkx as nx
import pandas as pd
import pytest
from graph_world import HOSTILE, random_pairs, tables

from esm2_amp.errors import InputError
from esm2_amp.screening.graph import EDGE_COLUMNS, Interactome, interactome
from esm2_amp.screening.graph_figure import draw_network
from esm2_amp.screening.graph_files import write_network

FILES = ("nodes.tsv", "edges.tsv", "network.graphml", "network.sif", "network.cx2")


def hostile_network() -> Interactome:
    pairs = [(i, i + 1) for i in range(len(HOSTILE) - 1)] + [(2, 2)]
    edges, nodes = tables([*HOSTILE, "alone"], pairs)
    return interactome(edges, nodes, 0)


def as_xml(name: str) -> str:
    return name.replace("\x07", "\\u0007")


def test_tables_are_read_back_whole(tmp_path: Path) -> None:
    network = hostile_network()
    write_network(tmp_path, network)
    nodes = pd.read_csv(tmp_path / "nodes.tsv", sep="\t", keep_default_na=False)
    edges = pd.read_csv(tmp_path / "edges.tsv", sep="\t", keep_default_na=False)
    assert nodes["id"].tolist() == [*HOSTILE, "alone"]
    assert nodes["degree"].tolist() == network.nodes["degree"].tolist()
    assert list(edges.columns) == list(EDGE_COLUMNS)
    assert edges["protein_a"].tolist() == network.edges["protein_a"].tolist()
    assert (edges["logit"].astype("float32") == network.edges["logit"]).all()  # nine digits are all of a float32


def test_graphml_has_every_pair_and_its_values_typed(tmp_path: Path) -> None:
    network = hostile_network()
    write_network(tmp_path, network)
    graph = nx.read_graphml(tmp_path / "network.graphml")
    assert set(graph) == set(map(as_xml, HOSTILE))
    for row in network.edges.itertuples(index=False):
        found = graph.edges[as_xml(row.protein_a), as_xml(row.protein_b)]
        assert found["logit"] == pytest.approx(row.logit, rel=1e-8)
        assert found[
            "percentile_a" if found["protein_a"] == as_xml(row.protein_a) else "percentile_b"
        ] == pytest.approx(row.percentile_a, rel=1e-8)
    assert graph.number_of_edges() == len(network.edges)
    node = graph.nodes["__proto__"]
    assert (type(node["in_training"]), type(node["length"]), type(node["distance"])) == (bool, int, float)
    root = ElementTree.parse(tmp_path / "network.graphml").getroot()  # noqa: S314 - our own
    assert root[-1].attrib["edgedefault"] == "undirected"


def test_sif_keeps_names_with_spaces(tmp_path: Path) -> None:
    network = hostile_network()
    write_network(tmp_path, network)
    rows = [line.split("\t") for line in (tmp_path / "network.sif").read_text("utf-8").rstrip("\n").split("\n")]
    expected = network.edges[["protein_a", "protein_b"]].to_numpy().tolist()
    assert [[a, b] for a, kind, b in rows if kind == "pp"] == expected


def test_cx2_says_what_it_holds(tmp_path: Path) -> None:
    network = hostile_network()
    write_network(tmp_path, network)
    document: list[dict[str, Any]] = json.loads((tmp_path / "network.cx2").read_text("utf-8"))
    assert document[0] == {"CXVersion": "2.0", "hasFragments": False}
    assert document[-1] == {"status": [{"success": True}]}
    aspects = {name: elements for part in document[1:-1] for name, elements in part.items()}
    assert {item["name"]: item["elementCount"] for item in aspects["metaData"]} == {
        name: len(elements) for name, elements in aspects.items() if name != "metaData"
    }
    (declared,) = aspects["attributeDeclarations"]
    kinds = {"string": str, "double": float, "integer": int, "boolean": bool}
    names = {}
    for aspect in ("nodes", "edges"):
        assert [element["id"] for element in aspects[aspect]] == list(range(len(aspects[aspect])))
        for element in aspects[aspect]:
            assert all(type(value) is kinds[declared[aspect][name]["d"]] for name, value in element["v"].items())
    for node in aspects["nodes"]:
        assert math.isfinite(node["x"] + node["y"])
        names[node["id"]] = node["v"]["name"]
    assert sorted(names.values()) == sorted(HOSTILE)
    found = [(names[edge["s"]], names[edge["t"]]) for edge in aspects["edges"]]
    assert found == list(network.edges[["protein_a", "protein_b"]].itertuples(index=False, name=None))


def test_missing_values_are_left_out_and_large_numbers_are_long(tmp_path: Path) -> None:
    edges, nodes = tables(["A", "B"], [(0, 1)])
    nodes = nodes.assign(pairs_scored=[2**40, 1], distance=[float("nan"), 0.5], in_training=pd.array([True, None]))
    write_network(tmp_path, interactome(edges.assign(percentile_b=float("nan")), nodes, 0))
    aspects = {
        name: value for part in json.loads((tmp_path / "network.cx2").read_text()) for name, value in part.items()
    }
    assert aspects["attributeDeclarations"][0]["nodes"]["pairs_scored"] == {"d": "long"}
    first, second = (node["v"] for node in aspects["nodes"])
    assert "distance" not in first
    assert "in_training" not in second
    assert "percentile_b" not in aspects["edges"][0]["v"]
    assert "distance" not in nx.read_graphml(tmp_path / "network.graphml").nodes["A"]


@pytest.mark.parametrize("pairs", [0, 300])
def test_the_same_network_gives_the_same_bytes(tmp_path: Path, pairs: int) -> None:
    for folder in ("one", "two"):
        edges, nodes = tables([f"P{i}" for i in range(200)], random_pairs(200, pairs))
        network = interactome(edges, nodes, 0)
        write_network(tmp_path / folder, network)
        draw_network(tmp_path / folder, network)
    for name in (*FILES, "network.png", "network.pdf"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_two_names_that_are_one_in_xml_are_refused(tmp_path: Path) -> None:
    edges, nodes = tables(["bell\x07", "bell\\u0007"], [(0, 1)])
    with pytest.raises(InputError, match="one name in XML"):
        write_network(tmp_path, interactome(edges, nodes, 0))
    assert not (tmp_path / "network.graphml").exists()


_WRITE = """
import sys
from pathlib import Path
from graph_world import random_pairs, tables
from esm2_amp.screening.graph import interactome
from esm2_amp.screening.graph_files import write_network
write_network(Path(sys.argv[1]), interactome(*tables([f"P{i}" for i in range(600)], random_pairs(500, 800)), 0))
"""


@pytest.mark.slow
def test_another_process_writes_the_same_bytes(tmp_path: Path) -> None:
    places = os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)])
    for seed in ("1", "2"):  # of Python's hashes, by which sets are ordered
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": places}
        subprocess.run([sys.executable, "-c", _WRITE, str(tmp_path / seed)], env=environment, check=True)
    for name in FILES:
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes()
