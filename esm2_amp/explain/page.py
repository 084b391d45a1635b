"""A set of explained pairs as one HTML page: which method to trust, which tokens matter, which pairs were explained."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

import esm2_amp.evaluation
from esm2_amp.explain.explained import OUTCOMES, ExplainedSet, Faithfulness, Mean, ShownPair, pair_tokens
from esm2_amp.explain.page_chains import legend
from esm2_amp.explain.page_maps import agreement_rows, attention_part, blocks_part, profile_part
from esm2_amp.explain.page_scales import SHARE_STEPS, SIDE_STEPS
from esm2_amp.explain.page_words import (
    LONGEST_TEXT,
    MISSING,
    explained_measures,
    measure,
    method,
    ordered_measures,
    plain,
    short,
)
from esm2_amp.layout import N_SEGMENTS

_FOLDER = Path(__file__).parent
_SMALL = 0.1
_RELATIVE = re.compile(r"(?!/)(?!.*\.\.)[\w./-]+")


def render_set(explained: ExplainedSet, files: str | None) -> str:
    """The page of a set as HTML text.

    Args:
        explained: what it says.
        files: folder beside the page, as a relative link, with what :mod:`esm2_amp.explain.paper_figures` and
            :mod:`esm2_amp.explain.tables` write; None where they were not written.
    """
    tokens = pair_tokens(explained.layout, N_SEGMENTS, N_SEGMENTS)
    profiles = [
        profile_part(name, explained.profile[name], explained.magnitude[name], tokens, explained.count)
        for name in explained.methods
    ]
    words = [f"{token.chain} {token.name}" for token in tokens]
    return page_environment().get_template("explained_set.html.j2").render(
        explained=explained,
        title=short(explained.title, LONGEST_TEXT),
        back=None,
        files=None if files is None else relative_link(files),
        tiles=_tiles(explained),
        trust=trust_table(explained.faithfulness),
        profiles=profiles,
        legend=legend(explained.methods),
        agreement=agreement_rows(explained.methods, explained.agreement),
        attention=None if explained.attention is None else attention_part(explained.attention, tokens, words),
        blocks=None if explained.blocks is None else blocks_part(explained.blocks),
        pairs=[_shown(pair) for pair in explained.pairs],
    )  # fmt: skip


@lru_cache(maxsize=1)
def page_environment() -> Environment:
    """Templates of both pages: everything is escaped, and no script runs but ours, which its hash names."""
    environment = Environment(
        loader=FileSystemLoader([_FOLDER, Path(esm2_amp.evaluation.__file__).parent]),
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    script = (_FOLDER / "explained.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    environment.globals |= {
        "script": Markup(script),  # noqa: S704 - our own
        "script_hash": digest, "side_steps": SIDE_STEPS, "share_steps": SHARE_STEPS,
        "method": method, "known_methods": _known,
    }  # fmt: skip
    environment.filters |= {"short": short, "plain": plain}
    return environment


def relative_link(text: str) -> str:
    """A link within the folder of the page.

    Raises:
        ValueError: it leads elsewhere.
    """
    if not _RELATIVE.fullmatch(text):
        raise ValueError(f"not a link within the page's folder: {text!r}")
    return text


def _known(methods: Sequence[str]) -> list[tuple[str, str]]:
    """Title and meaning of the methods that have one."""
    return [(method(name).title, method(name).meaning) for name in methods if method(name).meaning]


def _tiles(explained: ExplainedSet) -> list[dict[str, str]]:
    tiles = [{"name": "pairs explained", "value": f"{explained.count:,}", "note": ""}]
    for name, words in OUTCOMES.items():
        if any(explained.outcomes.get(outcome) for outcome in OUTCOMES):
            tiles.append({"name": name, "value": f"{explained.outcomes.get(name, 0):,}", "note": words})
    if explained.outcomes.get(""):
        tiles.append(
            {"name": "no label", "value": f"{explained.outcomes['']:,}", "note": "right or wrong is not known"}
        )
    return tiles


def _shown(pair: ShownPair) -> dict[str, Any]:
    return {
        "a": short(pair.protein_a), "b": short(pair.protein_b),
        "label": MISSING if pair.label is None else str(pair.label),
        "probability": f"{pair.probability:.3f}", "outcome": pair.outcome or MISSING,
        "top": [short(name) for name in pair.top], "page": None if pair.page is None else relative_link(pair.page),
    }  # fmt: skip


def trust_table(rows: Sequence[Faithfulness]) -> dict[str, Any]:
    """The faithfulness table: a row for each method, a column for each measure, each value on its column's scale."""
    names = ordered_measures(name for row in rows for name in row.measures)
    columns = []
    for name in names:
        found = {k: row.measures[name] for k, row in enumerate(rows) if name in row.measures}
        best = _best(name, {k: value.value for k, value in found.items() if rows[k].kind == "method"})
        chance = next((value.value for k, value in found.items() if rows[k].kind == "random"), None)
        low, high = _span(found)
        cells = {k: _trust_cell(value, low, high, k in best) for k, value in found.items()}
        columns.append(
            {
                "title": measure(name).title,
                "good": {True: "high is good", False: "low is good", None: ""}[measure(name).high_is_good],
                "cells": cells, "chance": None if chance is None else _place(chance, low, high),
            }
        )  # fmt: skip
    titles = {"method": "", "random": "random values, no explanation", "randomised": "on models with fresh weights"}
    shown = [{"name": method(row.method).title, "kind": row.kind, "note": titles[row.kind]} for row in rows]
    return {"columns": columns, "rows": shown, "meanings": explained_measures(names)}


def _best(name: str, values: Mapping[int, float]) -> set[int]:
    high = measure(name).high_is_good
    known = {k: value for k, value in values.items() if value == value}
    if high is None or len(known) < 2:
        return set()
    goal = max(known.values()) if high else min(known.values())
    return {k for k, value in known.items() if value == goal}


def _span(found: Mapping[int, Mean]) -> tuple[float, float]:
    ends = [end for value in found.values() for end in value if end is not None and end == end]
    return (min(0.0, *ends), max(*ends, 0.0)) if ends else (0.0, 0.0)


def _place(value: float, low: float, high: float) -> float:
    """Where a value lies on its column's scale, in percent, with room for the dot at both ends."""
    return 5 + 90 * (value - low) / (high - low) if high > low else 50.0


def _trust_cell(value: Mean, low: float, high: float, best: bool) -> dict[str, Any]:
    digits = 2 if max(abs(low), abs(high)) >= _SMALL else 4
    if value.value != value.value:
        return {"value": MISSING, "interval": "", "best": False, "dot": None, "line": None}
    bounds = None if value.low is None or value.high is None else (value.low, value.high)
    return {
        "value": f"{value.value:.{digits}f}", "best": best, "dot": _place(value.value, low, high),
        "interval": "" if bounds is None else f"{bounds[0]:.{digits}f} to {bounds[1]:.{digits}f}",
        "line": None if bounds is None else tuple(_place(bound, low, high) for bound in bounds),
    }  # fmt: skip
