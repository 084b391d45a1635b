"""Exact path-dependent Tree SHAP of a :class:`~esm2_amp.explain.forest.Forest`, as a kernel over its arrays.

A tree is the sum of its leaves. A leaf of value v, whose path asks d distinct features, is the game
v(S) = v * prod_{k in S} o_k * prod_{k not in S} z_k, where o_k says whether x follows the path at feature k and z_k
is the share of training rows that do (Lundberg et al. 2020, doi 10.1038/s42256-019-0138-9, algorithm 2). Its Shapley
values are

    phi_j = v (o_j - z_j) * integral_0^1 prod_{k != j} [(1 - t) z_k + t o_k] dt,

the multilinear extension of the game along its diagonal (Owen 1972, doi 10.1287/mnsc.18.5.64). The integrand is a
polynomial of degree d - 1 in t, so Gauss-Legendre quadrature with ceil(d/2) nodes gives it exactly.

Compiled in memory at the first call of a process; nothing is cached on disk, where the package may not be writable.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numba import config, njit
from numpy.typing import ArrayLike, NDArray

from esm2_amp.explain.forest import Forest

BLOCK = 64
"""Rows that go through a leaf at once: enough for vector instructions, few enough for the processor's cache."""


class Paths(NamedTuple):
    """The leaves of a tree whose value is not zero, each with the distinct features on its path."""

    start: NDArray[np.int64]
    """(leaves + 1,) where each leaf's features begin among the following."""
    feature: NDArray[np.int32]
    low: NDArray[np.float64]
    """x follows the path at a feature where low < x <= high."""
    high: NDArray[np.float64]
    share: NDArray[np.float64]
    """z, the product of the cover ratios at the splits by this feature."""
    value: NDArray[np.float64]
    """(leaves,)"""


def tree_shap(forest: Forest, x: ArrayLike) -> tuple[NDArray[np.float64], float]:
    """Shapley values of the probability of the interacting class.

    Needs memory for twice the result, and for the paths of one tree.

    Args:
        forest: the explained one.
        x: (n, F) rows; rounded to float32, as the forest does.

    Returns:
        values (n, F) and the expected value: ``values.sum(1) + expected == forest.predict(x)``.

    Raises:
        ValueError: see :meth:`~esm2_amp.explain.forest.Forest.rows`.
    """
    if config.DISABLE_JIT:
        return tree_shap_by_shap(forest, x)
    rows = forest.rows(x)
    blocks = to_blocks(rows)
    values = np.zeros(blocks.shape)
    expected = 0.0
    for number in range(len(forest)):
        paths, of_tree = tree_paths(forest, number)
        add_values(paths, blocks, values)
        expected += of_tree / len(forest)
    values /= len(forest)
    return values.transpose(0, 2, 1).reshape(len(blocks) * BLOCK, forest.features)[: len(rows)], expected


def to_blocks(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n, F) rows as (blocks, F, BLOCK): the rows of a block side by side, zeros behind the last."""
    count = -(-len(rows) // BLOCK)
    padded = np.zeros((count * BLOCK, rows.shape[1]), np.float32)
    padded[: len(rows)] = rows
    return np.ascontiguousarray(padded.reshape(count, BLOCK, rows.shape[1]).transpose(0, 2, 1))


def tree_paths(forest: Forest, number: int) -> tuple[Paths, float]:
    """The paths of one tree, and what it predicts before anything is known of x: its leaves' mean by cover."""
    *paths, expected = _paths(*forest.tree(number))
    return Paths(*paths), expected


def add_values(paths: Paths, blocks: NDArray[np.float32], values: NDArray[np.float64]) -> None:
    """Add a tree's Shapley values to ``values`` (blocks, F, BLOCK) of the rows :func:`to_blocks` made blocks of."""
    if len(paths.feature):
        _add(paths, *_quadrature(int(np.diff(paths.start).max())), blocks, values)


def tree_shap_by_shap(forest: Forest, x: ArrayLike) -> tuple[NDArray[np.float64], float]:
    """The same by shap's TreeExplainer (tree_path_dependent), on the same arrays: slower, and written by others.

    Tests compare with it, and it serves where numba is told not to compile (``NUMBA_DISABLE_JIT``). Its differences
    cancel digit by digit in deep trees: beyond about 50 splits on a path its values are wrong, the kernel's are not.
    """
    import shap

    trees = []
    for number in range(len(forest)):
        left, right, feature, threshold, cover, value = forest.tree(number)
        trees.append({
            "children_left": left, "children_right": right, "children_default": right, "features": feature,
            "thresholds": threshold, "values": value[:, None] / len(forest), "node_sample_weight": cover,
        })  # fmt: skip
    model = {"trees": trees, "internal_dtype": np.float64, "input_dtype": np.float32}
    explainer = shap.TreeExplainer(model, feature_perturbation="tree_path_dependent")
    values = explainer.shap_values(forest.rows(x), check_additivity=False)
    return np.asarray(values), float(np.ravel(explainer.expected_value)[0])


