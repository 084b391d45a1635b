"""Queries about a folder of vectors by name: what is similar, which pairs are analogous, which are closest."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from esm2_amp.errors import InputError
from esm2_amp.neighbours.answers import ANALOGY, CLOSEST, SIMILAR, Answer
from esm2_amp.neighbours.catalogue import Catalogue
from esm2_amp.neighbours.vectors import Vectors, open_vectors

if TYPE_CHECKING:
    from esm2_amp.neighbours.index import Index
    from esm2_amp.neighbours.vector_store import VectorStore

INDEX = "index"
"""Folder of the index, within that of the vectors."""
Operation = Literal["difference", "sum"]
Metric = Literal["cosine", "ip", "l2"]
METRICS: tuple[Metric, ...] = ("cosine", "ip", "l2")
OPERATIONS: tuple[Operation, ...] = ("difference", "sum")
Rows = NDArray[np.int64]
Allowed = NDArray[np.bool_] | None
Values = NDArray[np.float32]
Step = Callable[[int], None]


@dataclass(frozen=True, eq=False)
class Asked:
    """Queries for :meth:`Neighbours.similar`.

    Attributes:
        names: of m queries.
        rows: (m,) which stored vector each is, -1 where it is none.
        vectors: (m, d).
    """

    names: Sequence[str]
    rows: Rows
    vectors: Values


class Neighbours:
    """A folder of vectors with its index and its metadata, where there are such: open it once, ask often.

    Args:
        folder: made by :func:`~esm2_amp.neighbours.ingest.ingest`.
        exact: search without the index, even if there is one.
        link: see :class:`~esm2_amp.neighbours.catalogue.Catalogue`.
        threads: of the search through an index.
        memory: bytes that the vectors of an analogy query may take; None: as many as they are.
        store: opens, for a metric, the database that also has these vectors and is asked for similar ones; None: none.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        exact: bool = False,
        link: str | None = None,
        threads: int = 1,
        memory: float | None = None,
        store: Callable[[Vectors, str], VectorStore] | None = None,
    ) -> None:
        self.vectors: Vectors = open_vectors(folder)
        self.names = Catalogue(self.vectors, link)
        self.memory = memory
        self._store = store
        self._stores: dict[str, VectorStore] = {}
        self.index = None if exact or store is not None else self._opened(threads)
        self.said = self._said(exact)
        self._held: tuple[Rows, Values] | None = None
        self._reaches: dict[str, Values | None] = {}

    def _opened(self, threads: int) -> Index | None:
        if not (self.vectors.folder / INDEX / "card.json").exists():
            return None
        from esm2_amp.neighbours.index import open_index  # faiss comes with it

        return open_index(self.vectors.folder / INDEX, self.vectors, threads)

    def _said(self, exact: bool) -> str:
        """How these vectors are searched."""
        if self._store is not None:
            return "Similar vectors are asked of a database; analogies and closest pairs are found here, exactly."
        if self.index is None:
            return "Exact search" + (", without the index." if exact else ": every vector is looked at.")
        card, measured = self.index.card, self.index.card.measured
        found = "its recall was not measured: esm2-amp neighbours recall measures it"
        if measured is not None:
            found = f"it found {measured.recall:.1%} of the true {measured.k} nearest of {measured.queries} vectors"
        return f"Index {card.factory}; {found}."

    def named(self, names: Sequence[str]) -> Asked:
        """Stored vectors as queries, by id or alias.

        Raises:
            InputError: no name at all, or one that is unknown or that several vectors have.
        """
        if not names:
            raise InputError("no name is given", remedy="Name one vector or more.")
        rows = self.names.rows_of(names)
        return Asked(names, rows, self.vectors.take(rows))

    def similar(
        self,
        asked: Asked | Sequence[str],
        k: int,
        *,
        metric: str,
        allowed: Allowed = None,
        candidates: int | None = None,
        nprobe: int | None = None,
    ) -> Answer:
        """The k nearest stored vectors of each query, best first; a stored vector is not its own neighbour.

        Args:
            asked: m queries, or the names of stored vectors.
            k: how many for each, or fewer where there are not so many.
            metric: cosine, ip or l2.
            allowed: (n,) which stored vectors may be found; None: all.
            candidates: how many of the index's hits are compared exactly; None: the index's own default.
            nprobe: how many lists of the index are searched; None: the index's own default.
        """
        asked = asked if isinstance(asked, Asked) else self.named(asked)
        width = asked.vectors.shape[1]
        if width != self.vectors.dim:
            raise InputError(
                f"the queries have {width} dimensions, the vectors {self.vectors.dim}",
                file=self.vectors.folder,
                remedy="Ask with vectors of the same encoder and token.",
            )
        rows, scores = self._search(asked, k, metric, allowed, candidates, nprobe)
        query, place = np.nonzero(rows >= 0)
        found = np.stack([asked.rows[query], rows[query, place]], axis=1)
        ids = self.vectors.ids(found[:, 1])
        names = [(asked.names[i], hit) for i, hit in zip(query.tolist(), ids, strict=True)]
        stored = np.flatnonzero(asked.rows >= 0)
        lonely = np.flatnonzero((rows < 0).all(axis=1)).tolist()
        outside = {asked.names[i]: asked.vectors[i] for i in np.flatnonzero(asked.rows < 0).tolist()}
        notes = self.names.translations([asked.names[i] for i in stored.tolist()], asked.rows[stored])
        notes += [f"Nothing is similar to {asked.names[i]}: {self._why(asked.vectors[i], metric)}" for i in lonely]
        return Answer(
            SIMILAR, names, found, np.ones(len(names), np.int64), scores[query, place], metric, notes, None, outside
        )

    def analogy(
        self,
        names: Sequence[str],
        k: int,
        *,
        op: Operation,
        max_similarity: float | None = None,
        allowed: Allowed = None,
        advance: Step | None = None,
    ) -> Answer:
        """Analogies of one name, of a pair, or the completion of three.

        (a): the best b, c, d; (a, b): the best c, d; (a, b, c): the best d. Best is the highest cosine of
        x_a - x_b and x_c - x_d, or of the sums. The four are different vectors.

        Args:
            names: one to three, by id or alias.
            k: how many.
            op: difference or sum.
            max_similarity: drop c with cos(a, c) above it and d with cos(b, d) above it; None: none.
            allowed: (n,) which stored vectors may be found; None: all.
            advance: told how many vectors are done, all of them for each query.
        """
        from esm2_amp.neighbours.analogies import analogies_of_one, analogies_of_pair, completions

        if not 1 <= len(names) <= 3:
            raise InputError(f"{len(names)} names are given", remedy="An analogy is of one name, of two, or of three.")
        given = self.names.rows_of(names)
        self._check_analogy(names, given, op)
        rows, vectors = self._matrix(allowed, given)
        places: list[int] = np.searchsorted(rows, given).tolist()
        a = places[0]
        if len(places) == 1:
            found = analogies_of_one(vectors, a, k, max_similarity, op, advance)
        elif len(places) == 2:
            reach = self._reach(vectors, op)
            found = analogies_of_pair(vectors, a, places[1], k, max_similarity, op, reach, advance)
        else:
            found = completions(vectors, a, places[1], places[2], k, max_similarity, op)
        four = rows[np.stack([np.full(len(found.score), a, np.int64), found.b, found.c, found.d], axis=1)]
        notes = self.names.translations(names, given)
        if not len(four):
            notes.append(f"No analogy of {' and '.join(names)} was found.")
        given_each = np.full(len(four), len(given), np.int64)
        return Answer(ANALOGY, self._ids(four), four, given_each, found.score, "cosine", notes)

    def closest(self, k: int, *, metric: Metric, allowed: Allowed = None, advance: Step | None = None) -> Answer:
        """The k nearest pairs of all stored vectors, or of the allowed ones, best first; each pair once."""
        from esm2_amp.neighbours.closest_pairs import closest_pairs

        rows = None if allowed is None else np.flatnonzero(allowed)
        n = self.vectors.n if rows is None else len(rows)

        def block(start: int, stop: int) -> Values:
            return self.vectors.block(start, stop) if rows is None else self.vectors.take(rows[start:stop])

        a, b, scores = closest_pairs(block, n, self.vectors.dim, k, metric, advance)
        pairs = np.stack([a, b], axis=1) if rows is None else rows[np.stack([a, b], axis=1)]
        notes = [] if len(pairs) else ["There is no pair."]
        return Answer(CLOSEST, self._ids(pairs), pairs, np.zeros(len(pairs), np.int64), scores, metric, notes)

    def _search(
        self, asked: Asked, k: int, metric: str, allowed: Allowed, candidates: int | None, nprobe: int | None
    ) -> tuple[Rows, NDArray[np.float64]]:
        if self._store is not None:
            return self._asked_of_store(asked, k, metric, allowed)
        from esm2_amp.neighbours.search import search

        rows, scores = search(
            self.vectors, self.index, asked.vectors, k, metric, candidates, nprobe, allowed, asked.rows
        )
        return rows, scores.astype(np.float64)

    def _asked_of_store(self, asked: Asked, k: int, metric: str, allowed: Allowed) -> tuple[Rows, NDArray[np.float64]]:
        if self._store is not None and metric not in self._stores:
            self._stores[metric] = self._store(self.vectors, metric)
        store, among = self._stores[metric], None if allowed is None else self.vectors.ids(np.flatnonzero(allowed))
        rows, scores = np.full((len(asked.names), k), -1, np.int64), np.full((len(asked.names), k), np.nan)
        for i, row in enumerate(asked.rows.tolist()):
            if row >= 0:
                (hits,) = store.search_ids([self.vectors.id(row)], k, among)
            else:
                (hits,) = store.search(asked.vectors[i : i + 1], k, among)
            found = self.vectors.rows_of([hit.id for hit in hits])  # refuses a database of other vectors
            rows[i, : len(hits)], scores[i, : len(hits)] = found, [hit.score for hit in hits]
        return rows, scores

    def _ids(self, rows: Rows) -> list[tuple[str, ...]]:
        """Ids of (r, c) rows, each looked up once."""
        unique = np.unique(rows).tolist()
        ids = dict(zip(unique, self.vectors.ids(unique), strict=True))
        return [tuple(ids[row] for row in line) for line in rows.tolist()]

    def _matrix(self, allowed: Allowed, given: Rows) -> tuple[Rows, Values]:
        """The vectors of an analogy query in memory, and which rows they are, ascending."""
        count = self.vectors.n if allowed is None else int(allowed.sum()) + len(given)
        need = count * self.vectors.dim * 4
        if self.memory is not None and need > self.memory:
            raise InputError(
                f"analogies among {count:,} vectors hold {need / 1e9:,.1f} GB in memory, and {self.memory / 1e9:,.1f} "
                "GB are allowed",
                remedy="Choose among fewer with filter=, or raise memory_gb.",
            )
        rows = np.arange(self.vectors.n) if allowed is None else np.union1d(np.flatnonzero(allowed), given)
        if self._held is None or not np.array_equal(rows, self._held[0]):
            self._held, self._reaches = (rows, self.vectors.take(rows)), {}
        return self._held

    def _reach(self, vectors: Values, op: Operation) -> Values | None:
        """What makes every pair query after the first one faster; it costs as much as one or two queries."""
        from esm2_amp.neighbours.reach import nearest_distances

        if op in self._reaches and self._reaches[op] is None:
            self._reaches[op] = nearest_distances(vectors, op)
        return self._reaches.setdefault(op, None)

    def _check_analogy(self, names: Sequence[str], given: Rows, op: str) -> None:
        """Refuse by name what has no analogies."""
        if len(set(given.tolist())) < len(given):
            raise InputError(
                f"{' and '.join(map(repr, names))} are not different vectors", remedy="Name different ones."
            )
        if len(given) < 2:
            return
        two = self.vectors.take(given[:2])
        if np.array_equal(two[0], two[1] if op == "difference" else -two[1]):
            raise InputError(
                f"{names[0]!r} and {names[1]!r} have {'equal' if op == 'difference' else 'opposite'} vectors: their "
                f"{op} is zero and has no direction",
                remedy="Name another pair.",
            )

    def _why(self, vector: Values, metric: str) -> str:
        if metric == "cosine" and not vector.any():
            return "its vector is zero, and has no cosine."
        return "no other vector is allowed."


def operation(name: str) -> Operation:
    """The operation of a name.

    Raises:
        InputError: there is none.
    """
    for known in OPERATIONS:
        if name == known:
            return known
    raise InputError(f"op is {name!r}", remedy=f"Use {' or '.join(OPERATIONS)}.")


def metric(name: str) -> Metric:
    """The metric of a name.

    Raises:
        InputError: there is none.
    """
    for known in METRICS:
        if name == known:
            return known
    raise InputError(f"metric is {name!r}", remedy=f"Use {', '.join(METRICS)}.")
