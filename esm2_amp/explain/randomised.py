"""What an explanation looks like without anything learnt, and without anything at all."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from esm2_amp.models.network import PairNetwork

FRESH = 3
"""Copies with random weights; what is measured on them is averaged."""


def randomised(network: PairNetwork, seed: int) -> PairNetwork:
    """Copy a network with freshly initialised weights, in evaluation mode; what was not learnt by gradient stays.

    An explanation that is the same for both does not come from what was learnt. Kept are the buffers: standardisation,
    and the principal components of AMPX.

    Source: Adebayo et al. 2018 (arXiv 1810.03292).
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        fresh = type(network)(network.width, network.hyper)
    buffers = dict(network.named_buffers())
    for name, buffer in fresh.named_buffers():
        buffer.copy_(buffers[name])
    return fresh.to(network.standardise.mean.device).eval()


def fresh_networks(network: PairNetwork, seed: int, count: int = FRESH) -> tuple[PairNetwork, ...]:
    """Copies of a network with random weights: a single one may by chance favour a kind of segment on every pair."""
    return tuple(randomised(network, seed + i) for i in range(count))


def random_values(pairs: NDArray[np.int64], tokens: int, seed: int) -> NDArray[np.float64]:
    """Random attributions (n, tokens), even on [-1, 1): what every method must beat.

    Args:
        pairs: (n,) numbers of the pairs; a pair has the same values in whichever batch it comes.
        tokens: tokens of a pair, 2T.
        seed: of the values.
    """
    return np.array([np.random.default_rng((seed, int(i))).uniform(-1, 1, tokens) for i in pairs]).reshape(-1, tokens)
