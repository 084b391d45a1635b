"""Both chains drawn to scale: annotated regions, residue numbers, and a track of segments for each method.

Everything is a percentage of its chain, so that a page can draw it at any width with text of one size.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from esm2_amp.explain.explained import ExplainedPair, Token, Values
from esm2_amp.explain.page_scales import diverging, sequential, strong
from esm2_amp.explain.page_words import direction, largest, method, plain, ranked, short, written
from esm2_amp.layout import TokenLayout
from esm2_amp.records import Region

LANES = 10
REGIONS = 200
"""So many regions, in so many lanes, are drawn for each chain; the others are counted."""
_NARROWEST = 8.0
_OUTLINED = 2
_TICKS = 5
_NARROWEST_SIGN, _NARROW_CELL = 1.2, 2.6
"""Percent of the longer chain: below the first a cell has no sign, below the second none on a phone."""


class Placed(NamedTuple):
    """A region in its lane; ``x`` and ``width`` in percent of the chain, ``colour`` a number of its kind."""

    x: float
    width: float
    lane: int
    colour: int
    text: str
    title: str


def chain_parts(pair: ExplainedPair, layout: TokenLayout, methods: Sequence[str]) -> list[dict[str, Any]]:
    """Both chains as the template reads them, A first."""
    longest = max(pair.length_a, pair.length_b, 1)
    kinds = list(dict.fromkeys(region.kind for region in (*pair.regions_a, *pair.regions_b)))
    tokens = pair.tokens(layout)
    given = (("A", pair.protein_a, pair.length_a, pair.regions_a), ("B", pair.protein_b, pair.length_b, pair.regions_b))
    chains = []
    for letter, name, length, regions in given:
        mine = [token for token in tokens if token.chain == letter]
        placed, left_out = place_regions(regions, length, kinds)
        share = 100 * length / longest
        chains.append(
            {
                "letter": letter, "name": name, "length": length,
                "width": max(share, _NARROWEST), "widened": share < _NARROWEST,
                "ticks": ticks(length, longest), "regions": placed,
                "lanes": 1 + max((region.lane for region in placed), default=-1), "left_out": left_out,
                "truth": None if pair.truth is None else _truth(pair.truth, mine, length),
                "tracks": [_track(pair, name, mine, length, share) for name in methods],
                "extra": sum(not token.drawn for token in mine),
                "empty": [token.name for token in mine if token.start is not None and not token.drawn],
                "segmented": any(token.drawn for token in mine),
            }
        )  # fmt: skip
    return chains


def place_regions(regions: Sequence[Region], length: int, kinds: Sequence[str]) -> tuple[list[Placed], int]:
    """Regions in lanes in which none covers another, and how many could not be drawn.

    A region that ends behind the protein's last residue is cut there; one that starts behind it, or for which there
    is no lane left, is counted.
    """
    free: list[int] = []
    placed: list[Placed] = []
    for region in sorted(regions, key=lambda region: (region.start, -region.end)):
        start, end = max(region.start, 1), min(region.end, length)
        lane = next((k for k, last in enumerate(free) if last < start), len(free))
        if start > end or lane >= LANES or len(placed) >= REGIONS:
            continue
        free[lane : lane + 1] = [end]
        text = region.note or region.kind
        words = f"{region.kind} {region.start}–{region.end}" + (f": {region.note}" if region.note else "")
        x, width = 100 * (start - 1) / length, 100 * (end - start + 1) / length
        placed.append(Placed(x, width, lane, kinds.index(region.kind) % 4, short(text), short(words, 120)))
    return placed, len(regions) - len(placed)


def ticks(length: int, longest: int) -> list[tuple[float, str]]:
    """Where a chain has residue numbers, in percent, and those numbers: round ones between the first and the last."""
    if length < 1:
        return []
    rough = longest / _TICKS
    power = 10 ** int(np.floor(np.log10(max(rough, 1))))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
    room = 0.09 * longest
    round_ones = [n for n in range(step, length, step) if n > room and length - n > room]
    numbers = [1, *round_ones, length] if length > 1 and length > room else [length]
    return [(100 * (n - 0.5) / length, f"{n:,}") for n in numbers]


def _truth(truth: NDArray[np.bool_], mine: Sequence[Token], length: int) -> list[dict[str, Any]]:
    return [_box(token, length) for token in mine if token.drawn and truth[token.place]]


def _box(token: Token, length: int) -> dict[str, Any]:
    start, stop = token.start or 0, token.stop or 0
    title = f"{token.chain} {token.name}, residues {token.residues}"
    return {"x": 100 * start / length, "width": 100 * (stop - start) / length, "title": title}


def _track(pair: ExplainedPair, name: str, mine: Sequence[Token], length: int, share: float) -> dict[str, Any]:
    """One method on one chain: cells to scale, and those of tokens that stand for no stretch of residues."""
    values = pair.values[name]
    top = ranked(name, values, pair.probability >= pair.threshold)[:_OUTLINED]
    cells = [cell(name, token, values, token.place in top) for token in mine]
    for token, found in zip(mine, cells, strict=True):
        if token.drawn:
            found |= _box(token, length) | {"title": found["title"]}
            wide = found["width"] * max(share, _NARROWEST) / 100
            found |= {"narrow": wide < _NARROW_CELL, "sign": found["sign"] if wide > _NARROWEST_SIGN else ""}
    known = method(name)
    most = f"{'±' if known.signed else ''}{plain(largest(values))}"
    return {
        "name": known.title, "scale": f"{most} {known.unit}".strip(),
        "cells": [found for token, found in zip(mine, cells, strict=True) if token.drawn],
        "extra": [found for token, found in zip(mine, cells, strict=True) if not token.drawn],
    }  # fmt: skip


def cell(name: str, token: Token, values: Values, top: bool) -> dict[str, Any]:
    """A token's colour, sign and words under one method; ``values`` (2T,) of that method."""
    value, most = float(values[token.place]), largest(values)
    style = diverging(value, most) if method(name).signed else sequential(value, most)
    residues = f"residues {token.residues}" if token.drawn else token.residues
    words = [f"{method(name).title}: {written(name, value)}"]
    words += [text for text in (direction(name, value), "among its highest two" if top else "") if text]
    return {
        "style": style, "top": top, "name": token.name,
        "sign": ("+" if style[0] == "p" else "−") if strong(style) else "",
        "title": f"{token.chain} {token.name}, {residues}. {', '.join(words)}.",
    }  # fmt: skip


def legend(methods: Sequence[str]) -> Mapping[str, bool]:
    """Which of the two colour scales the tracks use."""
    return {
        "signed": any(method(name).signed for name in methods),
        "shares": any(not method(name).signed for name in methods),
    }
