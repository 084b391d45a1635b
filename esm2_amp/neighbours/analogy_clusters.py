"""Kinds of analogies among those found: clusters of their steps, and how alike the steps are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from sklearn.cluster import KMeans

from esm2_amp.errors import InputError
from esm2_amp.evaluation.svg import INK, svg
from esm2_amp.neighbours.analogy_bounds import SIGNS, Operation
from esm2_amp.neighbours.best import Floats, Indices

_STARTS = 10
_SIZE = (6.2, 5.4)
_NAMED = 40


class AnalogyClusters(NamedTuple):
    """Clusters of steps, numbered by their size, the largest 0.

    Attributes:
        label: (m,) cluster of each step.
        order: (m,) the steps sorted by cluster, within one by the cosine with its mean.
        similarity: (m, m) cosines of the steps, in the order given, not sorted; 0 with a step of length zero.
    """

    label: Indices
    order: Indices
    similarity: Floats


def cluster_analogies(
    vectors: Floats, first: Indices, second: Indices, op: Operation, clusters: int, seed: int
) -> AnalogyClusters:
    """Cluster the steps x_first - x_second (or sums) by k-means of their directions.

    Steps are brought to length 1 before, as analogies are scored by cosines.

    Args:
        vectors: (n, d).
        first: (m,) rows.
        second: (m,) rows.
        op: difference or sum.
        clusters: how many, at most m; fewer where steps coincide.
        seed: of k-means.

    Raises:
        InputError: more clusters than steps, or fewer than 1.
    """
    if not 1 <= clusters <= first.size:
        raise InputError(f"{clusters} clusters of {first.size} analogies", remedy="Ask for fewer, but one at least.")
    steps = vectors[first].astype(np.float64) + SIGNS[op] * vectors[second].astype(np.float64)
    lengths = np.linalg.norm(steps, axis=1, keepdims=True)
    unit = np.divide(steps, lengths, out=np.zeros_like(steps), where=lengths > 0)
    count = min(clusters, len(np.unique(unit, axis=0)))
    means = KMeans(count, n_init=_STARTS, random_state=seed).fit(unit)
    sizes = np.bincount(means.labels_, minlength=count)
    rank = np.empty(count, np.int64)
    rank[np.argsort(-sizes, kind="stable")] = np.arange(count)
    label = rank[means.labels_]
    centre = means.cluster_centers_[means.labels_]
    close = np.einsum("ij,ij->i", unit, centre)  # within a cluster, ordered as the cosine with its mean
    return AnalogyClusters(label, np.lexsort((-close, label)), (unit @ unit.T).astype(np.float32))


def draw_similarity(name: str, found: AnalogyClusters, names: Sequence[str], alt: str) -> str:
    """The cosines as a heat map in the order of the clusters, with lines between these, as an SVG element.

    Args:
        name: of the figure, its own within a page.
        found: clusters.
        names: (m,) of the steps, in the order given; drawn where there are 40 or fewer.
        alt: what it shows, for who cannot see it.
    """
    order, size = found.order, len(found.order)
    borders = np.flatnonzero(np.diff(found.label[order])) + 0.5

    def draw(figure: Figure) -> None:
        axis = figure.subplots()
        axis.grid(visible=False)
        cells = axis.imshow(found.similarity[np.ix_(order, order)], vmin=-1, vmax=1, cmap="RdBu_r")
        for border in borders:
            axis.axhline(border, color=INK, linewidth=0.8)
            axis.axvline(border, color=INK, linewidth=0.8)
        shown = range(size) if size <= _NAMED else []
        axis.set_xticks([])
        axis.set_yticks(shown, [names[order[row]] for row in shown])
        figure.colorbar(cells, ax=axis, label="cosine of two steps", shrink=0.8)

    return svg(name, _SIZE, alt, draw)
