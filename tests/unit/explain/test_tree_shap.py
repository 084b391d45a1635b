"""Exact Tree SHAP: against the definition of Shapley values, against shap, and by its laws."""

from __future__ import annotations

from itertools import combinations
from math import factorial

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier

from esm2_amp.explain.forest import Forest, check_forest, from_classifier
from esm2_amp.explain.tree_shap import BLOCK, tree_paths, tree_shap, tree_shap_by_shap

Rows = NDArray[np.float32]


def training(features: int, rows: int = 300, seed: int = 0) -> tuple[Rows, NDArray[np.int8]]:
    """Few distinct values: features come again on a path, rows lie on thresholds; one feature is constant."""
    rng = np.random.default_rng(seed)
    x = rng.integers(-8, 9, size=(rows, features)).astype(np.float32) / 4
    x[:, 0] = 1
    label = (x[:, 1] * x[:, 2] + x[:, 3] + rng.normal(size=rows) > 0).astype(np.int8)
    return x, label


def grown(features: int = 6, trees: int = 5, depth: int | None = None, seed: int = 0) -> tuple[Forest, Rows]:
    x, label = training(features, seed=seed)
    classifier = RandomForestClassifier(trees, max_depth=depth, max_features=None, random_state=seed)
    return from_classifier(classifier.fit(x, label)), training(features, seed=seed + 1)[0]


def chain(depth: int, features: int, seed: int = 0) -> Forest:
    """One tree that drops a row a step: as deep as a tree can be."""
    rng = np.random.default_rng(seed)
    nodes = 2 * depth + 1
    left, feature, threshold = np.full(nodes, -1, np.int32), np.full(nodes, -1, np.int32), np.zeros(nodes)
    inner = np.arange(0, nodes - 1, 2)
    left[inner], feature[inner], threshold[inner] = inner + 1, np.arange(depth) % features, rng.normal(size=depth)
    cover = np.ones(nodes)
    cover[0::2] = np.arange(depth + 1, 0, -1)
    right = np.where(left < 0, -1, left + 1).astype(np.int32)
    forest = Forest(left, right, feature, threshold, cover, rng.random(nodes), np.array([0, nodes]), features)
    check_forest(forest, "chain")
    return forest


def leaf(value: float, features: int = 4) -> Forest:
    """A tree without a split."""
    none = np.array([-1], np.int32)
    ten = np.array([10.0])
    return Forest(none, none, none, np.zeros(1), ten, np.array([value]), np.array([0, 1]), features)


def conditional(forest: Forest, number: int, x: Rows, known: frozenset[int]) -> float:
    """What a tree predicts of the known features: beyond a split by an unknown one, both sides by their cover."""
    left, right, feature, threshold, cover, value = forest.tree(number)

    def walk(node: int) -> float:
        if left[node] < 0:
            return float(value[node])
        if feature[node] in known:
            return walk(left[node] if x[feature[node]] <= threshold[node] else right[node])
        return (cover[left[node]] * walk(left[node]) + cover[right[node]] * walk(right[node])) / cover[node]

    return walk(0)


def by_definition(forest: Forest, x: Rows) -> NDArray[np.float64]:
    """Shapley values over all subsets of features (Shapley 1953)."""
    everyone = range(forest.features)
    values = np.zeros(forest.features)
    for j in everyone:
        others = [k for k in everyone if k != j]
        for size in range(len(others) + 1):
            weight = factorial(size) * factorial(len(others) - size) / factorial(forest.features)
            for chosen in combinations(others, size):
                for tree in range(len(forest)):
                    gain = conditional(forest, tree, x, frozenset({*chosen, j}))
                    values[j] += weight * (gain - conditional(forest, tree, x, frozenset(chosen))) / len(forest)
    return values


def agree(forest: Forest, x: Rows) -> None:
    values, expected = tree_shap(forest, x)
    theirs, their_expected = tree_shap_by_shap(forest, x)
    np.testing.assert_allclose(values, theirs, rtol=0, atol=1e-9)
    assert expected == pytest.approx(their_expected, abs=1e-12)
    np.testing.assert_allclose(values.sum(1) + expected, forest.predict(x), rtol=0, atol=1e-12)


def test_values_are_those_of_the_definition() -> None:
    forest, x = grown(features=5, trees=3)
    values, expected = tree_shap(forest, x[:2])
    assert expected == pytest.approx(np.mean([conditional(forest, t, x[0], frozenset()) for t in range(3)]), abs=1e-12)
    np.testing.assert_allclose(values, [by_definition(forest, row) for row in x[:2]], rtol=0, atol=1e-12)


