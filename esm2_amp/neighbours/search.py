"""The nearest vectors of queries: exact, or through an index and then scored exactly."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from esm2_amp.errors import InputError
from esm2_amp.neighbours.exact import scan
from esm2_amp.neighbours.index import Index
from esm2_amp.neighbours.scores import Best, Rows, Scores, check_metric, closeness
from esm2_amp.neighbours.vectors import Vectors

_SCANNED_VALUES = 1 << 26
"""A selection of vectors with fewer values than this is scanned rather than searched for in the index."""
_RELEASED = 16
"""Queries whose candidates may be mapped at a time."""
_CANDIDATES = 100
_CANDIDATES_PER_HIT = 10


def search(
    vectors: Vectors,
    index: Index | None,
    queries: Scores,
    k: int,
    metric: str,
    candidates: int | None = None,
    nprobe: int | None = None,
    allowed: NDArray[np.bool_] | None = None,
    exclude: Rows | None = None,
) -> tuple[Rows, Scores]:
    """The k nearest vectors of each query, nearest first; of equally near ones the lower row first.

    Without an index every vector is looked at. With one, faiss names candidates by their angle to the query, and these
    are scored exactly from the float16 map in the metric asked for; a few allowed vectors are scanned instead, and so
    are all allowed ones for a query that has fewer than k hits among its candidates.

    Args:
        vectors: n of d dimensions.
        index: of these vectors; None: exact search.
        queries: (m, d) float32, finite.
        k: hits of a query.
        metric: cosine, ip (inner product) or l2 (Euclidean distance).
        candidates: how many the index gives for a query; None: as measured and kept in the index's card, otherwise
            100 or 10 k, whichever is more.
        nprobe: how many lists of the index are looked through; None: as measured, otherwise as its card says.
        allowed: (n,) True for rows that may be hits; None: all.
        exclude: (m,) a row that is no hit of the query, such as the query itself; -1 for none.

    Returns:
        Rows (m, k) int64 and scores (m, k) float32: cosine, inner product, or distance (not negated). Where there are
        fewer than k hits, row -1 and score NaN. A zero vector is never a hit by cosine, and a zero query has no hits.

    Raises:
        InputError: a shape or a number does not fit, a metric is unknown, or the index is of other vectors.
    """
    queries = _checked(vectors, index, queries, k, metric)
    rows = None if allowed is None else _selected(allowed, vectors.n)
    count = min(k, vectors.n)
    few = rows is not None and len(rows) * vectors.dim <= _SCANNED_VALUES
    if index is None or few:
        return scan(vectors, queries, count, metric, rows, exclude).result(metric, k)
    wanted = candidates or index.card.candidates(k) or max(_CANDIDATES, _CANDIDATES_PER_HIT * k)
    named = index.candidates(queries, max(wanted, k) + 1, nprobe, allowed)
    best = _scored(vectors, named, queries, count, metric, exclude)
    _complete(best, vectors, queries, metric, (rows, exclude))
    return best.result(metric, k)


def _checked(vectors: Vectors, index: Index | None, queries: Scores, k: int, metric: str) -> Scores:
    check_metric(metric)
    if k < 1:
        raise InputError(f"k is {k}", remedy="Ask for one hit or more.")
    if queries.ndim != 2 or queries.shape[1] != vectors.dim:
        raise InputError(
            f"queries of shape {queries.shape} for vectors of {vectors.dim} dimensions",
            remedy="A query must come from the encoder, and be of the tokens, that the vectors are of.",
        )
    if not np.isfinite(queries).all():
        raise InputError(f"query {int(np.argmin(np.isfinite(queries).all(axis=1))) + 1} has values that are not finite")
    if index is not None:
        index.check(vectors)
    return np.ascontiguousarray(queries, np.float32)


def _selected(allowed: NDArray[np.bool_], n: int) -> Rows:
    if allowed.shape != (n,):
        raise InputError(f"a filter of {allowed.shape} for {n} vectors")
    return np.flatnonzero(allowed)


def _scored(vectors: Vectors, named: Rows, queries: Scores, k: int, metric: str, exclude: Rows | None) -> Best:
    """The candidates (m, c) in exact order."""
    best = Best(len(queries), k)
    for query, candidates in enumerate(named):
        rows = np.sort(candidates[candidates >= 0])  # ascending: pages of the map are read in their order
        if exclude is not None:
            rows = rows[rows != exclude[query]]
        best.add(query, rows, closeness(vectors.take(rows), queries[query], metric))
        if query % _RELEASED == 0:
            vectors.release()
    return best


def _complete(
    best: Best, vectors: Vectors, queries: Scores, metric: str, choice: tuple[Rows | None, Rows | None]
) -> None:
    """Scan for the queries with fewer hits than there are: their lists held too few."""
    rows, exclude = choice
    reachable = np.full(len(queries), vectors.n if rows is None else len(rows))
    if exclude is not None:
        reachable -= exclude >= 0 if rows is None else np.isin(exclude, rows)
    short = np.flatnonzero((best.rows >= 0).sum(axis=1) < np.minimum(reachable, best.rows.shape[1]))
    if metric == "cosine":
        short = short[queries[short].any(axis=1)]
    if len(short):
        left_out = None if exclude is None else exclude[short]
        found = scan(vectors, queries[short], best.rows.shape[1], metric, rows, left_out)
        best.rows[short], best.scores[short] = found.rows, found.scores
