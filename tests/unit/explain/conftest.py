"""Networks and small worlds to explain whose right answers are known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from esm2_amp.data.dataset import PairDataset
from esm2_amp.explain.autoencoder import AutoencoderSettings
from esm2_amp.explain.dnn import DnnSettings
from esm2_amp.explain.forest_fit import ForestSettings
from esm2_amp.explain.surrogate import Surrogate
from esm2_amp.explain.surrogate_fit import SurrogateSettings, fit_surrogate
from esm2_amp.features.identity import EncoderIdentity, LongPolicy
from esm2_amp.features.store import FeatureStore
from esm2_amp.features.store_writer import StoreWriter
from esm2_amp.layout import SEGMENTS, STORED_TOKENS, TokenLayout
from esm2_amp.models.network import Hyperparameters, PairNetwork
from esm2_amp.models.networks import NETWORKS
from esm2_amp.models.training import fit_inputs
from esm2_amp.records import sequence_key

PLANTED = 3
"""The segment that decides."""
PROTEINS, PLANTED_WIDTH = 90, 16


class Pairs(NamedTuple):
    a: NDArray[np.int64]
    b: NDArray[np.int64]
    label: NDArray[np.int8]


class Planted(NamedTuple):
    """Tokens have two hidden numbers; a pair interacts if the first ones of both planted segments add up above zero."""

    store: FeatureStore
    train: Pairs
    test: Pairs


@pytest.fixture(scope="session")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    rng = np.random.default_rng(7)
    hidden = rng.normal(size=(PROTEINS, len(STORED_TOKENS), 2))
    tokens = hidden @ rng.normal(size=(2, PLANTED_WIDTH)) + 0.05 * rng.normal(size=(PROTEINS, 13, PLANTED_WIDTH))
    folder = tmp_path_factory.mktemp("planted") / "store"
    identity = EncoderIdentity("planted", "1" * 64, PLANTED_WIDTH)
    with StoreWriter(folder, identity, LongPolicy("full", 1022)) as writer:
        keys = [sequence_key("A" * (n + 1)) for n in range(PROTEINS)]
        writer.append(keys, [50] * PROTEINS, [50] * PROTEINS, tokens.astype(np.float16))
    decides = hidden[:, STORED_TOKENS.index(f"segment{PLANTED}"), 0]

    def pairs(low: int, high: int, count: int) -> Pairs:
        a, b = rng.integers(low, high, size=(2, count))
        return Pairs(a, b, (decides[a] + decides[b] > 0).astype(np.int8))

    return Planted(FeatureStore(folder), pairs(0, 60, 300), pairs(60, PROTEINS, 40))


@pytest.fixture(scope="session")
def settings() -> SurrogateSettings:
    space = {"max_depth": {"type": "int", "low": 4, "high": 8}, "max_features": 0.5}
    return SurrogateSettings(
        autoencoder=AutoencoderSettings((8,), 3, None, epochs=25, patience=5, batch_size=8, lr=0.01, held_out=0.1),
        forest=ForestSettings(trees=40, trial_trees=10, trials=2, space=space),
        dnn=DnnSettings(
            (16,), epochs=15, patience=3, batch_size=32, lr=0.01, weight_decay=0.01, background=20, ig_steps=512
        ),
        folds=2,
        folds_by="proteins",
        max_pairs=1000,
        seed=0,
    )


@pytest.fixture(scope="session")
def surrogate(
    planted: Planted, settings: SurrogateSettings, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Surrogate, list[int]]:
    """A fitted one, and what its progress was told."""
    told: list[int] = []
    cache = tmp_path_factory.mktemp("cache")
    fitted = fit_surrogate(planted.store, SEGMENTS, *planted.train, settings, cache=cache, jobs=1, advance=told.append)
    return fitted, told


@pytest.fixture(scope="session")
def other_settings(settings: SurrogateSettings) -> SurrogateSettings:
    return replace(settings, seed=1)


class Additive(PairNetwork):
    """logit = sum over tokens t of both proteins of weight[t] . x[t]: what a token adds does not depend on the rest."""

    layout = SEGMENTS
    Hyper = Hyperparameters

    def __init__(self, width: int, hyper: Hyperparameters) -> None:
        super().__init__(width, hyper)
        self.weight = nn.Parameter(torch.randn(len(self.layout), width))

    def logit(self, a: Tensor, b: Tensor) -> Tensor:
        return ((a + b) * self.weight).sum(dim=(1, 2))

    def added(self, a: Tensor, b: Tensor, baseline: Tensor) -> Tensor:
        """(n, 2T) the exact answer."""
        scale = self.standardise.std
        parts = [((x - baseline) / scale * self.weight).sum(dim=-1) for x in (a, b)]
        return torch.cat(parts, dim=1).detach()


@pytest.fixture
def additive() -> Additive:
    torch.manual_seed(4)
    network = Additive(4, Hyperparameters(scale_from=None))
    network.standardise.fit(torch.randn(10, 4), torch.rand(10, 4) + 0.5)
    return network


@pytest.fixture(params=list(NETWORKS))
def trained(
    request: pytest.FixtureRequest,
    make_network: Callable[..., PairNetwork],
    dataset: Callable[[TokenLayout], PairDataset],
) -> PairNetwork:
    """Each network of the project after a few steps on random pairs, left in training mode."""
    network = make_network(request.param).train()
    pairs = dataset(network.layout)
    fit_inputs(network, pairs, standardised=True)
    optimiser = torch.optim.AdamW(network.parameters(), lr=3e-3)
    batch = pairs.__getitems__(range(32))
    for _ in range(5):
        optimiser.zero_grad()
        logits = network.training_logits(batch.a, batch.b)
        target = batch.label if logits.ndim == 1 else batch.label[:, None].expand_as(logits)
        nn.functional.binary_cross_entropy_with_logits(logits, target).backward()
        optimiser.step()
    optimiser.zero_grad()
    return network


@pytest.fixture
def pairs(trained: PairNetwork, dataset: Callable[[TokenLayout], PairDataset]) -> tuple[Tensor, Tensor]:
    """Raw tokens of six pairs that it was not trained on."""
    batch = dataset(trained.layout).__getitems__(range(40, 46))
    return batch.a, batch.b


@pytest.fixture
def random_pairs() -> Callable[..., tuple[Tensor, Tensor]]:
    """``random_pairs(count, network)``: random tokens (count, T, D) of both chains."""

    def make(count: int, network: PairNetwork) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(1)
        a, b = torch.randn(2, count, len(network.layout), network.width, generator=generator)
        return a, b

    return make