@pytest.mark.parametrize("depth", [1, 2, 5, None])
@pytest.mark.parametrize("features", [4, 40])
def test_values_are_those_of_shap(depth: int | None, features: int) -> None:
    agree(*grown(features=features, depth=depth))


@pytest.mark.parametrize("features", [1, 3, 30])
def test_deep_trees_with_features_that_come_again(features: int) -> None:
    forest = chain(30, features)
    agree(forest, np.random.default_rng(1).normal(1, 1, size=(50, features)).astype(np.float32))


def test_trees_so_deep_that_differences_cancel_still_add_up() -> None:
    forest = chain(150, 150)
    x = np.random.default_rng(1).normal(1.5, 1, size=(20, 150)).astype(np.float32)
    values, expected = tree_shap(forest, x)
    np.testing.assert_allclose(values.sum(1) + expected, forest.predict(x), rtol=0, atol=1e-12)
    assert np.abs(values).max() <= 1


@pytest.mark.parametrize("value", [0.0, 0.25, 1.0])
def test_a_tree_without_a_split_explains_nothing(value: float) -> None:
    values, expected = tree_shap(leaf(value), np.zeros((3, 4), np.float32))
    assert expected == value
    assert values.shape == (3, 4)
    assert not values.any()


def test_features_that_are_never_asked_get_nothing() -> None:
    forest, x = grown(features=40, depth=2)
    values, _ = tree_shap(forest, x)
    asked = np.isin(np.arange(40), forest.feature)
    assert 0 < asked.sum() < 40
    assert not values[:, ~asked].any()
    assert (np.abs(values[:, asked]).max(0) > 0).all()


def test_a_row_on_a_threshold_goes_left_in_float32() -> None:
    forest = chain(1, 1)
    threshold = np.array([np.float64(np.float32(0.1))])
    forest = Forest(**{**forest.arrays(), "threshold": np.array([threshold[0], 0, 0])}, features=1)
    x = np.array([[0.1]])  # as a float64 it lies below the float32 nearest to it, as a float32 on it
    for row in (x, x.astype(np.float32), np.nextafter(x.astype(np.float32), np.float32(-1))):
        assert forest.predict(row) == forest.value[1]
    assert forest.predict(np.nextafter(x.astype(np.float32), np.float32(1))) == forest.value[2]
    agree(forest, x.astype(np.float32))


@pytest.mark.parametrize("rows", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 5])
def test_a_row_is_explained_alike_in_any_company(rows: int) -> None:
    forest, x = grown()
    together, expected = tree_shap(forest, x[:rows])
    assert together.shape == (rows, forest.features)
    for row in range(0, rows, 17):
        alone, again = tree_shap(forest, x[row : row + 1])
        np.testing.assert_array_equal(alone[0], together[row])
        assert again == expected


def test_paths_hold_each_feature_once_and_shares_that_add_up() -> None:
    forest, _ = grown(features=4)
    for number in range(len(forest)):
        paths, _ = tree_paths(forest, number)
        for begin, end in zip(paths.start[:-1], paths.start[1:], strict=True):
            assert len(set(paths.feature[begin:end])) == end - begin
        left, _, _, _, cover, value = forest.tree(number)
        shares = np.multiply.reduceat(paths.share, paths.start[:-1])
        kept = (left < 0) & (value > 0)
        np.testing.assert_allclose(shares, cover[kept] / cover[0], rtol=1e-12)


@pytest.mark.parametrize("x", [np.zeros(6), np.zeros((2, 5)), np.full((2, 6), np.nan), np.full((2, 6), 1e39)])
def test_rows_the_forest_does_not_read_are_refused(x: NDArray[np.float64]) -> None:
    forest, _ = grown()
    with np.errstate(over="ignore"), pytest.raises(ValueError, match="rows"):
        tree_shap(forest, x)


def test_without_compilation_shap_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    forest, x = grown()
    ours = tree_shap(forest, x[:3])[0]
    monkeypatch.setattr("numba.config.DISABLE_JIT", True)
    monkeypatch.setattr("esm2_amp.explain.tree_shap.tree_paths", None)  # the kernel is out of reach
    np.testing.assert_allclose(tree_shap(forest, x[:3])[0], ours, rtol=0, atol=1e-9)
