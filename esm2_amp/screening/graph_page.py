"""A screening as one HTML page: what was done, tables, and a network to explore; self-contained and offline."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

import esm2_amp.evaluation
from esm2_amp.neighbours.markdown import shown
from esm2_amp.screening.graph import Interactome
from esm2_amp.screening.graph_picture import Picture
from esm2_amp.screening.graph_script import script_data
from esm2_amp.screening.graph_tables import WordTable, community_table, hub_table

_FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class ReportWords:
    """What a page says besides the network.

    ``lead``: the result in a sentence. ``tiles``: (number, what it counts). ``warnings``: what must not be overlooked.
    ``notes``: anything else, a paragraph each. ``tables``: e.g. of thresholds. ``prevalence``: what
    ``probability_at_prevalence`` was calculated for, as words. ``provenance``: names and values.
    """

    title: str
    subtitle: str
    lead: str
    prevalence: str
    version: str
    tiles: Sequence[tuple[str, str]] = ()
    warnings: Sequence[str] = ()
    notes: Sequence[str] = ()
    tables: Sequence[WordTable] = ()
    provenance: Sequence[tuple[str, str]] = ()


def report_page(
    network: Interactome,
    words: ReportWords,
    explanations: Mapping[tuple[str, str], str],
    command: Callable[[str, str], str] | None,
) -> str:
    """The page as HTML text.

    Args:
        network: its best pairs.
        words: the rest.
        explanations: by pair, in either order, a link to its explanation, within the folder of the page.
        command: the command line that explains a pair, quoted for a shell, shown where there is no explanation yet.

    Raises:
        ValueError: a link that leads out of the folder.
    """
    environment = Environment(
        loader=FileSystemLoader([_FOLDER, Path(esm2_amp.evaluation.__file__).parent]),
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, finalize=_plain,
    )  # fmt: skip
    script = (_FOLDER / "graph_page.js").read_text(encoding="utf-8")
    picture = Picture.of(network)
    return environment.get_template("graph_page.html.j2").render(
        words=words,
        tables=[*words.tables, hub_table(network), community_table(network)] if len(network.edges) else words.tables,
        picture=picture,
        pairs=len(network.edges),
        data=script_data(network, picture, explanations, command) | {"prevalence": shown(words.prevalence)},
        script=Markup(script),  # noqa: S704 - our own
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def _plain(value: Any) -> Any:
    """Characters that would turn the direction of writing, or end a line, made visible in what is the user's."""
    return shown(value) if isinstance(value, str) and not isinstance(value, Markup) else value
