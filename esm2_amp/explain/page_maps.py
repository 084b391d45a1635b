"""Attention between the tokens of a pair by layer, its block structure, profiles over tokens, agreement of methods."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from esm2_amp.explain.explained import Token, Values
from esm2_amp.explain.page_scales import diverging, sequential
from esm2_amp.explain.page_words import MISSING, largest, method, plain, signed

BLOCKS = ("a_to_a", "a_to_b", "b_to_a", "b_to_b")
GAP = 0.4
"""Between the chains of a map, in cells."""
_STORED = 10_000


def attention_part(attention: Values, tokens: Sequence[Token], words: Sequence[str]) -> dict[str, Any]:
    """The attention map as the template reads it: a drawing for each layer and for their mean, and the numbers.

    Args:
        attention: (layers, 2T, 2T); rows look, columns are looked at.
        tokens: the 2T tokens.
        words: how each token is called where a cell is named.
    """
    maps = [attention.mean(axis=0), *attention]
    titles = ["mean", *(str(layer + 1) for layer in range(len(attention)))]
    size = len(tokens) + GAP
    return {
        "layers": [
            {
                "title": title,
                "paths": map_paths(matrix),
                "least": plain(float(matrix.min())), "most": plain(float(matrix.max())),
                "words": f"mean over {len(attention)} layers" if title == "mean" else f"layer {title}",
            }
            for title, matrix in zip(titles, maps, strict=True)
        ],
        "size": size,
        "labels": [(_offset(k, len(tokens)) + 0.5, token_letter(token)) for k, token in enumerate(tokens)],
        "middle": (len(tokens) / 4, len(tokens) * 3 / 4 + GAP), "even": plain(1 / len(tokens)),
        "numbers": {
            "names": list(words), "gap": GAP, "scale": _STORED,
            "maps": [np.rint(np.nan_to_num(matrix) * _STORED).astype(int).ravel().tolist() for matrix in maps],
        },
    }  # fmt: skip


def map_paths(matrix: Values) -> list[tuple[str, str]]:
    """Cells of a map, from its smallest to its largest value, as one path for each colour.

    Neighbours of one colour in a row are one rectangle.
    """
    low, n = float(np.nanmin(matrix)), len(matrix)
    most = float(np.nanmax(matrix)) - low
    paths: dict[str, list[str]] = {}
    for row in range(n):
        styles = [sequential(float(value) - low, most) for value in matrix[row]]
        start = 0
        for column in range(1, n + 1):
            if column in (n // 2, n) or styles[column] != styles[start]:
                x, y, width = _offset(start, n), _offset(row, n), column - start
                paths.setdefault(styles[start], []).append(f"M{x:g} {y:g}h{width}v1h-{width}z")
                start = column
    return [(style, "".join(paths[style])) for style in sorted(paths, key=lambda style: int("0" + style[1:]))]


def _offset(place: int, n: int) -> float:
    return place + (GAP if place >= n // 2 else 0)


def token_letter(token: Token) -> str:
    """A token in one letter or digit."""
    return token.name.removeprefix("segment") if token.name.startswith("segment") else token.name[0]


def token_words(tokens: Sequence[Token]) -> list[str]:
    """Each token of a pair with its residues, for a map."""
    return [f"{token.chain} {token.name} ({'residues ' if token.drawn else ''}{token.residues})" for token in tokens]


def blocks_part(blocks: Values) -> list[dict[str, Any]]:
    """By layer, where each chain's attention goes: to itself or to the other; shares of what the chain gives out."""
    rows = []
    for layer, (aa, ab, ba, bb) in enumerate(blocks):
        bars = []
        for chain, other, own, across in (("A", "B", aa, ab), ("B", "A", bb, ba)):
            whole = own + across
            share = float(across / whole) if whole > 0 else float("nan")
            known = np.isfinite(share)
            bars.append(
                {
                    "chain": chain, "across": 100 * share if known else 0.0,
                    "text": f"{share:.1%}" if known else MISSING,
                    "title": f"Layer {layer + 1}: {chain} gives {1 - share:.1%} of its attention to itself, "
                    f"{share:.1%} to {other}." if known else "not known",
                }
            )  # fmt: skip
        rows.append({"layer": layer + 1, "bars": bars})
    return rows


def block_shares(attention: Values) -> Values:
    """(layers, 4) shares A to A, A to B, B to A, B to B of all attention; ``attention`` (layers, 2T, 2T)."""
    half = attention.shape[-1] // 2
    parts = [attention[:, rows, columns].sum(axis=(1, 2))
             for rows in (slice(half), slice(half, None)) for columns in (slice(half), slice(half, None))]  # fmt: skip
    total = np.stack(parts, axis=1)
    return np.asarray(total / total.sum(axis=1, keepdims=True))


def profile_part(name: str, mean: Values, magnitude: Values, tokens: Sequence[Token], count: int) -> dict[str, Any]:
    """Bars of one method over the 2T tokens: as high as the mean absolute value, coloured by the mean."""
    known, most = method(name), largest(magnitude)
    half = len(tokens) // 2
    width = 100 / (len(tokens) + 1)
    bars = []
    for token in tokens:
        size, average = float(magnitude[token.place]), float(mean[token.place])
        style = diverging(average, size) if known.signed else sequential(size, most)
        words = f"mean absolute value {plain(size)}" + (f", mean {signed(average)}" if known.signed else "")
        bars.append(
            {
                "x": width * (token.place + (token.chain == "B")), "width": width, "style": style,
                "name": token_letter(token),
                "height": 100 * size / most if most > 0 and np.isfinite(size) else 0.0,
                "title": f"{known.title}, {token.chain} {token.name}: {words} over {count:,} pairs.",
            }
        )  # fmt: skip
    finite = magnitude[np.isfinite(magnitude)]
    return {
        "name": known.title, "scale": f"{plain(most)} {known.unit}".strip(), "bars": bars,
        "level": 100 * float(finite.mean()) / most if most > 0 else 0.0,
        "middle": (width * half / 2, width * (half * 1.5 + 1)),
    }  # fmt: skip


def agreement_rows(methods: Sequence[str], agreement: Values) -> list[dict[str, Any]]:
    """A table of correlations, each cell with its colour; ``agreement`` (methods, methods)."""
    rows = []
    for name, values in zip(methods, agreement, strict=True):
        cells = [
            {"style": "", "text": ""} if other == name
            else {"style": diverging(float(value), 1.0), "text": signed(float(value), 2)}
            for other, value in zip(methods, values, strict=True)
        ]  # fmt: skip
        rows.append({"name": method(name).title, "cells": cells})
    return rows


def pair_agreement(methods: Sequence[str], values: Sequence[Values]) -> Values:
    """Spearman's correlation between the methods over the 2T tokens of one pair, (methods, methods).

    Two signed methods are compared with their signs; where one has no sign, absolute values are. NaN where a method
    gives all tokens the same, or where there are but two tokens.
    """
    found = np.full((len(methods), len(methods)), np.nan)
    for i, first in enumerate(methods):
        for j, second in enumerate(methods):
            both = method(first).signed and method(second).signed
            x, y = (values[i], values[j]) if both else (np.abs(values[i]), np.abs(values[j]))
            if x.size > 2 and np.ptp(x) > 0 and np.ptp(y) > 0:
                found[i, j] = float(spearmanr(x, y).statistic)
    return found
