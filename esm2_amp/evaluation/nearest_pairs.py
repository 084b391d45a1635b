"""How similar a pair of proteins is to the most similar of many known pairs, exactly and without listing them all."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

Floats = NDArray[np.float32]
Indices = NDArray[np.int64]

_ROWS = 512  # proteins of a block: its similarities to 10,000 known proteins are 20 MB
_CELLS = 1 << 20  # numbers of one step over pairs


class KnownPairs:
    """Known pairs, to be asked for the one most similar to a pair (A, B).

    The similarity of two pairs is the mean cosine s of their proteins, in the better of both orders:
    S((A, B), (C, D)) = max(s(A, C) + s(B, D), s(A, D) + s(B, C)) / 2. This is the joint similarity by which interologs
    are transferred (Yu et al. 2004, doi 10.1101/gr.1774904), with the arithmetic mean, as cosines may be negative.

    The maximum over all known pairs is max over D of (s(B, D) + best(A, D)) / 2, where best(A, D) is the largest
    s(A, C) over the partners C of D: with m known pairs of P proteins, O(m) for each A, then O(P) for each pair.

    Args:
        first: (m,) first proteins of the known pairs.
        second: (m,) second proteins.
        unit: (n_proteins, D) vectors of length 1 (or 0).
    """

    def __init__(self, first: Indices, second: Indices, unit: Floats) -> None:
        ends, partners = np.concatenate([first, second]), np.concatenate([second, first])
        size = (len(unit), len(unit))
        graph = csr_array((np.ones(ends.size, dtype=np.int8), (ends, partners)), shape=size)  # sums repetitions
        degree = np.diff(graph.indptr)
        self._proteins = np.flatnonzero(degree)
        number = np.zeros(len(unit), dtype=np.int64)
        number[self._proteins] = np.arange(self._proteins.size)
        self._partners = number[graph.indices]
        self._starts = graph.indptr[:-1][self._proteins]
        self._unit = unit
        self._vectors = unit[self._proteins]

    def similarity(self, a: Indices, b: Indices, advance: Callable[[int], object] | None = None) -> Floats:
        """(n,) similarity of each pair to the most similar known one, in [-1, 1]; -1 where none is known.

        Memory does not grow with n but for the result. ``advance`` is called with the number of pairs done.
        """
        found = np.full(a.size, -1, dtype=np.float32)
        order = np.lexsort((b, a))
        left, place = np.unique(a[order], return_inverse=True)
        for begin in range(0, left.size, _ROWS):
            block = left[begin : begin + _ROWS]
            pairs = order[slice(*np.searchsorted(place, [begin, begin + _ROWS]))]
            if self._proteins.size:
                best = self._best(block)
                self._fill(found, a, b, pairs, block, best)
            if advance is not None:
                advance(pairs.size)
        return found

    def _best(self, block: Indices) -> Floats:
        """(len(block), P): best(A, D) of every A of the block and every known protein D."""
        similar = self._unit[block] @ self._vectors.T
        best = np.empty_like(similar)
        for row, out in zip(similar, best, strict=True):
            np.maximum.reduceat(row[self._partners], self._starts, out=out)
        return best

    def _fill(self, found: Floats, a: Indices, b: Indices, pairs: Indices, block: Indices, best: Floats) -> None:
        """Write the similarities of ``pairs``, whose first proteins are in ``block``, into ``found``."""
        pairs = pairs[np.argsort(b[pairs], kind="stable")]
        right, place = np.unique(b[pairs], return_inverse=True)
        step = max(1, _CELLS // self._proteins.size)
        for begin in range(0, right.size, _ROWS):
            similar = self._unit[right[begin : begin + _ROWS]] @ self._vectors.T
            low, high = np.searchsorted(place, [begin, begin + _ROWS])
            for start in range(low, high, step):
                some = slice(start, min(start + step, high))
                both = similar[place[some] - begin]
                both += best[np.searchsorted(block, a[pairs[some]])]
                found[pairs[some]] = both.max(axis=1) / 2
