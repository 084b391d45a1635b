"""What the explanation pages, figures and tables are made of: plain numbers and words, no model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from esm2_amp.layout import SEGMENT_NAMES, TokenLayout, segment_bounds
from esm2_amp.records import Region

Values = NDArray[np.float64]
OUTCOMES = {
    "TP": "interacts, called so",
    "FP": "does not interact, called interacting",
    "TN": "does not interact, called so",
    "FN": "interacts, not called so",
}
"""By name, what the label says and what was called; a pair without a label has no outcome."""


class Mean(NamedTuple):
    """A mean over pairs and its interval; None where there is no interval."""

    value: float
    low: float | None
    high: float | None


class Faithfulness(NamedTuple):
    """A row of the table that says which method to trust.

    ``kind`` is ``method``, ``random`` (random values in place of an explanation) or ``randomised`` (the method on the
    models with fresh weights); ``measures`` are by name, see :data:`esm2_amp.explain.page_words.MEASURES`, and may be
    others or fewer from row to row.
    """

    method: str
    kind: Literal["method", "random", "randomised"]
    measures: Mapping[str, Mean]


class Surrogate(NamedTuple):
    """How well a model that stands in for the explained one tells held-out pairs apart."""

    name: str
    auroc: float
    warning: str


class Evidence(NamedTuple):
    """A training pair like the explained one; ``swapped``: its A resembles the explained B."""

    protein_a: str
    protein_b: str
    label: int
    similarity: float
    swapped: bool


class ShownPair(NamedTuple):
    """A row of the table of pairs: ``top`` names the highest tokens, ``page`` is a relative link or None."""

    protein_a: str
    protein_b: str
    label: int | None
    probability: float
    outcome: str
    top: Sequence[str]
    page: str | None


class Token(NamedTuple):
    """A token of a pair: its position among ``layout.pair_names`` and the residues it holds.

    ``start`` and ``stop`` are 0-based and half-open; both are None for what stands for the whole protein, and equal
    for a segment without a residue.
    """

    place: int
    chain: Literal["A", "B"]
    name: str
    start: int | None
    stop: int | None

    @property
    def drawn(self) -> bool:
        """Whether it holds residues of its own, so that it can be drawn to scale."""
        return self.start is not None and self.start != self.stop

    @property
    def residues(self) -> str:
        """Residue numbers, 1-based, as words."""
        if self.start is None or self.stop is None:
            return "whole protein"
        if self.start == self.stop:
            return "no residue"
        return f"{self.start + 1}–{self.stop}" if self.stop - self.start > 1 else f"{self.stop}"


@dataclass(frozen=True, eq=False)
class ExplainedPair:
    """One pair and why it scores as it does.

    ``values`` has a signed value for each of the 2T tokens, in the order of ``layout.pair_names``, by method.
    ``attention`` is (layers, 2T, 2T), the mean over heads, rows the tokens that look (queries), columns those looked
    at (keys); None for networks without. ``ig_error`` is the relative completeness error of the integrated gradients.
    ``truth`` marks the (2T,) tokens that carry a planted interaction, None where the truth is not known.
    """

    protein_a: str
    protein_b: str
    length_a: int
    length_b: int
    label: int | None
    probability: float
    logit: float
    threshold: float
    values: Mapping[str, Values]
    regions_a: Sequence[Region]
    regions_b: Sequence[Region]
    attention: Values | None
    evidence: Sequence[Evidence]
    notes: Sequence[str]
    ig_error: float | None
    truth: NDArray[np.bool_] | None = None

    @property
    def outcome(self) -> str:
        """``TP``, ``FP``, ``TN``, ``FN``, or nothing for a pair without a label."""
        if self.label is None:
            return ""
        return {(1, True): "TP", (0, True): "FP", (0, False): "TN", (1, False): "FN"}[
            (self.label, self.probability >= self.threshold)
        ]

    def tokens(self, layout: TokenLayout) -> tuple[Token, ...]:
        """The 2T tokens of this pair."""
        return pair_tokens(layout, self.length_a, self.length_b)


def pair_tokens(layout: TokenLayout, length_a: int, length_b: int) -> tuple[Token, ...]:
    """The 2T tokens of a pair of proteins with so many residues, in the order of ``layout.pair_names``."""
    found: list[Token] = []
    for chain, length in (("A", length_a), ("B", length_b)):
        bounds = dict(zip(SEGMENT_NAMES, segment_bounds(length), strict=True))
        for name in layout:
            start, stop = bounds.get(name, (None, None))
            found.append(Token(len(found), "A" if chain == "A" else "B", name, start, stop))
    return tuple(found)


@dataclass(frozen=True, eq=False)
class ExplainedSet:
    """A set of pairs, explained: what its page, figures and tables say.

    ``methods`` are in the order in which they are to be read, the most trusted first. ``outcomes`` counts the pairs by
    name of :data:`OUTCOMES`, pairs without a label under an empty name. ``profile`` and ``magnitude`` are the mean and
    the mean absolute value of each of the 2T tokens, by method. ``agreement`` is (methods, methods), the mean of
    Spearman's correlation within a pair. ``attention`` is (layers, 2T, 2T) as in :class:`ExplainedPair`, a mean over
    pairs, and ``blocks`` (layers, 4) its shares A to A, A to B, B to A, B to B. ``completeness``: largest and median
    relative error of the integrated gradients, and the most steps taken. ``calibration``: a sentence on what the
    probabilities are worth.
    """

    title: str
    subtitle: str
    banner: str | None
    lead: str
    calibration: str
    layout: TokenLayout
    methods: Sequence[str]
    outcomes: Mapping[str, int]
    faithfulness: Sequence[Faithfulness]
    profile: Mapping[str, Values]
    magnitude: Mapping[str, Values]
    agreement: Values
    attention: Values | None
    blocks: Values | None
    completeness: tuple[float, float, int] | None
    surrogates: Sequence[Surrogate]
    pairs: Sequence[ShownPair]
    notes: Sequence[str]
    provenance: Sequence[tuple[str, str]]
    version: str

    @property
    def count(self) -> int:
        """Pairs explained."""
        return sum(self.outcomes.values())
