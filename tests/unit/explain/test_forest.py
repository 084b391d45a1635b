"""A forest as arrays predicts what scikit-learn does, survives saving, and is refused where it is damaged."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skops.io
from numpy.typing import NDArray
from safetensors.numpy import save_file
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from esm2_amp.errors import InputError
from esm2_amp.explain.forest import FORMAT, Forest, from_classifier, load_forest
from esm2_amp.explain.forest_skops import export_skops, import_skops, to_classifier

Arrays = dict[str, NDArray[Any]]


@pytest.fixture(scope="module")
def classifier() -> RandomForestClassifier:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 12)).astype(np.float32)
    label = (x[:, 0] + x[:, 1] * x[:, 2] + rng.normal(size=400) > 0).astype(np.int8)
    return RandomForestClassifier(7, min_samples_leaf=3, random_state=0).fit(x, label)


@pytest.fixture(scope="module")
def forest(classifier: RandomForestClassifier) -> Forest:
    return from_classifier(classifier)


@pytest.fixture
def x() -> NDArray[np.float32]:
    return np.random.default_rng(1).normal(size=(500, 12)).astype(np.float32)


def equal(one: Forest, other: Forest) -> bool:
    return one.features == other.features and all(
        np.array_equal(array, other.arrays()[name]) and array.dtype == other.arrays()[name].dtype
        for name, array in one.arrays().items()
    )


def test_predictions_are_those_of_scikit_learn(
    forest: Forest, classifier: RandomForestClassifier, x: NDArray[np.float32]
) -> None:
    np.testing.assert_allclose(forest.predict(x), classifier.predict_proba(x)[:, 1], rtol=0, atol=1e-12)
    # scikit-learn rounds float64 rows to float32 before it compares
    wide = x.astype(np.float64) + 1e-9
    np.testing.assert_allclose(forest.predict(wide), classifier.predict_proba(wide)[:, 1], rtol=0, atol=1e-12)


def test_gini_importances_are_those_of_scikit_learn(forest: Forest, classifier: RandomForestClassifier) -> None:
    np.testing.assert_allclose(forest.gini(), classifier.feature_importances_, rtol=0, atol=1e-12)


def test_a_forest_without_splits_has_no_importances() -> None:
    stumpless = RandomForestClassifier(3, random_state=0).fit(np.zeros((10, 4)), [0, 1] * 5)
    assert from_classifier(stumpless).gini().tolist() == [0] * 4


def test_saving_and_loading(forest: Forest, tmp_path: Path) -> None:
    forest.save(tmp_path / "forest.safetensors")
    assert equal(load_forest(tmp_path / "forest.safetensors"), forest)


def test_skops_both_ways(forest: Forest, tmp_path: Path, x: NDArray[np.float32]) -> None:
    export_skops(forest, tmp_path / "forest.skops")
    assert equal(import_skops(tmp_path / "forest.skops"), forest)
    theirs = skops.io.load(tmp_path / "forest.skops", trusted=["sklearn.tree._tree.Tree"])
    np.testing.assert_allclose(theirs.predict_proba(x)[:, 1], forest.predict(x), rtol=0, atol=1e-12)


def test_a_classifier_made_of_arrays_is_the_one_they_came_from(
    forest: Forest, classifier: RandomForestClassifier, x: NDArray[np.float32]
) -> None:
    again = to_classifier(forest)
    np.testing.assert_array_equal(again.predict(x), classifier.predict(x))
    np.testing.assert_allclose(again.feature_importances_, classifier.feature_importances_, atol=1e-12)
    assert [t.get_depth() for t in again.estimators_] == [t.get_depth() for t in classifier.estimators_]


def test_a_skops_file_of_others_is_read(classifier: RandomForestClassifier, forest: Forest, tmp_path: Path) -> None:
    skops.io.dump(classifier, tmp_path / "theirs.skops")
    assert equal(import_skops(tmp_path / "theirs.skops"), forest)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (np.sum, r"the type numpy\.sum, which is not allowed"),
        (LogisticRegression().fit([[0.0], [1.0]], [0, 1]), "holds a LogisticRegression"),
        (RandomForestClassifier(2).fit([[0.0], [1.0], [2.0]], [0, 1, 2]), "classes are not 0 and 1"),
        (RandomForestClassifier(2).fit([[0.0], [1.0]], ["no", "yes"]), "classes are not 0 and 1"),
        (RandomForestClassifier(2), "damaged skops file"),
    ],
)
def test_other_models_in_a_skops_file_are_refused(model: Any, message: str, tmp_path: Path) -> None:
    skops.io.dump(model, tmp_path / "model.skops")
    with pytest.raises(InputError, match=message):
        import_skops(tmp_path / "model.skops")


def test_a_hostile_tree_in_a_skops_file_is_refused(forest: Forest, tmp_path: Path) -> None:
    classifier = to_classifier(forest)
    state = classifier.estimators_[0].tree_.__getstate__()
    state["nodes"]["left_child"][0] = 30_000
    classifier.estimators_[0].tree_.__setstate__(state)
    skops.io.dump(classifier, tmp_path / "hostile.skops")
    with pytest.raises(InputError, match=r"hostile\.skops: damaged forest: a child lies before"):
        import_skops(tmp_path / "hostile.skops")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no archive", b"\x80\x04pickle"])
def test_what_is_no_skops_file_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.skops").write_bytes(content)
    with pytest.raises(InputError, match=r"x\.skops: damaged skops file"):
        import_skops(tmp_path / "x.skops")
    with pytest.raises(InputError, match="there is no such file"):
        import_skops(tmp_path / "absent.skops")


def put(name: str, node: int, value: float) -> Callable[[Arrays], None]:
    def damage(arrays: Arrays) -> None:
        arrays[name][node] = value

    return damage


def inner(arrays: Arrays) -> int:
    return int(np.flatnonzero(arrays["left"] >= 0)[1])


def loop(arrays: Arrays) -> None:
    arrays["left"][inner(arrays)] = 0


def out_of_the_tree(arrays: Arrays) -> None:
    arrays["right"][0] = arrays["offsets"][1]


def two_parents(arrays: Arrays) -> None:
    arrays["right"][0] = arrays["left"][0]


def shorter(arrays: Arrays) -> None:
    arrays["cover"] = arrays["cover"][:-1]


def other_type(arrays: Arrays) -> None:
    arrays["left"] = arrays["left"].astype(np.int64)


def a_table(arrays: Arrays) -> None:
    arrays["value"] = arrays["value"][:, None]


def missing(arrays: Arrays) -> None:
    del arrays["threshold"]


def heavier(arrays: Arrays) -> None:
    arrays["cover"][arrays["left"][0]] += 5


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (put("left", 0, 1 << 30), "a child lies before its parent or outside"),
        (put("right", 0, -7), "a child lies before its parent or outside"),
        (loop, "a child lies before its parent or outside"),
        (out_of_the_tree, "a child lies before its parent or outside"),
        (two_parents, "a node has no parent, or two"),
        (put("left", 0, -1), "half a leaf"),
        (put("feature", 0, 12), "no such feature"),
        (put("feature", 0, -5), "no such feature"),
        (put("threshold", 0, np.nan), "threshold holds values that are not finite"),
        (put("cover", 1, 0), "a cover is not positive"),
        (put("cover", 1, np.inf), "cover holds values that are not finite"),
        (put("value", 3, 1.5), "a value is no share"),
        (put("offsets", 1, 1 << 40), "the trees do not divide the nodes"),
        (put("offsets", 0, -1), "the trees do not divide the nodes"),
        (heavier, "covers of children do not add up"),
        (shorter, "unequal lengths"),
        (other_type, "array 'left' is int64 with 1 dimensions"),
        (a_table, "array 'value' is float64 with 2 dimensions"),
        (missing, "array 'threshold' is missing or unknown"),
    ],
)
def test_damaged_arrays_are_refused_by_name(
    damage: Callable[[Arrays], None], message: str, forest: Forest, tmp_path: Path
) -> None:
    arrays = {name: array.copy() for name, array in forest.arrays().items()}
    damage(arrays)
    save_file(arrays, tmp_path / "f.safetensors", {"format": FORMAT, "features": "12"})
    with pytest.raises(InputError, match=rf"f\.safetensors: damaged forest: .*{message}"):
        load_forest(tmp_path / "f.safetensors")


@pytest.mark.parametrize(
    "about", [{}, {"format": FORMAT}, {"format": FORMAT, "features": "-3"}, {"format": "x", "features": "12"}]
)
def test_files_of_another_kind_are_refused(about: dict[str, str], forest: Forest, tmp_path: Path) -> None:
    save_file(forest.arrays(), tmp_path / "f.safetensors", about)
    with pytest.raises(InputError, match="not a forest of this version"):
        load_forest(tmp_path / "f.safetensors")


@pytest.mark.parametrize("content", [b"", b"\x80\x04pickle", b"\x10\x00\x00\x00\x00\x00\x00\x00{}"])
def test_what_is_no_safetensors_file_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "f.safetensors").write_bytes(content)
    with pytest.raises(InputError, match="damaged forest"):
        load_forest(tmp_path / "f.safetensors")
    with pytest.raises(InputError, match="there is no such file"):
        load_forest(tmp_path / "absent.safetensors")
