"""Occlusion: what the logit loses without a token."""

from __future__ import annotations

import torch
from torch import Tensor

from esm2_amp.explain.forward import replaced_logits
from esm2_amp.models.network import PairNetwork


def occlusion(network: PairNetwork, a: Tensor, b: Tensor, baseline: Tensor) -> Tensor:
    """Logit minus the logit with one token replaced by the baseline's, for each token; in evaluation mode.

    Args:
        network: the network.
        a: (n, T, D) raw tokens of the first proteins.
        b: (n, T, D) raw tokens of the second proteins.
        baseline: (T, D) raw tokens, the same for both chains.

    Returns:
        (n, 2T) float32 on the CPU, in the order of ``layout.pair_names``; above 0 where the token speaks for an
        interaction.

    Source: Zeiler & Fergus 2014 (arXiv 1311.2901).
    """
    tokens = 2 * len(baseline)
    one_each = torch.cat((torch.zeros(1, tokens, dtype=torch.bool), torch.eye(tokens, dtype=torch.bool)))
    found = replaced_logits(network, a, b, baseline, one_each.expand(len(a), -1, -1))
    return (found[:, :1] - found[:, 1:]).float()
