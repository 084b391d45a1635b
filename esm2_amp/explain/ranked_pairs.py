"""Ranked segments as pairs: which of its 20 segments each pair ranks highest and lowest, and how often they hit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from esm2_amp.explain.coverage import Coverage
from esm2_amp.io.region_parts import protein_key
from esm2_amp.io.segments import LOW, TOP, RankedSegment
from esm2_amp.layout import SEGMENTS

HIT_LEVELS = (25, 50, 75)
"""A segment is hit at a level if at least that percentage of its residues is covered."""


@dataclass(frozen=True, eq=False)
class RankedPairs:
    """n pairs of proteins and the covered percentage of their 20 segments.

    ``outcome``: one for each pair; ``a`` and ``b`` (n,) number proteins; ``percent`` (n, 20, c) in the order of
    :attr:`esm2_amp.layout.TokenLayout.pair_names` of the segments, NaN where a segment has no residues; ``ranked``: by
    ``top`` and ``low`` the segments of rank 1, 2... (n, k), -1 where a pair has none of that rank.
    """

    outcome: NDArray[np.str_]
    a: NDArray[np.int64]
    b: NDArray[np.int64]
    percent: NDArray[np.float64]
    ranked: dict[str, NDArray[np.int64]]

    def __len__(self) -> int:
        return len(self.outcome)

    def of_rank(self, kind: str) -> NDArray[np.float64]:
        """(n, k, c) percentages of the segments of each rank; NaN where there is none or it has no residues."""
        chosen = self.ranked[kind]
        found = np.take_along_axis(self.percent, np.maximum(chosen, 0)[:, :, None], axis=1)
        return np.where(chosen[:, :, None] >= 0, found, np.nan)


class HitRate(NamedTuple):
    """Percentage of the pairs of an outcome whose ranked segment is hit, one for each column of the coverage.

    ``rank`` is 1, 2... or, for pairs of whose k ranked segments at least one is hit, ``any_of_k``; a rate is None where
    no pair has such a segment.
    """

    outcome: str
    kind: str
    level: int
    rank: str
    rates: list[float | None]


def pair_up(rows: Sequence[RankedSegment], coverage: Coverage) -> RankedPairs:
    """Put the ranked segments of each pair together; pairs with a protein that is not covered are left out.

    A pair that comes again under the same outcome, kind and rank is a pair of its own: it counts as often as it comes.
    """
    numbers: dict[tuple[str, str, str, int], int] = {}
    times = Counter[tuple[str, str, str, str, int]]()
    most = max(row.rank for row in rows)
    places: list[tuple[str, int, int, int]] = []
    for row in rows:
        a, b = protein_key(row.protein_a), protein_key(row.protein_b)
        if a in coverage.row and b in coverage.row:
            rank_of = (row.outcome, row.protein_a, row.protein_b, row.kind, row.rank)
            times[rank_of] += 1
            number = numbers.setdefault((*rank_of[:3], times[rank_of]), len(numbers))
            places.append((row.kind, number, row.rank - 1, SEGMENTS.pair_names.index(row.token)))
    ranked = {kind: np.full((len(numbers), most), -1, dtype=np.int64) for kind in (TOP, LOW)}
    for kind, number, rank, token in places:
        ranked[kind][number, rank] = token
    a_rows = np.array([coverage.row[protein_key(a)] for _, a, _, _ in numbers], dtype=np.int64)
    b_rows = np.array([coverage.row[protein_key(b)] for _, _, b, _ in numbers], dtype=np.int64)
    percent = coverage.percent
    both = np.concatenate([percent[a_rows], percent[b_rows]], axis=1)
    return RankedPairs(np.array([outcome for outcome, *_ in numbers], dtype=str), a_rows, b_rows, both, ranked)


def hit_rates(pairs: RankedPairs) -> Iterator[HitRate]:
    """Hit rates by outcome, kind, level and rank, in this order, each sorted."""
    for outcome in sorted(set(pairs.outcome.tolist())):
        for kind in (LOW, TOP):
            found = pairs.of_rank(kind)[pairs.outcome == outcome]
            there, k = ~np.isnan(found), found.shape[1]
            for level in HIT_LEVELS:
                hit = there & (found >= level)
                for rank in range(k):
                    yield HitRate(outcome, kind, level, str(rank + 1), _rates(hit[:, rank], there[:, rank]))
                yield HitRate(outcome, kind, level, f"any_of_{k}", _rates(np.any(hit, axis=1), np.any(there, axis=1)))


def _rates(hit: NDArray[np.bool_], there: NDArray[np.bool_]) -> list[float | None]:
    """By column, from (n, c)."""
    return [100 * int(h) / int(t) if t else None for h, t in zip(hit.sum(axis=0), there.sum(axis=0), strict=True)]
