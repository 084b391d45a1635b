"""What is measured of a set of segments of a pair, and what a set drawn at random from the same pair gives.

Of k segments, for each column of the coverage (any kind, and each kind): the mean covered percentage, the percentage
of them that is hit at each level, and whether any is hit (0 or 100).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from esm2_amp.explain.ranked_pairs import HIT_LEVELS, RankedPairs
from esm2_amp.io.segments import LOW, TOP
from esm2_amp.layout import N_SEGMENTS

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
MEASURES = ("coverage", *(f"hit_{level}" for level in HIT_LEVELS), *(f"any_{level}" for level in HIT_LEVELS))
_N_TOKENS = 2 * N_SEGMENTS


class SegmentSets:
    """Measures of sets of segments of n pairs.

    Args:
        pairs: the pairs. Segments without residues take part in nothing.
    """

    def __init__(self, pairs: RankedPairs) -> None:
        self._pairs = pairs
        self._absent = np.isnan(pairs.percent[:, :, 0])
        nothing = np.zeros((len(pairs), 1, pairs.percent.shape[2]))
        padded = np.concatenate([np.nan_to_num(pairs.percent), nothing], axis=1)  # so that segment -1 adds nothing
        self._flat = padded.reshape(-1, pairs.percent.shape[2])
        self._first = np.arange(len(pairs)) * padded.shape[1]
        self.chosen = {kind: self._present(pairs.ranked[kind]) for kind in (TOP, LOW)}
        self._k = {kind: (chosen >= 0).sum(axis=1) for kind, chosen in self.chosen.items()}

    def measure(self, chosen: Integers) -> Floats:
        """(n, measures, c) of the segments chosen from each pair (n, k), -1 for none; NaN where all are -1."""
        k = (chosen >= 0).sum(axis=1)[:, None]
        sums = [np.zeros((len(k), self._flat.shape[1])) for _ in range(1 + len(HIT_LEVELS))]
        for segment in chosen.T:
            percent = self._flat[self._first + segment % (_N_TOKENS + 1)]
            sums[0] += percent
            for hit, level in zip(sums[1:], HIT_LEVELS, strict=True):
                hit += percent >= level
        with np.errstate(invalid="ignore"):  # 0 / 0: nothing is chosen
            means = [sums[0] / k, *(100.0 * hit / k for hit in sums[1:])]
        return np.stack([*means, *(np.where(k > 0, 100.0 * (hit > 0), np.nan) for hit in sums[1:])], axis=1)

    def background(self, kind: str) -> Floats:
        """(n, measures, c): what as many random segments as the pair has ranked ones give on average.

        For "any" that is 1 - C(m - h, k) / C(m, k), where h of the m segments of a pair are hit.
        """
        k, m = self._k[kind], (~self._absent).sum(axis=1)[:, None]
        found = self.measure(self._present(np.broadcast_to(np.arange(_N_TOKENS), self._absent.shape)))
        for i, level in enumerate(HIT_LEVELS):
            h, missed = (self._pairs.percent >= level).sum(axis=1), np.ones((len(k), self._flat.shape[1]))
            for drawn in range(int(k.max(initial=0))):
                share = np.maximum(m - h - drawn, 0) / np.maximum(m - drawn, 1)
                missed = np.where(k[:, None] > drawn, missed * share, missed)
            found[:, 1 + len(HIT_LEVELS) + i] = 100.0 * (1.0 - missed)
        found[k == 0] = np.nan
        return found

    def drawn(self, draws: int, seed: int) -> Iterator[tuple[Floats, Floats]]:
        """Measures of as many top and low segments as there are, by ranks drawn at random, ``draws`` times.

        In each draw every segment of every protein gets a random value, and each pair ranks its segments by them. So
        the ranks of one pair are drawn evenly, and pairs that share a protein are as alike as they can be.
        """
        rng = np.random.default_rng((seed, 1))  # another stream than that of the intervals
        a, b, m = self._pairs.a, self._pairs.b, (~self._absent).sum(axis=1)[:, None]
        proteins, twice = int(max(a.max(initial=0), b.max(initial=0))) + 1, np.flatnonzero(a == b)
        rank = np.arange(next(iter(self.chosen.values())).shape[1])
        for _ in range(draws):
            value = rng.random((proteins, N_SEGMENTS))
            values = np.concatenate([value[a], value[b]], axis=1)
            values[twice, N_SEGMENTS:] = rng.random((twice.size, N_SEGMENTS))
            values[self._absent] = 2.0  # behind all others
            order = values.argsort(axis=1)
            last = np.take_along_axis(order, np.maximum(m - 1 - rank, 0), axis=1)
            top = np.where(rank < self._k[TOP][:, None], order[:, : len(rank)], -1)
            yield self.measure(top), self.measure(np.where(rank < self._k[LOW][:, None], last, -1))

    def _present(self, chosen: Integers) -> Integers:
        """The same with -1 for segments without residues."""
        absent = np.take_along_axis(self._absent, np.maximum(chosen, 0), axis=1)
        return np.where(absent, -1, chosen)