@lru_cache
def _quadrature(most: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Nodes and weights on [0, 1], one row for every number of nodes up to ceil(most / 2)."""
    count = (most + 1) // 2
    nodes, weights = np.zeros((2, count, count))
    for row in range(count):
        t, w = np.polynomial.legendre.leggauss(row + 1)
        nodes[row, : row + 1], weights[row, : row + 1] = (t + 1) / 2, w / 2
    return nodes, weights


@njit(nogil=True)
def _parents(left: Any, right: Any) -> Any:  # pragma: no cover - compiled
    parent, depth = np.full(len(left), -1), np.zeros(len(left), np.int64)
    for node in range(len(left)):
        if left[node] >= 0:
            for child in (left[node], right[node]):
                parent[child], depth[child] = node, depth[node] + 1
    return parent, depth


@njit(nogil=True)
def _paths(
    left: Any, right: Any, feature: Any, threshold: Any, cover: Any, value: Any
) -> Any:  # pragma: no cover - compiled
    parent, depth = _parents(left, right)
    leaves = np.flatnonzero((left < 0) & (value != 0))
    start, steps = np.zeros(len(leaves) + 1, np.int64), depth[leaves].sum()
    features, low, high, share = np.empty(steps, np.int32), np.empty(steps), np.empty(steps), np.empty(steps)
    end, expected = 0, 0.0
    for leaf in range(len(leaves)):
        begin, child = end, leaves[leaf]
        while parent[child] >= 0:
            above = parent[child]
            k = begin
            while k < end and features[k] != feature[above]:
                k += 1
            if k == end:
                features[k], low[k], high[k], share[k] = feature[above], -np.inf, np.inf, 1.0
                end += 1
            share[k] *= cover[child] / cover[above]
            if child == left[above]:
                high[k] = min(high[k], threshold[above])
            else:
                low[k] = max(low[k], threshold[above])
            child = above
        start[leaf + 1] = end
        expected += value[leaves[leaf]] * share[begin:end].prod()
    return start, features[:end], low[:end], high[:end], share[:end], value[leaves], expected


# In the following every inner loop has a constant length and no slice: that halves the time to compile, and to run.


@njit(nogil=True)
def _add(paths: Any, nodes: Any, weights: Any, blocks: Any, values: Any) -> None:  # pragma: no cover - compiled
    most = len(nodes)
    follows, product = np.empty((2 * most, BLOCK)), np.empty((most, BLOCK))
    followed, missed = np.empty(BLOCK), np.empty(BLOCK)
    for block in range(len(blocks)):
        for leaf in range(len(paths.value)):
            begin, d = paths.start[leaf], paths.start[leaf + 1] - paths.start[leaf]
            t, w = nodes[(d + 1) // 2 - 1], weights[(d + 1) // 2 - 1]
            _follow(paths, begin, d, blocks[block], follows)
            _multiply(paths, begin, d, t, follows, product)
            # where x does not follow a feature, its factor is (1 - t) z and phi = -v z * integral has no z any more:
            # the same for all of them
            _integrate(-paths.value[leaf], 1.0, 0.0, d, t, w, product, missed)
            for k in range(d):
                z = paths.share[begin + k]
                _integrate(paths.value[leaf] * (1 - z), z, 1.0, d, t, w, product, followed)
                for r in range(BLOCK):
                    values[block, paths.feature[begin + k], r] += followed[r] if follows[k, r] > 0 else missed[r]


@njit(nogil=True)
def _follow(paths: Any, begin: Any, d: Any, block: Any, follows: Any) -> None:  # pragma: no cover - compiled
    """O of every feature of a leaf, for every row of a block."""
    for k in range(d):
        j, low, high = paths.feature[begin + k], paths.low[begin + k], paths.high[begin + k]
        for r in range(BLOCK):
            follows[k, r] = 1.0 if (block[j, r] > low) & (block[j, r] <= high) else 0.0


@njit(nogil=True)
def _multiply(
    paths: Any, begin: Any, d: Any, nodes: Any, follows: Any, product: Any
) -> None:  # pragma: no cover - compiled
    """prod_k [(1 - t) z_k + t o_k] at every node t."""
    for i in range((d + 1) // 2):
        for r in range(BLOCK):
            product[i, r] = 1.0
        for k in range(d):
            missing = (1 - nodes[i]) * paths.share[begin + k]
            for r in range(BLOCK):
                product[i, r] *= missing + nodes[i] * follows[k, r]


@njit(nogil=True)
def _integrate(
    scale: Any, share: Any, follows: Any, d: Any, nodes: Any, weights: Any, product: Any, integral: Any
) -> None:  # pragma: no cover - compiled
    """Scaled integral of the product without one factor, which is never zero."""
    for r in range(BLOCK):
        integral[r] = 0.0
    for i in range((d + 1) // 2):
        weight = scale * weights[i] / ((1 - nodes[i]) * share + nodes[i] * follows)
        for r in range(BLOCK):
            integral[r] += weight * product[i, r]
