"""One protocol for wherever vectors lie: here, in a folder with a faiss index, or in a database of many machines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from esm2_amp.errors import InputError
from esm2_amp.neighbours.index import Index
from esm2_amp.neighbours.ingest import write_vectors
from esm2_amp.neighbours.scores import Rows, Scores
from esm2_amp.neighbours.search import search
from esm2_amp.neighbours.vector_manifest import NAME
from esm2_amp.neighbours.vectors import Vectors, open_vectors

_COPIED_VALUES = 1 << 20


class Hit(NamedTuple):
    """A vector near a query: its id, and its cosine, inner product or distance."""

    id: str
    score: float


Hits = list[list[Hit]]
"""The hits of each query, nearest first."""


class VectorStore(Protocol):
    """Vectors with ids that can be searched; the same queries give the same hits wherever they lie.

    ``among``, where it is given, holds the only ids that may be hits.
    """

    def add(self, ids: Sequence[str], vectors: Scores) -> None:
        """Put m vectors (m, d) and their ids into it."""

    def count(self) -> int:
        """How many vectors it has."""

    def search(self, queries: Scores, k: int, among: Sequence[str] | None) -> Hits:
        """The k nearest of each query, (m, d) float32."""

    def search_ids(self, ids: Sequence[str], k: int, among: Sequence[str] | None) -> Hits:
        """The k nearest of each stored vector, which is no hit of itself."""


class LocalStore:
    """A folder of vectors on this machine, and perhaps its index; see :class:`VectorStore`.

    Args:
        folder: of the vectors; if there are none, :meth:`add` puts them there, all at once.
        index: of them; None: exact search.
        metric: cosine, ip or l2.
    """

    def __init__(self, folder: Path, index: Index | None, metric: str) -> None:
        self.folder, self._index, self._metric = folder, index, metric
        self._vectors: Vectors | None = open_vectors(folder) if (folder / NAME).exists() else None

    def add(self, ids: Sequence[str], vectors: Scores) -> None:
        """Put all vectors into the empty folder."""
        if self._vectors is not None:
            raise InputError("these vectors are complete", file=self.folder, remedy="Ingest all into a new folder.")
        self._vectors = write_vectors(self.folder, ids, vectors)

    def count(self) -> int:
        """How many vectors it has."""
        return 0 if self._vectors is None else self._vectors.n

    def search(self, queries: Scores, k: int, among: Sequence[str] | None) -> Hits:
        """The k nearest of each query, (m, d) float32."""
        return self._search(queries, k, among, None)

    def search_ids(self, ids: Sequence[str], k: int, among: Sequence[str] | None) -> Hits:
        """The k nearest of each stored vector, which is no hit of itself."""
        rows = self._opened().rows_of(ids)
        return self._search(self._opened().take(rows), k, among, rows)

    def _opened(self) -> Vectors:
        return self._vectors or open_vectors(self.folder)  # says what is missing

    def _search(self, queries: Scores, k: int, among: Sequence[str] | None, exclude: Rows | None) -> Hits:
        vectors, allowed = self._opened(), None
        if among is not None:
            allowed = np.zeros(vectors.n, bool)
            allowed[vectors.rows_of(among)] = True
        rows, scores = search(vectors, self._index, queries, k, self._metric, allowed=allowed, exclude=exclude)
        return [
            [Hit(vectors.id(int(row)), float(score)) for row, score in zip(*pair, strict=True) if row >= 0]
            for pair in zip(rows, scores, strict=True)
        ]


def copy_vectors(
    vectors: Vectors, store: VectorStore, begin: Callable[[int], None], advance: Callable[[int], None]
) -> None:
    """Add all vectors of a folder to a store that takes them block by block; run again, it repeats them."""
    begin(vectors.n)
    step = max(1, _COPIED_VALUES // vectors.dim)
    for start in range(0, vectors.n, step):
        stop = min(start + step, vectors.n)
        store.add(vectors.ids(range(start, stop)), vectors.block(start, stop))
        advance(stop - start)
