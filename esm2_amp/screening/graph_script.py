"""What the script of the page is given: plain lists, nothing to run."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from esm2_amp.explain.page import relative_link
from esm2_amp.neighbours.markdown import shown
from esm2_amp.screening.graph import Interactome
from esm2_amp.screening.graph_picture import Picture
from esm2_amp.screening.graph_tables import COLUMN_TITLES, in_words


def script_data(
    network: Interactome,
    picture: Picture,
    explanations: Mapping[tuple[str, str], str],
    command: Callable[[str, str], str] | None,
) -> dict[str, Any]:
    """Proteins, pairs and links, by number.

    Raises:
        ValueError: a link that leads out of the folder of the page.
    """
    nodes, edges = network.nodes.iloc[network.drawn], network.edges
    facts = [str(name) for name in nodes if name not in ("id", "degree") and not nodes[name].isna().all()]
    pairs = list(zip(edges["protein_a"], edges["protein_b"], strict=True))
    links = [explanations.get((a, b), explanations.get((b, a))) for a, b in pairs]
    return {
        "height": picture.height,
        "nodes": {
            "name": [shown(name) for name in nodes["id"]],
            "x": picture.x.tolist(), "y": picture.y.tolist(),
            "facts": [[shown(COLUMN_TITLES.get(name, name)), _words(nodes[name])] for name in facts],
        },
        "edges": {
            "ends": picture.ends.tolist(), "level": picture.levels.tolist(),
            **{name: _rounded(edges[name], 4) for name in ("logit", "percentile_a", "percentile_b")},
            **{name: _rounded(edges[name], 6) for name in ("probability", "probability_at_prevalence")},
            "page": [None if link is None else relative_link(link) for link in links],
            "command": _commands(
                [command(*pair) if command and link is None else None for pair, link in zip(pairs, links, strict=True)]
            ),
        },
        "colours": [[part.style(number) for number in part.of.tolist()] for part in picture.colourings],
        "alone": [shown(name) for name in network.nodes["id"][network.nodes["degree"] == 0]],
    }  # fmt: skip


def _words(column: pd.Series[Any]) -> list[str]:
    return [shown(in_words(value)) for value in column]


def _rounded(column: pd.Series[Any], digits: int) -> list[float | None]:
    values = np.round(column.to_numpy(dtype=np.float64, na_value=np.nan), digits)
    return [value if np.isfinite(value) else None for value in values.tolist()]


def _commands(texts: Sequence[str | None]) -> dict[str, Any]:
    """Commands without what they all begin and end with: they are long, and differ in two names only.

    One with a character that would show another command than what is copied is left out.
    """
    texts = [None if text is None or shown(text) != text else text for text in texts]
    held = [text for text in texts if text is not None]
    start = os.path.commonprefix(held)
    end = os.path.commonprefix([text[len(start) :][::-1] for text in held])[::-1]
    middle = [None if text is None else text[len(start) : len(text) - len(end)] for text in texts]
    return {"start": start, "end": end, "middle": middle}
