"""A forest as a scikit-learn model in a skops file, for exchange with others; nothing in such a file is executed."""

from __future__ import annotations

from pathlib import Path
from zipfile import BadZipFile, ZipFile

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier
from sklearn.tree import DecisionTreeClassifier
from sklearn.tree._tree import Tree
from skops.io import dump, get_untrusted_types, load

from esm2_amp.errors import InputError
from esm2_amp.explain.forest import Forest, check_forest, from_classifier
from esm2_amp.io.atomic import atomic_path

ALLOWED = ("sklearn.tree._tree.Tree",)
"""Types beyond those skops trusts by itself that may be in a file: a tree's arrays, checked by us."""
_REMEDY = "Give a random forest of the classes 0 and 1, written by skops."


def to_classifier(forest: Forest) -> RandomForestClassifier:
    """scikit-learn's forest of the same trees; it predicts the same."""
    classifier = RandomForestClassifier(len(forest))
    classifier.estimators_ = [_tree(forest, number) for number in range(len(forest))]
    classifier.estimator_ = DecisionTreeClassifier()
    classifier.classes_, classifier.n_classes_, classifier.n_outputs_ = np.array([0, 1]), 2, 1
    classifier.n_features_in_ = forest.features
    return classifier


def export_skops(forest: Forest, file: str | Path) -> None:
    """Write a forest for scikit-learn users, whole or not at all; they read it with :func:`skops.io.load`."""
    with atomic_path(file) as path:
        dump(to_classifier(forest), path)


def import_skops(file: str | Path) -> Forest:
    """Read a random forest of the classes 0 and 1 that skops wrote.

    Raises:
        InputError: no skops file, a type that is not allowed, another model, or trees that are damaged (see
            :func:`~esm2_amp.explain.forest.check_forest`).
    """
    try:
        with ZipFile(file) as archive:
            if "schema.json" not in archive.namelist():
                raise InputError("not a skops file", file=file, remedy=_REMEDY)
        if strange := sorted(set(get_untrusted_types(file=file)) - set(ALLOWED)):
            raise InputError(f"the file holds the type {strange[0]}, which is not allowed", file=file, remedy=_REMEDY)
        model = load(file, trusted=list(ALLOWED))
        if not isinstance(model, RandomForestClassifier):
            raise InputError(f"the file holds a {type(model).__name__}", file=file, remedy=_REMEDY)
        if not np.array_equal(model.classes_, [0, 1]):
            raise InputError("the forest's classes are not 0 and 1", file=file, remedy=_REMEDY)
        forest = from_classifier(model)
    except FileNotFoundError:
        raise InputError("there is no such file", file=file) from None
    except (BadZipFile, OSError, KeyError, ValueError, TypeError, AttributeError, IndexError, ImportError) as error:
        # whatever a damaged file makes of scikit-learn's objects
        raise InputError(f"damaged skops file ({error})", file=file, remedy=_REMEDY) from error
    check_forest(forest, file)
    return forest


def _tree(forest: Forest, number: int) -> DecisionTreeClassifier:
    left, right, feature, threshold, cover, value = forest.tree(number)
    parents = np.full(len(left), -1)
    inner = np.flatnonzero(left >= 0)
    parents[left[inner]] = parents[right[inner]] = inner
    tree = Tree(forest.features, np.array([2]), 1)
    nodes = np.zeros(len(left), dtype=tree.__getstate__()["nodes"].dtype)
    nodes["left_child"], nodes["right_child"] = left, right
    nodes["feature"], nodes["threshold"] = np.where(left < 0, -2, feature), np.where(left < 0, -2, threshold)
    nodes["impurity"] = 2 * value * (1 - value)
    nodes["weighted_n_node_samples"] = cover
    nodes["n_node_samples"] = np.maximum(1, np.rint(cover))
    shares = np.stack((1 - value, value), axis=1)[:, None, :]
    state = {"max_depth": _depth(parents), "node_count": len(left), "nodes": nodes, "values": shares}
    tree.__setstate__(state)
    classifier = DecisionTreeClassifier()
    classifier.tree_, classifier.n_features_in_, classifier.max_features_ = tree, forest.features, forest.features
    classifier.classes_, classifier.n_classes_, classifier.n_outputs_ = np.array([0, 1]), 2, 1
    return classifier


def _depth(parents: NDArray[np.int64]) -> int:
    """Steps to the deepest node; children come behind their parents."""
    depth = np.zeros(len(parents), np.int64)
    for node in range(1, len(parents)):
        depth[node] = depth[parents[node]] + 1
    return int(depth.max())
