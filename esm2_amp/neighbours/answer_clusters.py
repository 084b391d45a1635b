"""Kinds of analogies in an answer: clusters of the steps from c to d, for a table and a page."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from esm2_amp.errors import InputError
from esm2_amp.neighbours.analogy_bounds import Operation
from esm2_amp.neighbours.analogy_clusters import cluster_analogies, draw_similarity
from esm2_amp.neighbours.answers import Answer
from esm2_amp.neighbours.markdown import shown
from esm2_amp.neighbours.page import PageFigure, drawing
from esm2_amp.neighbours.queries import Neighbours

MOST = 2000
"""Analogies that are clustered: all their cosines are computed and drawn."""
_ALT = "Heat map of the cosines between the steps of the analogies found, sorted by cluster."


def clustered(
    near: Neighbours, answer: Answer, op: Operation, clusters: int, seed: int
) -> tuple[Answer, PageFigure | None]:
    """The answer with a cluster for each row, and a heat map; as it was, without a map, where there are no rows.

    Args:
        near: what was asked.
        answer: analogies.
        op: what they compare.
        clusters: how many, or as many as there are rows.
        seed: of k-means.

    Raises:
        InputError: more analogies than can be drawn.
    """
    if len(answer) > MOST:
        raise InputError(
            f"{len(answer):,} analogies are too many for clusters", remedy=f"Ask for {MOST:,} or fewer with k."
        )
    if not len(answer):
        return answer, None
    rows, places = np.unique(answer.rows[:, 2:], return_inverse=True)
    pairs = places.reshape(len(answer), 2)
    vectors = near.vectors.take(rows)
    found = cluster_analogies(vectors, pairs[:, 0], pairs[:, 1], op, min(clusters, len(answer)), seed)
    sign = "-" if op == "difference" else "+"
    names = [shown(f"{c} {sign} {d}") for *_, c, d in answer.names]
    sizes = np.bincount(found.label)
    counted = ", ".join(f"cluster {i}: {size}" for i, size in enumerate(sizes.tolist()))
    caption = f"Cosines of the steps c {sign} d, sorted by cluster (k-means of their directions). {counted}."
    figure = PageFigure("Clusters", drawing(draw_similarity("clusters", found, names, _ALT)), caption)
    return replace(answer, clusters=found.label), figure
