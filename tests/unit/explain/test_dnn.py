"""Attributions of a perceptron on codes: closed forms of a linear one, laws of any."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from esm2_amp.errors import InputError
from esm2_amp.explain.codes import CodedPairs, Codes
from esm2_amp.explain.dnn import CodeMlp, DnnExplainer, DnnSettings, fit_dnn

TOKENS, CODE = 6, 4
SETTINGS = DnnSettings((8,), 5, 2, 16, 0.01, 0.01, 10, 512)


def network(hidden: tuple[int, ...]) -> CodeMlp:
    torch.manual_seed(0)
    made = CodeMlp(TOKENS, CODE, hidden)
    made.standardise.fit(torch.randn(TOKENS, CODE), torch.rand(TOKENS, CODE) + 0.5)
    return made.eval()


def vectors(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, TOKENS * CODE)).astype(np.float32)


def test_a_linear_network_has_attributions_in_closed_form() -> None:
    linear = network(())
    background, x = vectors(12, 1), vectors(8, 2)
    weight = (linear.layers[0].weight / linear.standardise.std.flatten()).detach().double().numpy()
    expected = weight * (x.astype(np.float64) - background.astype(np.float64).mean(0))
    explainer = DnnExplainer(linear, background, 4)
    for values, base in (explainer.shap(x), explainer.integrated_gradients(x)):
        np.testing.assert_allclose(values, expected, rtol=0, atol=1e-6)
        assert base == pytest.approx(explainer.shap(background)[1], abs=1e-9)


@pytest.mark.parametrize("hidden", [(8,), (16, 8)])
def test_attributions_add_up_to_the_logits(hidden: tuple[int, ...]) -> None:
    deep, x = network(hidden), vectors(9, 3)
    explainer = DnnExplainer(deep, vectors(12, 1), 512)
    with torch.no_grad():
        logits = deep(torch.from_numpy(x)).double().numpy()
    values, base = explainer.shap(x)
    np.testing.assert_allclose(values.sum(1) + base, logits, rtol=0, atol=1e-5)
    twice = np.concatenate((x, x))
    doubled = explainer.logits(twice)
    np.testing.assert_allclose(values.sum(1) + base, doubled, rtol=0, atol=1e-9)
    values, base = explainer.integrated_gradients(twice)
    assert (np.abs(values.sum(1)[:9] + base - doubled) <= 0.01 * np.abs(doubled)).all()


def test_explaining_changes_nothing_about_the_network() -> None:
    deep, x = network((8,)), vectors(5, 3)
    before = {name: tensor.clone() for name, tensor in deep.state_dict().items()}
    explainer = DnnExplainer(deep, vectors(4, 1), 64)
    one = explainer.shap(x)[0]
    explainer.integrated_gradients(np.concatenate((x, x)))
    np.testing.assert_array_equal(one, explainer.shap(x)[0])
    assert all(torch.equal(tensor, before[name]) for name, tensor in deep.state_dict().items())
    assert deep.standardise.mean.dtype == torch.float32


def test_vectors_are_explained_alike_in_any_company(monkeypatch: pytest.MonkeyPatch) -> None:
    explainer, x = DnnExplainer(network((8,)), vectors(12, 1), 64), vectors(12, 3)
    together = [explainer.shap(x)[0], explainer.integrated_gradients(x)[0]]
    monkeypatch.setattr("esm2_amp.explain.dnn._PASS", 3 * 12 * TOKENS * CODE)
    for ours, theirs in zip(together, (explainer.shap(x)[0], explainer.integrated_gradients(x)[0]), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12)


def test_a_seed_repeats() -> None:
    rng = np.random.default_rng(0)
    codes = Codes(np.arange(9), rng.normal(size=(9, 3, CODE)).astype(np.float32))
    a, b = rng.integers(0, 9, size=(2, 40))
    pairs = CodedPairs(codes, a, b, (np.arange(40) % 2).astype(np.int8))
    fitted = [fit_dnn(pairs, np.arange(40), SETTINGS, 2, seed, torch.device("cpu")).state_dict() for seed in (0, 0, 1)]
    assert all(torch.equal(fitted[0][name], fitted[1][name]) for name in fitted[0])
    assert not all(torch.equal(fitted[0][name], fitted[2][name]) for name in fitted[0])


@pytest.mark.parametrize(
    "change", [{"hidden": (0,)}, {"epochs": 0}, {"lr": 2.0}, {"weight_decay": -1.0}, {"background": 0}, {"ig_steps": 0}]
)
def test_impossible_settings_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=f"dnn {next(iter(change))}"):
        replace(SETTINGS, **change)
