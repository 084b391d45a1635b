"""Negatives drawn for ``esm2-amp split``: how many each part lacks, and which pairs may never be drawn."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from esm2_amp.data.audit import class_degrees
from esm2_amp.data.negatives import code_of, degree_matched_negatives, uniform_negatives
from esm2_amp.errors import InputError
from esm2_amp.io.fasta import ProteinSet
from esm2_amp.records import Pair
from esm2_amp.tasks.config import NegativesConfig

KINDS = ("none", "uniform", "degree")


@dataclass(frozen=True, eq=False)
class Drawing:
    """Negatives of one part: (m, 2) sequence numbers; pairs missing, and how many each sequence is short of."""

    pairs: NDArray[np.int64]
    missing: int
    short: dict[int, int]

    def to_dict(self, ids: Sequence[str]) -> dict[str, Any]:
        """For the card: the proteins that are short, the worst first."""
        worst = sorted(self.short.items(), key=lambda item: (-item[1], item[0]))
        return {"pairs": len(self.pairs), "missing": self.missing, "short": {ids[k]: n for k, n in worst}}


def check_negatives(config: NegativesConfig) -> None:
    """Refuse settings that mean nothing.

    Raises:
        InputError: an unknown kind or a ratio that is not positive.
    """
    if config.kind not in KINDS:
        raise InputError(f"negatives.kind is {config.kind!r}", remedy=f"Use {', '.join(KINDS)}.")
    if not 0 < config.ratio < float("inf"):
        raise InputError(f"negatives.ratio is {config.ratio}", remedy="Give a positive number, 1 for as many.")


def known_pairs(rows: Iterable[Pair], proteins: ProteinSet, sequences: Sequence[str]) -> set[int]:
    """Codes of the pairs, whatever their label, whose sequences are both among ``sequences``."""
    number = {sequence: i for i, sequence in enumerate(sequences)}
    of_id: dict[str, int | None] = {}
    codes = set[int]()
    for row in rows:
        for name in (row.a, row.b):
            if name not in of_id:
                protein = proteins.get(name)
                of_id[name] = None if protein is None else number.get(protein.sequence)
        a, b = of_id[row.a], of_id[row.b]
        if a is not None and b is not None:
            codes.add(code_of(a, b))
    return codes


def draw_negatives(
    config: NegativesConfig,
    a: NDArray[np.int64],
    b: NDArray[np.int64],
    label: NDArray[np.int64],
    known: set[int],
    rng: np.random.Generator,
) -> Drawing:
    """Draw what the pairs of one part lack of ``ratio`` negatives for each positive.

    Args:
        config: kind and ratio.
        a: (n,) sequence numbers of the pairs given.
        b: (n,) the second ones.
        label: (n,) 0 or 1.
        known: codes of the pairs never to draw: all that were given, of any part and label, and those drawn before.
        rng: the source of chance.

    Raises:
        InputError: so many pairs that are not known do not exist (``uniform``).
    """
    lacking = round(config.ratio * int((label == 1).sum())) - int((label == 0).sum())
    if config.kind == "none" or lacking <= 0:
        return Drawing(np.empty((0, 2), np.int64), 0, {})
    if config.kind == "uniform":
        return Drawing(uniform_negatives(np.unique(np.concatenate((a, b))), known, lacking, rng), 0, {})
    positive, negative = class_degrees(a, b, label.astype(np.int8), int(max(a.max(), b.max())) + 1)
    wanted = np.maximum(np.rint(config.ratio * positive).astype(np.int64) - negative, 0)
    pairs, short = degree_matched_negatives(wanted, known, rng)
    return Drawing(pairs, int(wanted.sum()) // 2 - len(pairs), short)
