"""Figures of one explained pair for a paper: both chains to scale with every method, and the attention maps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from esm2_amp.explain.explained import ExplainedPair, ExplainedSet, Token
from esm2_amp.explain.page_chains import place_regions, ticks
from esm2_amp.explain.page_words import largest, method, ranked
from esm2_amp.explain.paper import DIVERGING, INK, KINDS, MUTED, SEQUENTIAL, bare, drawable, save_figure
from esm2_amp.explain.paper_figures import save_attention
from esm2_amp.records import Region

_WIDTH, _ROW, _HEAD = 7.2, 0.24, 0.6
_APART = 0.045
_NARROWEST_SIGN = 0.015
_SIGNED_FROM, _WHITE_FROM = 0.25, 0.7
_LETTERS, _FEWEST_LETTERS = 85, 4
"""So many letters fit along the longer chain; fewer than four say nothing."""


def write_pair_figures(explained: ExplainedSet, pair: ExplainedPair, folder: Path) -> None:
    """Write ``chains`` and, for networks that have it, ``attention``, each as PNG and PDF.

    Raises:
        InputError: the folder cannot be written.
    """
    methods = [name for name in explained.methods if name in pair.values]
    lanes = sum(_lanes(pair.regions_a, pair.length_a)) + sum(_lanes(pair.regions_b, pair.length_b))
    height = 2 * (_HEAD + _ROW * (len(methods) + (pair.truth is not None))) + _ROW * lanes + 0.3
    save_figure(folder, "chains", (_WIDTH, height), lambda figure: _chains(figure, explained, pair, methods))
    if pair.attention is not None:
        save_attention(folder, pair.attention, explained.layout)


def _lanes(regions: Sequence[Region], length: int) -> list[int]:
    placed, _ = place_regions(regions, length, [region.kind for region in regions])
    return [1] * (1 + max((region.lane for region in placed), default=-1))


def _chains(figure: Figure, explained: ExplainedSet, pair: ExplainedPair, methods: Sequence[str]) -> None:
    tokens = pair.tokens(explained.layout)
    kinds = list(dict.fromkeys(region.kind for region in (*pair.regions_a, *pair.regions_b)))
    given = (("A", pair.protein_a, pair.length_a, pair.regions_a), ("B", pair.protein_b, pair.length_b, pair.regions_b))
    axes = figure.subplots(
        2, 1, height_ratios=[len(_lanes(regions, length)) + len(methods) + 3 for *_, length, regions in given]
    )
    longest = max(pair.length_a, pair.length_b, 1)
    behind = max(sum(not token.drawn for token in tokens if token.chain == letter) for letter in "AB")
    for axis, (letter, name, length, regions) in zip(axes, given, strict=True):
        mine = [token for token in tokens if token.chain == letter]
        _regions(axis, regions, length, kinds, longest)
        rows = [(drawable(method(key).title), key) for key in methods]
        _tracks(axis, pair, mine, methods)
        labels = [text for text, _ in rows] + (["planted truth"] if pair.truth is not None else [])
        bare(axis)
        axis.set_yticks([k + 0.5 for k in range(len(labels))], labels)
        axis.tick_params(length=0)
        axis.set_xlim(-0.005 * longest, longest * (1.005 + _APART * behind + (0.01 if behind else 0)))
        axis.set_ylim(len(labels) + 1, -1.0 * len(_lanes(regions, length)) - 0.3)
        for place, number in ticks(length, longest):
            axis.text(place * length / 100, len(labels) + 0.15, number, ha="center", va="top", fontsize=7, color=MUTED)
        axis.set_title(f"{letter}: {drawable(name, 60)}, {length:,} residues", loc="left")


def _regions(axis: Axes, regions: Sequence[Region], length: int, kinds: Sequence[str], longest: int) -> None:
    for region in place_regions(regions, length, kinds)[0]:
        x, width, y = region.x * length / 100, region.width * length / 100, -1.0 - region.lane
        colour = KINDS[region.colour]
        axis.barh(y + 0.4, width, 0.7, x, color=(colour, 0.25), edgecolor=colour)
        letters = int(_LETTERS * width / longest)
        if letters >= _FEWEST_LETTERS:
            text = drawable(region.text, letters)
            axis.text(x + width / 2, y + 0.4, text, ha="center", va="center", fontsize=6)


def _tracks(axis: Axes, pair: ExplainedPair, mine: Sequence[Token], methods: Sequence[str]) -> None:
    """A row of cells for each method; those of tokens without residues of their own stand behind the chain."""
    longest = max(pair.length_a, pair.length_b, 1)
    places = _places(mine, longest)
    for row, name in enumerate(methods):
        values = pair.values[name]
        most, top = largest(values) or 1.0, ranked(name, values, pair.probability >= pair.threshold)[:2]
        for token, (x, width) in zip(mine, places, strict=True):
            outlined = token.place in top
            share = float(values[token.place]) / most
            colour = DIVERGING((share + 1) / 2) if method(name).signed else SEQUENTIAL(share)
            edge, line = (INK, 1.2) if outlined else ("white", 0.6)
            axis.barh(row + 0.5, width, 0.8, x, color=colour, edgecolor=edge, linewidth=line, zorder=2 + outlined)
            if method(name).signed and width > _NARROWEST_SIGN * longest:
                _sign(axis, x + width / 2, row + 0.5, share)
    for token, (x, width) in zip(mine, places, strict=True):
        if not token.drawn:
            axis.text(x + width / 2, -0.1, token.name.replace("segment", "s"), ha="center", va="bottom", fontsize=5.5)
        if pair.truth is not None and pair.truth[token.place]:
            axis.barh(len(methods) + 0.5, width, 0.45, x, color=INK)


def _sign(axis: Axes, x: float, y: float, share: float) -> None:
    """Plus or minus on a cell; ``share`` of the method's largest value."""
    if abs(share) > _SIGNED_FROM:
        sign, colour = "+" if share > 0 else "−", "white" if abs(share) > _WHITE_FROM else INK
        axis.text(x, y, sign, ha="center", va="center", fontsize=6.5, color=colour, zorder=4)


def _places(mine: Sequence[Token], longest: int) -> list[tuple[float, float]]:
    """Where each token is drawn and how wide, in residues of the longer chain."""
    found, behind = [], max((token.stop or 0 for token in mine), default=0) + 0.015 * longest
    for token in mine:
        if token.drawn:
            found.append((float(token.start or 0), float((token.stop or 0) - (token.start or 0))))
        else:
            found.append((behind, 0.9 * _APART * longest))
            behind += _APART * longest
    return found
