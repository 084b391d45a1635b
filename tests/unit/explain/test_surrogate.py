"""AE-RF and AE-DNN find what was planted, add up, do not depend on the order, and survive saving."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file
from sklearn.metrics import roc_auc_score
from surrogate_world import SEGMENT, SETTINGS, Planted, plant

from esm2_amp.errors import InputError
from esm2_amp.explain.surrogate import PER_PAIR, Explained, Surrogate
from esm2_amp.explain.surrogate_files import load_surrogate, save_surrogate
from esm2_amp.explain.surrogate_fit import fingerprint, fit_surrogate
from esm2_amp.features.store import FeatureStore
from esm2_amp.layout import SEGMENTS, TokenLayout

T = len(SEGMENTS)


QUICK = replace(SETTINGS, autoencoder=replace(SETTINGS.autoencoder, epochs=1), dnn=replace(SETTINGS.dnn, epochs=1))


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    return plant(tmp_path_factory.mktemp("planted") / "store")


@pytest.fixture(scope="module")
def fit(planted: Planted, tmp_path_factory: pytest.TempPathFactory) -> tuple[Surrogate, int]:
    """A fitted surrogate, and how much its progress was told."""
    told: list[int] = []
    cache = tmp_path_factory.mktemp("cache")
    surrogate = fit_surrogate(
        planted.store, SEGMENTS, *planted.train, SETTINGS, cache=cache, jobs=1, advance=told.append
    )
    return surrogate, sum(told)


@pytest.fixture(scope="module")
def fitted(fit: tuple[Surrogate, int]) -> Surrogate:
    return fit[0]


def explain(fitted: Surrogate, method: str, planted: Planted, batch: int = 16) -> Explained:
    return fitted.explain(method, planted.store, planted.test.a, planted.test.b, batch, lambda _: None)


@pytest.mark.parametrize("method", PER_PAIR)
def test_the_planted_token_of_each_chain_ranks_first(fitted: Surrogate, planted: Planted, method: str) -> None:
    explained = explain(fitted, method, planted)
    for attribution in (explained.absolute, np.abs(explained.signed)):
        first_two = np.argsort(-attribution.mean(0))[:2]
        assert {fitted.layout.pair_names[i] for i in first_two} == {f"A_segment{SEGMENT}", f"B_segment{SEGMENT}"}
    sides = explained.signed[:, [SEGMENT, T + SEGMENT]].sum(1)
    assert roc_auc_score(planted.test.label, sides) > 0.9  # its sign says which class


def test_gini_ranks_the_planted_token_first_in_both_chains(fitted: Surrogate) -> None:
    gini = fitted.gini()
    assert gini.shape == (2 * T,)
    assert gini.sum() == pytest.approx(1)
    assert (gini >= 0).all()
    assert gini[:T].argmax() == gini[T:].argmax() == SEGMENT


@pytest.mark.parametrize(("method", "error"), [("ae_rf_shap", 1e-9), ("ae_dnn_shap", 1e-6)])
def test_shap_values_add_up(fitted: Surrogate, planted: Planted, method: str, error: float) -> None:
    explained = explain(fitted, method, planted)
    np.testing.assert_allclose(explained.base + explained.signed.sum(1), explained.score, rtol=0, atol=error)
    np.testing.assert_allclose(explained.error(), 0, atol=error)
    assert (explained.absolute >= np.abs(explained.signed) - 1e-12).all()


def test_integrated_gradients_add_up_within_one_percent(fitted: Surrogate, planted: Planted) -> None:
    explained = explain(fitted, "ae_dnn_ig", planted)
    assert (explained.error() <= 0.01 * np.abs(explained.score)).all()


@pytest.mark.parametrize("method", PER_PAIR)
def test_the_order_of_the_chains_makes_no_difference(fitted: Surrogate, planted: Planted, method: str) -> None:
    one = explain(fitted, method, planted)
    swapped = planted._replace(test=planted.test._replace(a=planted.test.b, b=planted.test.a))
    other = explain(fitted, method, swapped)
    np.testing.assert_allclose(one.score, other.score, rtol=0, atol=1e-12)
    np.testing.assert_allclose(one.signed, np.roll(other.signed, T, axis=1), rtol=0, atol=1e-9)


@pytest.mark.parametrize("method", PER_PAIR)
def test_batches_make_no_difference(fitted: Surrogate, planted: Planted, method: str) -> None:
    together, alone = explain(fitted, method, planted, 1000), explain(fitted, method, planted, 7)
    np.testing.assert_allclose(together.signed, alone.signed, rtol=0, atol=1e-5)
    scores = fitted.scores(method, planted.store, planted.test.a, planted.test.b, 11)
    np.testing.assert_allclose(together.score, scores, rtol=0, atol=1e-6)


def test_the_explained_models_know_the_rule(fitted: Surrogate, planted: Planted) -> None:
    for method in ("ae_rf_shap", "ae_dnn_shap"):
        scores = fitted.scores(method, planted.store, planted.test.a, planted.test.b, 64)
        assert roc_auc_score(planted.test.label, scores) > 0.85
    assert fitted.quality["forest"]["auroc"] > 0.8
    assert fitted.quality["dnn"]["auroc"] > 0.8
    assert fitted.quality["autoencoder"]["explained_variance"] > 0.9


def test_progress_adds_up(fit: tuple[Surrogate, int], planted: Planted) -> None:
    proteins = len(np.unique(np.concatenate(planted.train[:2])))
    assert fit[1] == SETTINGS.steps() + proteins


def test_training_pairs_are_known_in_either_order(
    fitted: Surrogate, planted: Planted, small_store: FeatureStore
) -> None:
    a, b = planted.train.a[:9], planted.train.b[:9]
    assert fitted.seen(planted.store, a, b).all()
    assert fitted.seen(planted.store, b, a).all()
    assert not fitted.seen(planted.store, planted.test.a, planted.test.b).any()
    trained = {frozenset(pair) for pair in zip(planted.train.a.tolist(), planted.train.b.tolist(), strict=True)}
    strangers = [(x, y) for x in range(60) for y in range(x) if frozenset((x, y)) not in trained]
    assert not fitted.seen(planted.store, *np.array(strangers).T).any()
    # rows of another store with the same sequences
    here = np.array([fitted.seen(small_store, np.array([x]), np.array([y]))[0] for x in range(9) for y in range(9)])
    there = np.array([frozenset((x, y)) in trained for x in range(9) for y in range(9)])
    np.testing.assert_array_equal(here, there)


def test_the_fingerprint_tells_what_it_was_fitted_on(fitted: Surrogate, planted: Planted) -> None:
    a, b, label = planted.train
    same = fingerprint(planted.store, SEGMENTS, a, b, label, SETTINGS)
    assert same == fitted.fingerprint
    flipped = label.copy()
    flipped[0] ^= 1
    others = {
        fingerprint(planted.store, SEGMENTS, a, b, flipped, SETTINGS),
        fingerprint(planted.store, SEGMENTS, b, a, label, SETTINGS),
        fingerprint(planted.store, SEGMENTS, a[1:], b[1:], label[1:], SETTINGS),
        fingerprint(planted.store, TokenLayout(("cls", "eos")), a, b, label, SETTINGS),
        fingerprint(planted.store, SEGMENTS, a, b, label, replace(SETTINGS, seed=1)),
        fingerprint(planted.store, SEGMENTS, a, b, label, replace(SETTINGS, folds=3)),
    }
    assert len(others | {same}) == 7


def test_features_of_another_encoder_are_refused(fitted: Surrogate, small_store: FeatureStore) -> None:
    row = np.array([0])
    with pytest.raises(InputError, match="not of planted"):
        fitted.explain("ae_rf_shap", small_store, row, row, 4, lambda _: None)


def test_an_unknown_method_is_refused(fitted: Surrogate, planted: Planted) -> None:
    with pytest.raises(ValueError, match="ae_rf_gini"):
        explain(fitted, "ae_rf_gini", planted)


def test_more_pairs_than_asked_for_are_drawn(planted: Planted, tmp_path: Path) -> None:
    few = replace(QUICK, max_pairs=80, folds_by="pairs")
    fitted = fit_surrogate(planted.store, SEGMENTS, *planted.train, few, cache=tmp_path, jobs=1, advance=lambda _: None)
    assert len(fitted.pairs) == 80
    assert fitted.seen(planted.store, planted.train.a, planted.train.b).mean() < 0.5


def test_saving_and_loading(fitted: Surrogate, planted: Planted, tmp_path: Path) -> None:
    save_surrogate(fitted, tmp_path / "surrogate")
    loaded = load_surrogate(tmp_path / "surrogate")
    for name in ("layout", "encoder", "long", "ig_steps", "quality", "fingerprint"):
        assert getattr(loaded, name) == getattr(fitted, name)
    for method in PER_PAIR:
        one, other = explain(fitted, method, planted), explain(loaded, method, planted)
        for ours, theirs in zip(one, other, strict=True):
            np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(loaded.gini(), fitted.gini())
    np.testing.assert_array_equal(
        loaded.seen(planted.store, *planted.train[:2]), fitted.seen(planted.store, *planted.train[:2])
    )


def card(**values: Any) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        about = {**json.loads((folder / "surrogate.json").read_text()), **values}
        (folder / "surrogate.json").write_text(json.dumps(about))

    return edit


def arrays(name: str, change: Callable[[NDArray[Any]], NDArray[Any]]) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        held = load_file(folder / "training.safetensors")
        save_file({**held, name: np.ascontiguousarray(change(held[name]))}, folder / "training.safetensors")

    return edit


def write(name: str, content: bytes) -> Callable[[Path], Any]:
    return lambda folder: (folder / name).write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "surrogate.json").unlink(), "no surrogate.json: not the folder of a surrogate"),
        (write("surrogate.json", b"[]"), "not a surrogate of this version"),
        (write("surrogate.json", b"\xff{"), "not readable as JSON"),
        (card(format="other"), "not a surrogate of this version"),
        (card(tokens=["segment0", "tail"]), "damaged card .*tail"),
        (card(encoder={"name": "x"}), "damaged card .*sha256"),
        (card(ig_steps="many"), "damaged card: ig_steps is 'many'"),
        (card(ig_steps=0), "damaged card: no code, or no steps"),
        (card(autoencoder_sizes=[]), "damaged card: no code, or no steps"),
        (card(autoencoder_sizes=[8, 1 << 40]), "a layer of 1099511627776"),
        (card(dnn_sizes=["16"]), "a layer of '16'"),
        (card(dnn_sizes=[17]), r"dnn\.safetensors: tensor .* has shape"),
        (card(tokens=["cls"]), r"autoencoder\.safetensors: tensor .* has shape"),
        (write("dnn.safetensors", b"\x80\x04pickle"), r"dnn\.safetensors: damaged weights"),
        (write("forest.safetensors", b"\x80\x04pickle"), r"forest\.safetensors: damaged forest"),
        (lambda folder: (folder / "autoencoder.safetensors").unlink(), "no autoencoder.safetensors"),
        (lambda folder: (folder / "training.safetensors").unlink(), "no training.safetensors"),
        (write("training.safetensors", b"\x80\x04pickle"), r"training\.safetensors: damaged"),
        (arrays("keys", lambda keys: keys[:, :16]), "'keys' is no table of 32 columns"),
        (arrays("pairs", lambda pairs: pairs + 1000), "values out of range"),
        (arrays("background", lambda background: background * np.nan), "values out of range"),
    ],
)
def test_a_damaged_folder_is_refused_by_name(
    damage: Callable[[Path], Any], message: str, fitted: Surrogate, tmp_path: Path
) -> None:
    save_surrogate(fitted, tmp_path / "s")
    damage(tmp_path / "s")
    with pytest.raises(InputError, match=message):
        load_surrogate(tmp_path / "s")


def test_a_forest_of_other_codes_is_refused(fitted: Surrogate, tmp_path: Path) -> None:
    save_surrogate(fitted, tmp_path / "s")
    replace(fitted.forest, features=fitted.forest.features + 1).save(tmp_path / "s" / "forest.safetensors")
    with pytest.raises(InputError, match="the forest reads 61 numbers, the codes of a pair have 60"):
        load_surrogate(tmp_path / "s")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"folds_by": "luck"}, "folds_by is 'luck'. Use proteins or pairs"),
        ({"max_pairs": 1}, "max_pairs is 1"),
    ],
)
def test_impossible_settings_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        replace(SETTINGS, **change)


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({"n_estimators": 3}, "'n_estimators' cannot be set. Use max_depth"),
        ({"max_depth": {"type": "int", "low": 3}}, "'high' is missing"),
        ({"max_depth": {"low": 3}}, "type is None"),
    ],
)
def test_a_malformed_search_space_is_refused(space: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        replace(SETTINGS.forest, space=space)


def test_a_value_that_scikit_learn_refuses_is_the_users(planted: Planted, tmp_path: Path) -> None:
    wrong = replace(QUICK, forest=replace(SETTINGS.forest, space={"max_features": "most"}))
    with pytest.raises(InputError, match="a forest cannot be grown"):
        fit_surrogate(planted.store, SEGMENTS, *planted.train, wrong, cache=tmp_path, jobs=1, advance=lambda _: None)
