"""What every network promises. A new one is tested as soon as it stands in NETWORKS and has its file in conf/model."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from esm2_amp.data.dataset import PairDataset
from esm2_amp.errors import InputError
from esm2_amp.features.identity import EncoderIdentity
from esm2_amp.layout import MEAN, SEGMENTS, TokenLayout
from esm2_amp.models.checkpoint import ModelCard, load_card, load_network, save_model
from esm2_amp.models.network import PairNetwork
from esm2_amp.models.networks import NETWORKS
from esm2_amp.models.predictor import check_trained_with
from esm2_amp.models.training import fit_inputs

Make = Callable[..., PairNetwork]
MakeCard = Callable[[str, PairNetwork], ModelCard]
WITH_ATTENTION = [name for name, kind in NETWORKS.items() if "weights" in inspect.signature(kind.logit).parameters]


@pytest.fixture(params=list(NETWORKS))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def proteins(network: PairNetwork, count: int, seed: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    a, b = torch.randn(2, count, len(network.layout), network.width, generator=generator)
    return a, b


@pytest.fixture
def network(make_network: Make, name: str) -> PairNetwork:
    return make_network(name).eval()


def test_the_order_of_the_proteins_does_not_matter(network: PairNetwork) -> None:
    a, b = proteins(network, 8)
    torch.testing.assert_close(network(a, b), network(b, a), rtol=1e-5, atol=1e-5)


def test_the_order_does_not_matter_with_a_fitted_standardisation(
    network: PairNetwork, dataset: Callable[[TokenLayout], PairDataset]
) -> None:
    fit_inputs(network, dataset(network.layout), standardised=True)
    a, b = proteins(network, 8)
    torch.testing.assert_close(network(a, b), network(b, a), rtol=1e-5, atol=1e-5)


def test_the_logit_depends_on_both_proteins(network: PairNetwork) -> None:
    a, b = proteins(network, 8)
    other, _ = proteins(network, 8, seed=2)
    for changed in (network(other, b), network(a, other)):
        assert ((changed - network(a, b)).abs() > 1e-4).all()


def test_one_logit_a_pair_and_a_batch_is_its_pairs_one_by_one(network: PairNetwork) -> None:
    a, b = proteins(network, 8)
    logits = network(a, b)
    assert logits.shape == (8,)
    assert logits.isfinite().all()
    alone = torch.cat([network(a[i : i + 1], b[i : i + 1]) for i in range(8)])
    torch.testing.assert_close(logits, alone, rtol=1e-5, atol=1e-5)


def test_every_weight_learns(make_network: Make, name: str) -> None:
    network = make_network(name)
    a, b = proteins(network, 32)
    torch.nn.functional.binary_cross_entropy_with_logits(network(a, b), torch.arange(32.0) % 2).backward()
    for key, parameter in network.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key
        assert parameter.grad.any(), key


def test_a_network_in_training_is_the_same_for_the_same_seed(make_network: Make, name: str) -> None:
    logits = []
    for seed in (5, 5, 6):
        network = make_network(name, seed)
        logits.append(network(*proteins(network, 4)))
    assert torch.equal(logits[0], logits[1])
    assert not torch.allclose(logits[0], logits[2])


def test_two_layers_or_two_networks_never_start_equal(make_network: Make, name: str) -> None:
    networks = [make_network(name, seed=1), make_network(name, seed=None)]  # a second fold of one process
    matrices = [(key, p) for network in networks for key, p in network.named_parameters() if p.ndim > 1]
    for (one, first), (other, second) in combinations(matrices, 2):
        assert first.shape != second.shape or not torch.equal(first, second), (one, other)


def test_the_state_is_what_training_may_change(network: PairNetwork) -> None:
    learnt = {key for key, _ in network.named_parameters()}
    assert set(network.state_dict()) - learnt == {key for key, _ in network.named_buffers()}


def test_standardisation_centres_and_scales_the_training_proteins(
    network: PairNetwork, dataset: Callable[[TokenLayout], PairDataset]
) -> None:
    pairs = dataset(network.layout)
    fit_inputs(network, pairs, standardised=True, chunk=7)
    rows = np.unique(np.concatenate((pairs.a, pairs.b)))  # a protein of many pairs counts once
    tokens = network.standardise(torch.from_numpy(pairs.store.gather(rows, network.layout.stored)).float())
    torch.testing.assert_close(tokens.mean(dim=0), torch.zeros_like(tokens[0]), rtol=0, atol=1e-5)
    torch.testing.assert_close(tokens.std(dim=0, correction=0), torch.ones_like(tokens[0]), rtol=0, atol=1e-4)


def test_a_saved_network_gives_the_same_logits(
    network: PairNetwork,
    name: str,
    dataset: Callable[[TokenLayout], PairDataset],
    make_card: MakeCard,
    tmp_path: Path,
) -> None:
    fit_inputs(network, dataset(network.layout), standardised=True)
    save_model(tmp_path / "model", network, make_card(name, network), ["b" * 64, "a" * 64])
    card = load_card(tmp_path / "model")
    assert card == make_card(name, network)
    loaded = load_network(tmp_path / "model", card)
    assert not loaded.training
    a, b = proteins(network, 4)
    assert torch.equal(loaded(a, b), network(a, b))


@pytest.fixture
def saved(network: PairNetwork, name: str, make_card: MakeCard, tmp_path: Path) -> Path:
    save_model(tmp_path / "model", network, make_card(name, network), [])
    return tmp_path / "model"


def test_another_layout_or_network_or_width_is_refused_by_name(saved: Path, name: str) -> None:
    card = load_card(saved)
    other = MEAN if NETWORKS[name].layout != MEAN else SEGMENTS
    with pytest.raises(InputError, match=rf"tokens \['{other.names[0]}'.* are not those of {name}"):
        load_network(saved, replace(card, tokens=list(other)))
    with pytest.raises(InputError, match=r"'transformer' is unknown.*amps, amp_cse"):
        load_network(saved, replace(card, network="transformer"))
    with pytest.raises(InputError, match="width 64 differs from the encoder's 32"):
        load_network(saved, replace(card, width=64))
    with pytest.raises(InputError, match=r"tensor .* has shape .*, the card means"):
        load_network(saved, replace(card, width=64, encoder={**card.encoder, "width": 64}))


def test_weights_that_do_not_fit_are_refused_by_name(saved: Path, name: str) -> None:
    card, file = load_card(saved), saved / "model.safetensors"
    weights = load_file(file)
    key = max(weights, key=lambda name: weights[name].numel())
    damages = {
        rf"'{key}' has shape": {**weights, key: weights[key][:-1].contiguous()},
        rf"'{key}' is missing": {k: v for k, v in weights.items() if k != key},
        "'stranger' is missing or unknown": {**weights, "stranger": torch.zeros(1)},
        rf"'{key}' holds values that are not finite": {**weights, key: weights[key] * torch.nan},
    }
    for message, damaged in damages.items():
        save_file(damaged, file)
        with pytest.raises(InputError, match=message):
            load_network(saved, card)


def test_another_encoder_is_refused_by_name(saved: Path, name: str) -> None:
    trained = load_card(saved).identity
    check_trained_with(trained, EncoderIdentity("renamed", trained.sha256, trained.width))
    with pytest.raises(InputError, match=r"trained on features of tiny .*the encoder given is large \(1280"):
        check_trained_with(trained, EncoderIdentity("large", "e" * 64, 1280))


@pytest.mark.parametrize("name", WITH_ATTENTION)
def test_attention_weights_explain_the_logit_that_is_computed(network: PairNetwork, name: str) -> None:
    a, b = proteins(network, 3)
    weights: list[torch.Tensor] = []
    explicit = network.logit(a, b, weights)
    torch.testing.assert_close(explicit, network.logit(a, b), rtol=1e-5, atol=1e-5)
    tokens = 2 * len(network.layout)
    assert [tuple(layer.shape) for layer in weights] == [(3, 8, tokens, tokens)] * 6  # as conf/model has them
    for layer in weights:
        assert (layer >= 0).all()
        torch.testing.assert_close(layer.sum(dim=-1), torch.ones(3, 8, tokens))
        assert layer.std(dim=-1).mean() > 1e-3  # not the same for every token
