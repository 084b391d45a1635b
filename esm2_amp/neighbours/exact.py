"""Exact search: every vector is looked at, in blocks, and the result is that of brute force in float64."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from esm2_amp.neighbours.scores import Best, Rows, Scores, closeness
from esm2_amp.neighbours.vectors import Vectors

_BLOCK_VALUES = 1 << 23
"""Values of a block of vectors: 32 MiB as float32."""
_QUERIES = 256
"""Queries of one matrix product."""


def scan(vectors: Vectors, queries: Scores, k: int, metric: str, rows: Rows | None, exclude: Rows | None) -> Best:
    """The k closest vectors of each query.

    A block is multiplied with the queries in float32; what could be among the best, given how wrong such a product
    can be, is scored again in float64. So the result does not depend on the blocks, and ties go to the lower row.

    Args:
        vectors: n of d dimensions.
        queries: (m, d) float32.
        k: how many, at most n.
        metric: one of :data:`esm2_amp.neighbours.scores.METRICS`.
        rows: ascending rows to choose from; None: all.
        exclude: (m,) a row that is no hit of the query, -1 for none; None: none at all.
    """
    best = Best(len(queries), k)
    lengths = np.linalg.norm(queries, axis=1)
    for ids, block in _blocks(vectors, rows):
        norms = np.sqrt(np.einsum("nd,nd->n", block, block))
        for start in range(0, len(queries), _QUERIES):
            part = slice(start, start + _QUERIES)
            rough, error = _rough(block, norms, queries[part], lengths[part], metric)
            if exclude is not None:
                _leave_out(rough, ids, exclude[part])
            worst = best.scores[part, -1]
            for query, at in _promising(rough, error, -(worst**2) if metric == "l2" else worst, k):
                best.add(start + query, ids[at], closeness(block[at], queries[start + query], metric))
        vectors.release()
    return best


def _blocks(vectors: Vectors, rows: Rows | None) -> Iterator[tuple[Rows, Scores]]:
    """Row numbers and vectors, float32, block by block."""
    step = max(1, _BLOCK_VALUES // vectors.dim)
    for start in range(0, vectors.n if rows is None else len(rows), step):
        if rows is None:
            stop = min(start + step, vectors.n)
            yield np.arange(start, stop), vectors.block(start, stop)
        else:
            yield rows[start : start + step], vectors.take(rows[start : start + step])


def _rough(
    block: Scores, norms: Scores, queries: Scores, lengths: Scores, metric: str
) -> tuple[Scores, NDArray[np.float64]]:
    """Closeness (m, rows) in float32, for l2 minus the squared distance, and a bound of its error for each query (m,).

    A sum of d products of float32 is wrong by less than d 2^-24 times the product of the lengths (Higham, Accuracy
    and Stability of Numerical Algorithms, section 3.1), here doubled for the other roundings.
    """
    unit = (block.shape[1] + 8) * 2.0**-23
    products = queries @ block.T
    longest = float(norms.max())
    if metric == "ip":
        return products, unit * longest * lengths.astype(np.float64)
    if metric == "l2":
        products *= 2
        products -= norms**2
        products -= lengths[:, None] ** 2
        return products, unit * (longest + lengths.astype(np.float64)) ** 2
    with np.errstate(divide="ignore", invalid="ignore"):
        products /= norms
        products /= lengths[:, None]
    products[:, norms == 0] = -np.inf
    products[lengths == 0] = -np.inf
    return products, np.full(len(queries), unit)


def _leave_out(rough: Scores, ids: Rows, exclude: Rows) -> None:
    place = np.minimum(np.searchsorted(ids, exclude), len(ids) - 1)
    query = np.flatnonzero(ids[place] == exclude)
    rough[query, place[query]] = -np.inf


def _promising(
    rough: Scores, error: NDArray[np.float64], worst: Scores, k: int
) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Each query with columns that may be among its k best, given its k-th best so far; and these columns."""
    bound = worst.astype(np.float64)
    if rough.shape[1] > k and np.isneginf(bound).any():
        bound = np.maximum(bound, np.partition(rough, -k, axis=1)[:, -k] - error)
    hopeful = (rough >= (bound - error)[:, None]) & (rough > -np.inf)
    for query in np.flatnonzero(hopeful.any(axis=1)):
        yield int(query), np.flatnonzero(hopeful[query])
