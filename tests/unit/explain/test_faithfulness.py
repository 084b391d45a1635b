"""Curves and their areas where the right answer is known; directions; randomised copies."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import expit
from torch import Tensor

from esm2_amp.explain.batch import Batch, Explainer
from esm2_amp.explain.faithfulness import area, curves, evidence_for_call, faithfulness
from esm2_amp.explain.randomised import fresh_networks, random_values, randomised
from esm2_amp.models.network import PairNetwork

Pairs = tuple[Tensor, Tensor]
BASELINE = torch.full((10, 4), 0.25)


@pytest.fixture
def planted(additive: Any, random_pairs: Callable[..., Pairs]) -> tuple[Any, Pairs, np.ndarray, np.ndarray]:
    """An additive network: what each token adds (n, 2T), and the logit of the baseline."""
    a, b = random_pairs(25, additive)
    with torch.no_grad():
        start = float(additive(BASELINE[None], BASELINE[None]))
    return additive, (a, b), additive.added(a, b, BASELINE).double().numpy(), np.float64(start)


def test_curves_of_an_additive_network_are_exact(planted: Any) -> None:
    network, pairs, added, start = planted
    called = added.sum(axis=1) + start > 0
    assert called.any()
    assert not called.all()
    evidence = evidence_for_call(added, called)
    found = curves(network, *pairs, BASELINE, evidence, called)
    for i in range(len(added)):
        sign = 1 if called[i] else -1
        order = np.argsort(-sign * added[i])
        put_in = start + np.concatenate(([0], np.cumsum(added[i][order])))
        left = start + added[i].sum() - np.concatenate(([0], np.cumsum(added[i][order])))
        np.testing.assert_allclose(found.insertion[i], expit(sign * put_in), atol=1e-5)
        np.testing.assert_allclose(found.deletion[i], expit(sign * left), atol=1e-5)


def test_measures_are_read_off_the_curves(planted: Any) -> None:
    network, pairs, added, _ = planted
    called = np.ones(len(added), dtype=bool)
    curve = curves(network, *pairs, BASELINE, added, called)
    found = faithfulness(curve, (1, 5, 20, 21))
    assert list(found) == ["deletion", "insertion"] + [
        f"{name}@{k}" for k in (1, 5, 20) for name in ("comprehensiveness", "sufficiency")
    ]  # a pair has twenty tokens
    np.testing.assert_allclose(found["deletion"], np.trapezoid(curve.deletion, dx=1 / 20, axis=1))
    whole = curve.deletion[:, 0]
    np.testing.assert_allclose(found["comprehensiveness@5"], whole - curve.deletion[:, 5])
    np.testing.assert_allclose(found["sufficiency@5"], whole - curve.insertion[:, 5])
    np.testing.assert_allclose(found["sufficiency@20"], 0, atol=1e-6)
    assert area(np.array([[1.0, 1.0, 0.0]])).tolist() == [0.75]


def test_the_true_order_beats_every_other(planted: Any) -> None:
    network, pairs, added, start = planted
    called = added.sum(axis=1) + start > 0
    truth = faithfulness(curves(network, *pairs, BASELINE, evidence_for_call(added, called), called), (1, 3))
    for seed in range(3):
        values = random_values(np.arange(25), 20, seed)
        other = faithfulness(curves(network, *pairs, BASELINE, values, called), (1, 3))
        better = {"deletion": -1, "insertion": 1, "comprehensiveness@3": 1, "sufficiency@3": -1}
        for name, sign in better.items():
            assert (sign * (truth[name] - other[name]) >= -1e-6).all(), name


def test_of_a_pair_called_non_interacting_the_evidence_is_what_speaks_against(planted: Any) -> None:
    network, pairs, added, _ = planted
    no = np.zeros(len(added), dtype=bool)
    first = evidence_for_call(added, no).argmax(axis=1)
    assert np.array_equal(first, added.argmin(axis=1))
    curve = curves(network, *pairs, BASELINE, evidence_for_call(added, no), no)
    with torch.no_grad():
        logits = network(*pairs).double().numpy()
    np.testing.assert_allclose(curve.deletion[:, 0], expit(-logits), rtol=1e-4)


def test_equal_evidence_takes_tokens_in_their_order(planted: Any) -> None:
    network, pairs, added, start = planted
    called = np.ones(len(added), dtype=bool)
    curve = curves(network, *pairs, BASELINE, np.zeros_like(added), called)
    in_order = start + np.concatenate((np.zeros((25, 1)), np.cumsum(added, axis=1)), axis=1)
    np.testing.assert_allclose(curve.insertion, expit(in_order), atol=1e-5)


def test_evidence_that_is_no_number_is_refused(planted: Any) -> None:
    network, pairs, added, _ = planted
    added[3, 4] = np.nan
    with pytest.raises(ValueError, match="1 of 500 values are not finite"):
        curves(network, *pairs, BASELINE, added, np.ones(25, dtype=bool))


def test_curves_work_for_every_network(trained: PairNetwork, pairs: Pairs) -> None:
    tokens = 2 * len(trained.layout)
    called = np.arange(6) % 2 == 0
    curve = curves(trained, *pairs, trained.standardise.mean, random_values(np.arange(6), tokens, 0), called)
    assert trained.training
    trained.eval()
    with torch.no_grad():
        ends = (trained(*pairs), trained(*trained.standardise.mean.expand(2, 6, -1, -1)))
    for values, logits in zip((curve.deletion[:, 0], curve.deletion[:, -1]), ends, strict=True):
        sign = np.where(called, 1, -1)
        np.testing.assert_allclose(values, expit(sign * logits.numpy()), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(curve.insertion[:, 0], curve.deletion[:, -1], rtol=1e-5)
    np.testing.assert_allclose(curve.insertion[:, -1], curve.deletion[:, 0], rtol=1e-5)


def test_a_randomised_network_forgets_what_was_learnt_and_keeps_the_rest(trained: PairNetwork, pairs: Pairs) -> None:
    before = torch.random.get_rng_state()
    copies = [randomised(trained, seed) for seed in (3, 3, 4)]
    assert torch.equal(torch.random.get_rng_state(), before)
    with torch.no_grad():
        logits = [network(*pairs) for network in (*copies, trained.eval())]
    assert torch.equal(logits[0], logits[1])
    assert not torch.allclose(logits[0], logits[2])
    assert not torch.allclose(logits[0], logits[3])
    for name, buffer in trained.named_buffers():
        assert torch.equal(copies[0].get_buffer(name), buffer)
        assert copies[0].get_buffer(name).data_ptr() != buffer.data_ptr()
    assert not any(module.training for module in copies[0].modules())


def test_random_values_depend_on_the_pair_and_the_seed_alone() -> None:
    whole = random_values(np.arange(10), 20, 1)
    assert np.array_equal(whole[7:], random_values(np.arange(7, 10), 20, 1))
    assert not np.array_equal(whole, random_values(np.arange(10), 20, 2))
    assert len(np.unique(whole)) == 200
    assert random_values(np.arange(0), 20, 1).shape == (0, 20)


@pytest.mark.parametrize("trained", ["dpm"], indirect=True)
def test_what_is_measured_on_models_with_fresh_weights_is_their_mean(trained: PairNetwork, pairs: Pairs) -> None:
    copies, n = fresh_networks(trained, 5), len(pairs[0])
    batch = Batch(*pairs, np.arange(n), np.arange(n) % 2 == 0, np.arange(n) > 0, None)
    baseline = pairs[0].mean(dim=0)

    def measured(*fresh: PairNetwork) -> dict[str, np.ndarray]:
        arrays = Explainer(trained, fresh, [baseline], ("occlusion",), 0.05, 64, 0).arrays(batch, lambda name: None)
        return {name: array for name, array in arrays.items() if name.startswith("randomised/occlusion/")}

    alone = [measured(copy) for copy in copies]
    together = measured(*copies)
    assert {f"randomised/occlusion/{name}" for name in ("deletion", "insertion", "like_trained")} < set(together)
    for name, values in together.items():
        np.testing.assert_allclose(values, np.mean([one[name] for one in alone], axis=0), rtol=1e-12)
    assert not np.allclose(alone[0]["randomised/occlusion/insertion"], together["randomised/occlusion/insertion"])
