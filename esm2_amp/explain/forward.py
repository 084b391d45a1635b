"""Forward passes of an explanation: in evaluation mode, with tokens replaced, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from esm2_amp.models.network import PairNetwork

ROWS = 256
"""Pairs in one forward pass at most; at 26 tokens of 1280 dimensions they are 34 MB."""


@contextmanager
def evaluation_mode(network: PairNetwork) -> Iterator[None]:
    """Switch dropout off for a while; then every part of the network is as it was."""
    modes = {module: module.training for module in network.modules()}
    network.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training


def joined(network: PairNetwork, a: Tensor, b: Tensor) -> Tensor:
    """Tokens (n, T, D) of both proteins as (n, 2T, D), in the order of ``pair_names``, where the network is."""
    return torch.cat((a, b), dim=1).to(network.standardise.mean.device)


def logits(network: PairNetwork, pairs: Tensor) -> Tensor:
    """Logits (n,) of joined tokens (n, 2T, D), in float64 on the CPU."""
    with torch.no_grad():
        parts = [network(*rows.chunk(2, dim=1)) for rows in torch.split(pairs, ROWS)]
    return torch.cat(parts).double().cpu()


def replaced_logits(network: PairNetwork, a: Tensor, b: Tensor, baseline: Tensor, replaced: Tensor) -> Tensor:
    """Logits of pairs with some of their tokens replaced by the baseline's.

    Args:
        network: the network; it runs in evaluation mode.
        a: (n, T, D) raw tokens of the first proteins.
        b: (n, T, D) raw tokens of the second proteins.
        baseline: (T, D) what a token is replaced by, the same for both chains.
        replaced: (n, k, 2T) bool, k choices of tokens for each pair, in the order of ``pair_names``.

    Returns:
        (n, k) float64 logits.
    """
    pairs, plain = joined(network, a, b), joined(network, baseline[None], baseline[None])[0]
    replaced = replaced.to(pairs.device)
    few = max(1, ROWS // replaced.shape[1])  # pairs whose variants are held at once
    found = []
    with evaluation_mode(network):
        for some, masks in zip(torch.split(pairs, few), torch.split(replaced, few), strict=True):
            variants = torch.where(masks[..., None], plain, some[:, None])
            found.append(logits(network, variants.flatten(0, 1)).view(masks.shape[:2]))
    return torch.cat(found)
