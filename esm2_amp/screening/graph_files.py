"""A network as files for other programs: tables, GraphML, SIF and CX2."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import networkx as nx
import pandas as pd

from esm2_amp.errors import InputError
from esm2_amp.io.atomic import atomic_path, atomic_text
from esm2_amp.screening.graph import Interactome
from esm2_amp.screening.graph_cx2 import write_cx2
from esm2_amp.screening.graph_values import attributes

INTERACTION = "pp"
"""What Cytoscape calls an edge between two proteins."""
_NOT_XML = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 cannot hold, not even escaped (section 2.2, Char)."""


def write_network(folder: Path, network: Interactome) -> None:
    r"""Write ``nodes.tsv`` with all proteins, and the network of those that are in a pair in four forms.

    - ``edges.tsv``: a row a pair.
    - ``network.graphml``: with all columns, typed; nodes go by the name of the protein. A character that XML cannot
      hold (a control character) is written as ``\u`` and four hexadecimal digits.
    - ``network.sif``: Cytoscape's simple form, names and nothing else, separated by tabs, so that names may have
      spaces.
    - ``network.cx2``: with all columns, typed, and positions; for Cytoscape and NDEx.

    Numbers have up to nine digits in the tables. Each file is whole or not there; the same network gives the same
    bytes.

    Raises:
        InputError: the folder cannot be written, or two names are one in XML.
    """
    _write_table(folder / "nodes.tsv", network.nodes)
    _write_table(folder / "edges.tsv", network.edges)
    _write_graphml(folder / "network.graphml", network)
    _write_sif(folder / "network.sif", network)
    write_cx2(folder / "network.cx2", network, INTERACTION)


def _write_table(target: Path, table: pd.DataFrame) -> None:
    with atomic_text(target) as stream:
        table.to_csv(stream, sep="\t", index=False, lineterminator="\n", float_format="%.9g")


def _write_graphml(target: Path, network: Interactome) -> None:
    names = _xml_names(network, target)
    graph: nx.Graph[str] = nx.Graph()
    rows = network.drawn
    for name, values in zip(names, attributes(network.nodes.iloc[rows].drop(columns="id")), strict=True):
        graph.add_node(name, **_xml_values(values))
    of_row = dict(zip(rows.tolist(), names, strict=True))
    for (a, b), values in zip(network.ends.tolist(), attributes(network.edges), strict=True):
        # an edge of GraphML has no first end: protein_a says whose percentile_a is
        graph.add_edge(of_row[a], of_row[b], interaction=INTERACTION, **_xml_values(values))
    with atomic_path(target) as path:
        # not write_graphml, which takes lxml where it is installed and then writes other bytes
        nx.write_graphml_xml(graph, path)


def _xml_names(network: Interactome, target: Path) -> list[str]:
    """Names of the drawn proteins as XML can hold them."""
    found: dict[str, str] = {}
    for name in network.nodes["id"].iloc[network.drawn]:
        if (other := found.setdefault(_xml_text(name), name)) != name:
            raise InputError(
                f"the proteins {other!r} and {name!r} have one name in XML", file=target, remedy="Rename one of them."
            )
    return list(found)


def _xml_values(values: dict[str, Any]) -> dict[str, Any]:
    return {name: _xml_text(value) if isinstance(value, str) else value for name, value in values.items()}


def _xml_text(text: str) -> str:
    return _NOT_XML.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def _write_sif(target: Path, network: Interactome) -> None:
    with atomic_text(target) as stream:
        for a, b in zip(network.edges["protein_a"], network.edges["protein_b"], strict=True):
            stream.write(f"{a}\t{INTERACTION}\t{b}\n")
