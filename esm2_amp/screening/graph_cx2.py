"""A network in the Cytoscape Exchange format, version 2: https://cytoscape.org/cx/cx2/specification/."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd

from esm2_amp.io.atomic import atomic_text
from esm2_amp.screening.graph import Interactome
from esm2_amp.screening.graph_values import attributes, kind_of

_TYPES = {bool: "boolean", int: "integer", float: "double", str: "string"}
_INTEGERS = 2**31
"""What is called an integer there has 32 bits, a ``long`` has 64."""
_UNIT = 60.0
"""Pixels a unit of the positions: Cytoscape draws a protein some 50 pixels wide."""


def write_cx2(target: Path, network: Interactome, interaction: str) -> None:
    """Write the proteins in pairs with their places, and the pairs, with all columns of both, typed.

    Args:
        target: file.
        network: what to write.
        interaction: what every edge is called.

    Raises:
        InputError: it cannot be written.
    """
    rows = network.drawn
    nodes = network.nodes.iloc[rows].rename(columns={"id": "name"})
    edges = network.edges.iloc[:, 2:].assign(interaction=interaction)
    number = {row: i for i, row in enumerate(rows.tolist())}
    places = (network.positions[rows] * _UNIT).round(2).tolist()
    aspects: dict[str, list[Any]] = {
        "attributeDeclarations": [
            {"networkAttributes": {"name": {"d": "string"}}, "nodes": _declared(nodes), "edges": _declared(edges)}
        ],
        "networkAttributes": [{"name": "Interactome"}],
        "nodes": [
            {"id": i, "x": x, "y": y, "v": values}
            for i, ((x, y), values) in enumerate(zip(places, attributes(nodes), strict=True))
        ],
        "edges": [
            {"id": i, "s": number[a], "t": number[b], "v": values}
            for i, ((a, b), values) in enumerate(zip(network.ends.tolist(), attributes(edges), strict=True))
        ],
    }
    counts = [{"name": name, "elementCount": len(elements)} for name, elements in aspects.items()]
    document = [{"CXVersion": "2.0", "hasFragments": False}, {"metaData": counts}]
    document += [{name: elements} for name, elements in aspects.items()]
    document.append({"status": [{"success": True}]})
    with atomic_text(target) as stream:
        stream.write(json.dumps(document, ensure_ascii=False, allow_nan=False) + "\n")


def _declared(table: pd.DataFrame) -> dict[str, dict[str, str]]:
    return {str(name): {"d": _type(column)} for name, column in table.items()}


def _type(column: pd.Series[Any]) -> str:
    kind = kind_of(column)
    wide = kind is int and (column.dropna().abs() >= _INTEGERS).any()
    return "long" if wide else _TYPES[kind]
