"""One explained pair as an HTML page: its score, both chains to scale, attention, top tokens, training evidence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from esm2_amp.explain.explained import OUTCOMES, ExplainedPair, ExplainedSet, Token
from esm2_amp.explain.page import page_environment, relative_link
from esm2_amp.explain.page_chains import cell, chain_parts, legend
from esm2_amp.explain.page_maps import (
    agreement_rows,
    attention_part,
    block_shares,
    blocks_part,
    pair_agreement,
    token_words,
)
from esm2_amp.explain.page_words import direction, method, plain, ranked, short, signed, written
from esm2_amp.records import Region

_TOP = 5


def render_pair(explained: ExplainedSet, pair: ExplainedPair, back: str | None, files: str | None) -> str:
    """The page of a pair as HTML text.

    Args:
        explained: the set it belongs to; layout, order of the methods, banner and provenance are taken from it.
        pair: what the page is about.
        back: relative link to the page of the set, None without one.
        files: folder beside the page with figures and tables of this pair, as a relative link; None without them.
    """
    tokens = pair.tokens(explained.layout)
    methods = [name for name in explained.methods if name in pair.values]
    compared = pair_agreement(methods, [pair.values[name] for name in methods])
    a, b = short(pair.protein_a), short(pair.protein_b)
    return page_environment().get_template("explained_pair.html.j2").render(
        explained=explained, pair=pair, a=a, b=b,
        title=f"{a} and {b}",
        back=None if back is None else _up(back),
        files=None if files is None else relative_link(files),
        methods=methods,
        lead=_lead(pair, tokens, methods),
        tiles=_tiles(pair),
        chains=chain_parts(pair, explained.layout, methods),
        legend=legend(methods),
        top=_top(pair, tokens, methods),
        values=_values(pair, tokens, methods),
        agreement=agreement_rows(methods, compared) if len(methods) > 1 else None,
        attention=None if pair.attention is None else attention_part(pair.attention, tokens, token_words(tokens)),
        blocks=None if pair.attention is None else blocks_part(block_shares(pair.attention)),
        evidence=[
            {
                "a": short(row.protein_a), "b": short(row.protein_b), "label": row.label,
                "similarity": plain(row.similarity), "swapped": row.swapped,
            }
            for row in pair.evidence
        ],
    )  # fmt: skip


def _up(link: str) -> str:
    """A link to a page in this folder or in one above it."""
    steps = link.count("../")
    return "../" * steps + relative_link(link.removeprefix("../" * steps))


def _called(pair: ExplainedPair) -> bool:
    return pair.probability >= pair.threshold


def _lead(pair: ExplainedPair, tokens: Sequence[Token], methods: Sequence[str]) -> str:
    """One sentence: the score, the call, and which stretch speaks most for it by the first method."""
    call = "called interacting" if _called(pair) else "not called interacting"
    side = "above" if _called(pair) else "below"
    text = (
        f"The probability of interaction is {pair.probability:.3f}, {side} the threshold {pair.threshold:.3f}: {call}."
    )
    for name in methods[:1]:
        top = ranked(name, pair.values[name], _called(pair))[:1]
        for place in top:
            token = tokens[place]
            residues = (
                f"residues {token.residues} of {token.chain}" if token.drawn else f"{token.residues} of {token.chain}"
            )
            text += f" By {method(name).title.lower()}, {token.name} ({residues}) speaks most for that call."
    return text


def _tiles(pair: ExplainedPair) -> list[dict[str, str]]:
    label = "no label" if pair.label is None else f"{pair.outcome}"
    note = "right or wrong is not known" if pair.label is None else OUTCOMES[pair.outcome]
    tiles = [
        {"name": "probability", "value": f"{pair.probability:.3f}", "note": f"threshold {pair.threshold:.3f}"},
        {
            "name": "call",
            "value": "interacts" if _called(pair) else "does not",
            "note": f"logit {signed(pair.logit, 2)}",
        },
        {"name": "label", "value": label, "note": note},
    ]
    if pair.ig_error is not None:
        tiles.append({"name": "IG completeness", "value": f"{pair.ig_error:.2%}", "note": "relative error of the sum"})
    return tiles


def _top(pair: ExplainedPair, tokens: Sequence[Token], methods: Sequence[str]) -> list[dict[str, Any]]:
    """The tokens that speak most for the call by the first method, and their places under the others."""
    if not methods:
        return []
    places = {name: ranked(name, pair.values[name], _called(pair)) for name in methods}
    rows = []
    for index in places[methods[0]][:_TOP]:
        token, value = tokens[index], float(pair.values[methods[0]][index])
        regions = pair.regions_a if token.chain == "A" else pair.regions_b
        rows.append(
            {
                "name": token.name, "chain": token.chain, "residues": token.residues,
                "value": written(methods[0], value), "words": direction(methods[0], value),
                "places": [places[name].index(index) + 1 if index in places[name] else None for name in methods[1:]],
                "regions": _overlapping(token, regions),
            }
        )  # fmt: skip
    return rows


def _overlapping(token: Token, regions: Sequence[Region]) -> list[str]:
    """Names of the annotated regions a token shares residues with, three at most and a count of the others."""
    if not token.drawn:
        return []
    start, stop = (token.start or 0) + 1, token.stop or 0
    hit = [region for region in regions if region.start <= stop and start <= region.end]
    names = list(dict.fromkeys(f"{region.kind} {region.note}".strip() for region in hit))
    return [short(name) for name in names[:3]] + ([f"and {len(names) - 3} more"] if len(names) > 3 else [])


def _values(pair: ExplainedPair, tokens: Sequence[Token], methods: Sequence[str]) -> list[dict[str, Any]]:
    """Every token with its value under every method."""
    return [
        {
            "token": token,
            "cells": [
                {"text": written(name, float(pair.values[name][token.place]))}
                | {"style": cell(name, token, pair.values[name], False)["style"]}
                for name in methods
            ],
        }
        for token in tokens
    ]
