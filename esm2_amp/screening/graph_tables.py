"""Small tables of a page: any, the proteins with the most partners, the largest communities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from esm2_amp.screening.graph import Interactome

_HUBS = 20
_COMMUNITIES = 12
_NAMED = 5
_SHOWN = ("side", "in_training", "pairs_scored", "mean_logit", "distance")
"""Columns of the nodes that a table of hubs shows where there are such."""
COLUMN_TITLES = {"in_training": "in training", "pairs_scored": "pairs scored", "mean_logit": "mean logit"}


@dataclass(frozen=True)
class WordTable:
    """A table as words: the first cell of a row is its heading; ``note`` says how to read it."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""

    @property
    def worded(self) -> list[bool]:
        """Whether a column holds words, not numbers."""
        return [any(row[i][:1].isalpha() for row in self.rows) for i in range(len(self.columns))]


def hub_table(network: Interactome) -> WordTable:
    """The proteins in the most pairs."""
    order = np.argsort(-network.nodes["degree"].to_numpy(), kind="stable")[:_HUBS]
    hubs = network.nodes.iloc[order]
    hubs = hubs[hubs["degree"] > 0]
    columns = ["id", "degree", *(name for name in _SHOWN if name in hubs)]
    cells = [[in_words(value) for value in hubs[name]] for name in columns]
    return WordTable(
        "Most partners",
        ["protein", "partners", *(COLUMN_TITLES.get(name, name) for name in columns[2:])],
        list(zip(*cells, strict=True)),
        "A protein with many partners may be a true hub, or one that the model scores high with anything: "
        "then its mean logit is high, and its pairs mean little.",
    )


def community_table(network: Interactome) -> WordTable:
    """The largest communities, and who has most partners in the network among their members."""
    nodes = network.nodes.sort_values("degree", ascending=False, kind="stable")
    numbers = network.nodes["community"].to_numpy(dtype=float, na_value=np.nan)
    same = numbers[network.ends[:, 0]][numbers[network.ends[:, 0]] == numbers[network.ends[:, 1]]]
    rows = []
    for number in range(1, _COMMUNITIES + 1):
        members = nodes["id"][(nodes["community"] == number).fillna(False)]
        if len(members):
            named = [str(name) for name in members.iloc[:_NAMED]] + ["…"] * (len(members) > _NAMED)
            rows.append([str(number), f"{len(members):,}", f"{int((same == number).sum()):,}", ", ".join(named)])
    return WordTable(
        "Largest communities",
        ["community", "proteins", "pairs within", "most partners"],
        rows,
        "Groups with more pairs inside than between them (Louvain's method): candidates for complexes and pathways.",
    )


def in_words(value: object) -> str:
    """A value of a table as a reader wants it."""
    if value is None or value != value or str(value) == "<NA>":
        return "–"
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, float | np.floating):
        return f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int | np.integer) else str(value)
