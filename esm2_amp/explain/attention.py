"""Attention: which tokens the encoder of a trained network looks at.

Weights say where the encoder looks, not what the logit depends on: compare them with occlusion and the faithfulness
measures before believing them (Jain & Wallace 2019, arXiv 1902.10186).
"""

from __future__ import annotations

import torch
from torch import Tensor

from esm2_amp.errors import InputError
from esm2_amp.explain.forward import ROWS, evaluation_mode, joined
from esm2_amp.models.amps import AMPS
from esm2_amp.models.network import PairNetwork
from esm2_amp.models.networks import NETWORKS

BLOCKS = ("A->A", "A->B", "B->A", "B->B")
"""What :func:`block_structure` measures: query's chain -> key's chain."""


def has_attention(network: PairNetwork) -> bool:
    """Whether the network has an encoder with attention."""
    return isinstance(network, AMPS)


def attention_weights(network: PairNetwork, a: Tensor, b: Tensor) -> Tensor:
    """Attention weights of the network's own forward pass, in evaluation mode.

    Args:
        network: one with attention.
        a: (n, T, D) raw tokens of the first proteins.
        b: (n, T, D) raw tokens of the second proteins.

    Returns:
        (n, layers, heads, 2T, 2T) float32 on the CPU: row = query, column = key, each row sums to 1, both in the order
        of ``layout.pair_names``.

    Raises:
        InputError: the network has no attention.
    """
    if not isinstance(network, AMPS):
        have = ", ".join(name for name, kind in NETWORKS.items() if issubclass(kind, AMPS))
        raise InputError(
            f"{type(network).__name__} has no attention to look at",
            remedy=f"Choose another method; the models with attention are {have}.",
        )
    found = []
    with evaluation_mode(network), torch.no_grad():
        for pairs in torch.split(joined(network, a, b), ROWS):
            first, second = pairs.chunk(2, dim=1)
            layers: list[Tensor] = []
            network.logit(network.standardise(first), network.standardise(second), layers)
            found.append(torch.stack(layers, dim=1).cpu())
    return torch.cat(found)


def received(weights: Tensor) -> Tensor:
    """(n, 2T) attention that each token receives: the mean over layers, heads and queries; sums to 1."""
    return weights.mean(dim=(1, 2, 3))


def rollout(weights: Tensor) -> Tensor:
    """Attention followed through the layers to the input tokens; (n, 2T), sums to 1.

    R = A_L ... A_2 A_1 with A_l = (mean over heads of W_l + I) / 2, the I for the residual connection; then the mean
    over the rows of R, since the networks' heads read the mean over tokens.

    Source: Abnar & Zuidema 2020 (arXiv 2005.00928).
    """
    n, layers, _, tokens, _ = weights.shape
    identity = torch.eye(tokens, device=weights.device, dtype=weights.dtype)
    flow = identity.expand(n, tokens, tokens)
    for layer in range(layers):
        flow = (weights[:, layer].mean(dim=1) + identity) / 2 @ flow
    return flow.mean(dim=1)


def block_structure(weights: Tensor) -> Tensor:
    """(n, layers, 4) shares of all attention within and between the chains, in the order of :data:`BLOCKS`.

    The mean over heads; the four shares sum to 1, and .25 each is what even attention gives.
    """
    n, layers, _, tokens, _ = weights.shape
    chain = tokens // 2
    blocks = weights.mean(dim=2).reshape(n, layers, 2, chain, 2, chain)
    return blocks.sum(dim=(3, 5)).flatten(2) / tokens
