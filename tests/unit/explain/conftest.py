"""Networks to explain whose right answers are known, and those of the project after a little training."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from functools import cache

import pytest
import torch
from torch import Tensor, nn

from esm2_amp.data.dataset import PairDataset
from esm2_amp.layout import SEGMENTS, TokenLayout
from esm2_amp.models.network import Hyperparameters, PairNetwork
from esm2_amp.models.networks import NETWORKS
from esm2_amp.models.training import fit_inputs


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


@pytest.fixture(scope="session")
def teach(
    make_network: Callable[..., PairNetwork], dataset: Callable[[TokenLayout], PairDataset]
) -> Callable[[str], PairNetwork]:
    """``teach(name)``: a network of the project after a few steps on random pairs, in training mode."""

    @cache
    def teach(name: str) -> PairNetwork:
        network = make_network(name).train()
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

    return teach


@pytest.fixture(params=list(NETWORKS))
def trained(request: pytest.FixtureRequest, teach: Callable[[str], PairNetwork]) -> PairNetwork:
    """Each network of the project after a little training, in training mode, to do with as one likes."""
    return deepcopy(teach(request.param))


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
