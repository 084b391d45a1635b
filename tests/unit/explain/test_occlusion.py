"""Occlusion against a loop, and the forward passes that it and the curves share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from esm2_amp.explain.forward import replaced_logits
from esm2_amp.explain.occlusion import occlusion
from esm2_amp.models.network import PairNetwork

Pairs = tuple[Tensor, Tensor]


def test_it_equals_a_loop_over_tokens(trained: PairNetwork, pairs: Pairs) -> None:
    baseline = torch.randn_like(trained.standardise.mean)
    found = occlusion(trained, *pairs, baseline)
    assert trained.training
    trained.eval()
    for j in range(2 * len(trained.layout)):
        chains = [chain.clone() for chain in pairs]
        which, token = divmod(j, len(trained.layout))
        chains[which][:, token] = baseline[token]
        with torch.no_grad():
            expected = trained(*pairs) - trained(*chains)
        torch.testing.assert_close(found[:, j], expected, rtol=1e-4, atol=1e-5)


def test_in_an_additive_network_it_is_what_each_token_adds(additive: Any, random_pairs: Callable[..., Pairs]) -> None:
    a, b = random_pairs(30, additive)  # more variants than one forward pass holds
    baseline = torch.randn(10, 4)
    torch.testing.assert_close(
        occlusion(additive, a, b, baseline), additive.added(a, b, baseline), rtol=1e-4, atol=1e-4
    )


def test_all_tokens_replaced_is_the_baseline_and_none_is_the_pair(
    additive: Any, random_pairs: Callable[..., Pairs]
) -> None:
    a, b = random_pairs(2, additive)
    baseline = torch.randn(10, 4)
    masks = torch.stack((torch.zeros(20), torch.ones(20))).bool().expand(2, -1, -1)
    found = replaced_logits(additive, a, b, baseline, masks)
    with torch.no_grad():
        expected = torch.stack((additive(a, b), additive(baseline[None], baseline[None]).expand(2)), dim=1)
    torch.testing.assert_close(found, expected.double(), rtol=1e-5, atol=1e-5)


def test_no_pair_gives_no_row(additive: Any) -> None:
    none = torch.empty(0, 10, 4)
    assert occlusion(additive, none, none, torch.zeros(10, 4)).shape == (0, 20)
