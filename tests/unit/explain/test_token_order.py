"""Methods, models and TokenLayout agree on which entry belongs to which token."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from esm2_amp.explain.attention import attention_weights, received
from esm2_amp.explain.gradients import integrated_gradients
from esm2_amp.explain.occlusion import occlusion
from esm2_amp.layout import STORED_TOKENS
from esm2_amp.models.amps import AMPS
from esm2_amp.models.network import PairNetwork
from esm2_amp.models.networks import NETWORKS


def tokens_named(network: PairNetwork, name: str, chain: str) -> tuple[Tensor, Tensor, Tensor]:
    """A pair in which one token by its name, gathered as the store gathers, differs from the baseline."""
    generator = torch.Generator().manual_seed(5)
    stored = torch.randn(len(STORED_TOKENS), network.width, generator=generator)
    changed = stored.clone()
    changed[STORED_TOKENS.index(name)] += torch.randn(network.width, generator=generator)
    gathered = list(network.layout.stored)
    plain, other = stored[gathered], changed[gathered]
    return (other if chain == "A" else plain)[None], (other if chain == "B" else plain)[None], plain


@pytest.mark.parametrize("chain", ["A", "B"])
def test_a_changed_token_moves_its_entry_alone(trained: PairNetwork, chain: str) -> None:
    names = trained.layout.pair_names
    for name in trained.layout:
        a, b, baseline = tokens_named(trained, name, chain)
        gradients = integrated_gradients(trained, a, b, baseline, 0.1, 8)
        for values in (gradients.signed[0], gradients.absolute[0], occlusion(trained, a, b, baseline)[0]):
            where = names.index(f"{chain}_{name}")
            assert values[where] != 0, name
            others = torch.arange(len(names)) != where
            assert (values[others].abs() <= 1e-5).all(), name


@pytest.mark.parametrize("trained", [name for name, kind in NETWORKS.items() if issubclass(kind, AMPS)], indirect=True)
@pytest.mark.parametrize("chain", ["A", "B"])
def test_attention_follows_its_token(trained: PairNetwork, chain: str) -> None:
    # without positions, equal tokens receive equal attention: the one that differs stands out
    names = trained.layout.pair_names
    trained.standardise.fit(torch.zeros_like(trained.standardise.mean), torch.ones_like(trained.standardise.std))
    for j, name in enumerate(trained.layout):
        a, b = torch.ones(2, 1, len(trained.layout), trained.width)
        (a if chain == "A" else b)[0, j] = torch.randn(trained.width, generator=torch.Generator().manual_seed(j))
        values = received(attention_weights(trained, a, b))[0]
        where = names.index(f"{chain}_{name}")
        apart = (values - values.median()).abs()
        assert int(apart.argmax()) == where
        others = torch.arange(len(names)) != where
        torch.testing.assert_close(values[others], values[others][:1].expand(len(names) - 1))
