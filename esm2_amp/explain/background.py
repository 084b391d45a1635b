"""The background of an explanation: what a token looks like where nothing is known of its protein."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from esm2_amp.errors import InputError
from esm2_amp.features.store import FeatureStore
from esm2_amp.models.network import PairNetwork

_PROTEINS = 256  # read from the store at once


def training_mean(network: PairNetwork, store: FeatureStore, rows: NDArray[np.int64], seed: int, size: int) -> Tensor:
    """Mean tokens of training proteins, each protein counted once.

    Args:
        network: whose tokens; without rows, the mean that its standardisation keeps is taken.
        store: features of proteins.
        rows: (n,) store rows of training proteins, in any order, repeated or not; may be empty.
        seed: of the draw.
        size: proteins drawn at most.

    Returns:
        (T, D) float32 raw tokens, in the order of the network's layout.

    Raises:
        InputError: no row, and the network keeps no mean.
    """
    if not len(rows):
        if not _is_fitted(network):
            raise InputError(
                "there is no training protein to take a background from: the feature store holds none, and the model "
                "was trained with standardise=false",
                remedy="Give the FASTA file of the training proteins, or extract them into the feature store.",
            )
        return network.standardise.mean.detach().cpu().clone()
    drawn = np.unique(rows)
    if len(drawn) > size:
        drawn = np.sort(np.random.default_rng(seed).choice(drawn, size, replace=False))
    total = np.zeros((len(network.layout), network.width))
    for start in range(0, len(drawn), _PROTEINS):
        total += store.gather(drawn[start : start + _PROTEINS], network.layout.stored).sum(axis=0, dtype=np.float64)
    return torch.from_numpy(total / len(drawn)).float()


def _is_fitted(network: PairNetwork) -> bool:
    """Whether standardisation is more than the identity."""
    kept = network.standardise
    return bool(kept.mean.any() or (kept.std != 1).any())
