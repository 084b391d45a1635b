"""Scores of vectors against a query, and the best of them: the one definition that every search ends with."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from esm2_amp.errors import InputError

METRICS = ("cosine", "ip", "l2")
"""Cosine of the angle, inner product, Euclidean distance."""

Rows = NDArray[np.int64]
Scores = NDArray[np.float32]
Values = NDArray[np.floating[Any]]


def check_metric(metric: str) -> None:
    """Refuse a metric that is not one of :data:`METRICS`."""
    if metric not in METRICS:
        raise InputError(f"no metric {metric!r}", remedy=f"Choose one of {', '.join(METRICS)}.")


def closeness(vectors: Values, query: Values, metric: str) -> NDArray[np.float64]:
    """How close c vectors are to a query, larger is closer: cosine, inner product, or minus the Euclidean distance.

    Computed in float64, each row by itself, so that equal rows get equal numbers wherever they stand.

    Args:
        vectors: (c, d).
        query: (d,).
        metric: one of :data:`METRICS`.

    Returns:
        (c,); minus infinity where a cosine is undefined, for a zero vector or query.
    """
    x, q = vectors.astype(np.float64), query.astype(np.float64)
    if metric == "l2":
        x -= q
        return -np.sqrt(np.einsum("cd,cd->c", x, x))
    products = np.einsum("cd,d->c", x, q)
    if metric == "ip":
        return products
    lengths = np.sqrt(np.einsum("cd,cd->c", x, x)) * np.sqrt(np.einsum("d,d->", q, q))
    return np.divide(products, lengths, out=np.full(len(x), -np.inf), where=lengths > 0)


class Best:
    """The k closest rows of each of m queries among those seen so far; of equally close ones the lower row.

    Attributes:
        rows: (m, k) int64, closest first, -1 where there are not so many.
        scores: (m, k) float32 closeness, minus infinity where there are not so many.
    """

    def __init__(self, queries: int, k: int) -> None:
        self.rows: Rows = np.full((queries, k), -1, np.int64)
        self.scores: Scores = np.full((queries, k), -np.inf, np.float32)

    def add(self, query: int, rows: Rows, scores: NDArray[np.float64]) -> None:
        """Let some rows, not seen before, take part for one query; a closeness of minus infinity never gets in."""
        k = self.rows.shape[1]
        all_rows = np.concatenate([self.rows[query], rows])
        all_scores = np.concatenate([self.scores[query], scores.astype(np.float32)])
        order = np.lexsort((all_rows, -all_scores))[:k]
        self.scores[query] = all_scores[order]
        self.rows[query] = np.where(np.isneginf(all_scores[order]), -1, all_rows[order])

    def result(self, metric: str, k: int) -> tuple[Rows, Scores]:
        """Rows and scores as a search returns them: NaN where there is no hit, distances positive; (m, k) each."""
        missing = ((0, 0), (0, k - self.rows.shape[1]))
        rows = np.pad(self.rows, missing, constant_values=-1)
        scores = np.pad(self.scores, missing, constant_values=np.nan)
        scores[rows < 0] = np.nan
        return rows, -scores + 0 if metric == "l2" else scores
