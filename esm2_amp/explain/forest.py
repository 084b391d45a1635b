"""A random forest of two classes as plain arrays: small, fast, and without pickles.

The arrays predict what scikit-learn's forest predicts, feed :mod:`esm2_amp.explain.tree_shap`, and are checked
whenever they come from a file, since a kernel follows their indices without looking.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from sklearn.ensemble import RandomForestClassifier

from esm2_amp.errors import InputError
from esm2_amp.io.atomic import atomic_path

FORMAT = "esm2-amp forest 1"
_REMEDY = "Take the file from where it was written, or fit the forest again."
_KINDS = dict.fromkeys(("left", "right", "feature"), np.int32) | {"offsets": np.int64}


@dataclass(frozen=True, eq=False)
class Forest:
    """N nodes of all trees, one tree after the other, each from its root on; children come behind their parents.

    A row goes left where ``x[feature] <= threshold``, with x in float32; a forest's probability is the mean of its
    trees'.
    """

    left: NDArray[np.int32]
    """(N,) left child, counted from the tree's root; -1 at a leaf."""
    right: NDArray[np.int32]
    """(N,) right child; -1 at a leaf."""
    feature: NDArray[np.int32]
    """(N,) feature that is compared; -1 at a leaf."""
    threshold: NDArray[np.float64]
    """(N,) what it is compared with; 0 at a leaf."""
    cover: NDArray[np.float64]
    """(N,) weight of the training rows that reached the node."""
    value: NDArray[np.float64]
    """(N,) share of the interacting class among them."""
    offsets: NDArray[np.int64]
    """(trees + 1,) where each tree begins, and the end."""
    features: int
    """F, length of the vectors the forest reads."""

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Every array by its name."""
        return {field.name: getattr(self, field.name) for field in fields(self) if field.name != "features"}

    def tree(self, number: int) -> tuple[NDArray[Any], ...]:
        """One tree: left, right, feature, threshold, cover, value."""
        part = slice(self.offsets[number], self.offsets[number + 1])
        return tuple(array[part] for array in list(self.arrays().values())[:-1])

    def predict(self, x: ArrayLike) -> NDArray[np.float64]:
        """Probability (n,) of the interacting class for (n, F) rows; see :meth:`rows`."""
        total = _sum_of_trees(
            self.left, self.right, self.feature, self.threshold, self.value, self.offsets, self.rows(x)
        )
        return total / len(self)

    def rows(self, x: ArrayLike) -> NDArray[np.float32]:
        """Check and round rows to float32, as scikit-learn does before it compares.

        Raises:
            ValueError: not (n, F), or values that are not finite.
        """
        rows = np.ascontiguousarray(x, dtype=np.float32)
        if rows.ndim != 2 or rows.shape[1] != self.features:
            raise ValueError(f"rows of shape {rows.shape}, but the forest reads (n, {self.features})")
        if not np.isfinite(rows).all():
            raise ValueError("rows hold values that are not finite")
        return rows

    def gini(self) -> NDArray[np.float64]:
        """Gini importances (F,): the share of each feature in the fall of Gini impurity, averaged over trees, sum 1.

        Zeros where no tree has a split (Breiman 2001, doi 10.1023/A:1010933404324; scikit-learn's definition).
        """
        impurity = self.cover * 2 * self.value * (1 - self.value)
        inner = np.flatnonzero(self.left >= 0)
        number = np.repeat(np.arange(len(self)), np.diff(self.offsets))[inner]
        base = self.offsets[number]
        fall = impurity[inner] - impurity[base + self.left[inner]] - impurity[base + self.right[inner]]
        of_tree = np.bincount(number, fall, len(self))
        share = np.divide(fall, of_tree[number], out=np.zeros_like(fall), where=of_tree[number] > 0)
        total = np.bincount(self.feature[inner], share, self.features).astype(np.float64)
        return total / (total.sum() or 1.0)

    def save(self, file: str | Path) -> None:
        """Write a safetensors file, whole or not at all."""
        with atomic_path(file) as path:
            save_file(self.arrays(), path, {"format": FORMAT, "features": str(self.features)})


def from_classifier(classifier: RandomForestClassifier) -> Forest:
    """The arrays of a fitted forest of the classes 0 and 1."""
    trees = [estimator.tree_ for estimator in classifier.estimators_]
    left, right = (np.concatenate([getattr(tree, f"children_{side}") for tree in trees]) for side in ("left", "right"))
    inner = left >= 0

    def joined(name: str) -> NDArray[Any]:
        return np.concatenate([getattr(tree, name) for tree in trees])

    return Forest(
        left=left.astype(np.int32),
        right=right.astype(np.int32),
        feature=np.where(inner, joined("feature"), -1).astype(np.int32),
        threshold=np.where(inner, joined("threshold"), 0.0),
        cover=joined("weighted_n_node_samples").astype(np.float64),
        value=np.concatenate([tree.value[:, 0, 1] for tree in trees]),
        offsets=np.cumsum([0, *(tree.node_count for tree in trees)], dtype=np.int64),
        features=int(classifier.n_features_in_),
    )


def load_forest(file: str | Path) -> Forest:
    """Read what :meth:`Forest.save` wrote; nothing in it is executed.

    Raises:
        InputError: no such file, another format, or arrays that are no forest (see :func:`check_forest`).
    """
    try:
        with safe_open(file, framework="numpy") as stream:
            about = stream.metadata() or {}
            arrays = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118 - it is no mapping
    except FileNotFoundError:
        raise InputError("there is no such file", file=file) from None
    except (SafetensorError, OSError, TypeError) as error:
        raise InputError(f"damaged forest ({error})", file=file, remedy=_REMEDY) from error
    features = about.get("features", "")
    if about.get("format") != FORMAT or not features.isdecimal() or len(features) > 9:
        raise InputError("not a forest of this version of ESM2-AMP", file=file, remedy=_REMEDY)
    expected = {field.name: _KINDS.get(field.name, np.float64) for field in fields(Forest) if field.name != "features"}
    if wrong := sorted(set(expected) ^ set(arrays)):
        raise InputError(f"damaged forest: array {wrong[0]!r} is missing or unknown", file=file, remedy=_REMEDY)
    for name, kind in expected.items():
        if arrays[name].dtype != kind or arrays[name].ndim != 1:
            found = f"{arrays[name].dtype} with {arrays[name].ndim} dimensions"
            raise InputError(f"damaged forest: array {name!r} is {found}", file=file, remedy=_REMEDY)
    forest = Forest(**arrays, features=int(features))
    check_forest(forest, file)
    return forest


def check_forest(forest: Forest, file: str | Path) -> None:
    """Refuse arrays that are no forest, by name: after this, every index a kernel follows lies within its tree.

    Raises:
        InputError: naming the first thing that is wrong.
    """
    for wrong, what in _faults(forest):
        if wrong:
            raise InputError(f"damaged forest: {what}", file=file, remedy=_REMEDY)


def _faults(forest: Forest) -> Iterator[tuple[bool, str]]:
    """(is it so, what) in an order in which each may rely on those before."""
    offsets, left, right, nodes = forest.offsets, forest.left, forest.right, len(forest.left)
    yield any(len(array) != nodes for name, array in forest.arrays().items() if name != "offsets"), "unequal lengths"
    ends = len(offsets) > 1 and offsets[0] == 0 and offsets[-1] == nodes and (np.diff(offsets) > 0).all()
    yield not ends, "the trees do not divide the nodes"
    for name in ("threshold", "cover", "value"):
        yield not np.isfinite(getattr(forest, name)).all(), f"{name} holds values that are not finite"
    yield bool((forest.cover <= 0).any()), "a cover is not positive"
    yield bool((forest.value < 0).any() or (forest.value > 1).any()), "a value is no share"
    leaf = left == -1
    yield not (np.array_equal(leaf, right == -1) and np.array_equal(leaf, forest.feature == -1)), "half a leaf"
    base = np.repeat(offsets[:-1], np.diff(offsets))
    size = np.repeat(np.diff(offsets), np.diff(offsets))
    inner = np.flatnonzero(~leaf)
    here = inner - base[inner]
    for child in (left[inner], right[inner]):
        yield bool((child <= here).any() or (child >= size[inner]).any()), "a child lies before its parent or outside"
    children = np.concatenate((base[inner] + left[inner], base[inner] + right[inner]))
    once = np.bincount(children, minlength=nodes) == 1
    once[offsets[:-1]] = np.bincount(children, minlength=nodes)[offsets[:-1]] == 0
    yield not once.all(), "a node has no parent, or two"
    yield bool((forest.feature[inner] < 0).any() or (forest.feature[inner] >= forest.features).any()), "no such feature"
    both = forest.cover[base[inner] + left[inner]] + forest.cover[base[inner] + right[inner]]
    yield not np.allclose(both, forest.cover[inner], rtol=1e-6, atol=0), "covers of children do not add up"


@njit(nogil=True)
def _sum_of_trees(
    left: Any, right: Any, feature: Any, threshold: Any, value: Any, offsets: Any, x: Any
) -> Any:  # pragma: no cover - compiled
    total = np.zeros(len(x))
    for tree in range(len(offsets) - 1):
        root = offsets[tree]
        for row in range(len(x)):
            node = root
            while left[node] >= 0:
                node = root + (left[node] if x[row, feature[node]] <= threshold[node] else right[node])
            total[row] += value[node]
    return total
