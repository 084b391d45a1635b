"""How far proteins lie from those that a network was trained on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from esm2_amp.features.store import FeatureStore
from esm2_amp.models.network import PairNetwork

_CHUNK = 1024
"""Proteins read at once."""


class TrainingDistances(NamedTuple):
    """Distances of the training proteins themselves; see :meth:`esm2_amp.models.blocks.Standardise.distance`."""

    median: float
    p99: float
    largest: float

    @classmethod
    def of(cls, distances: NDArray[np.float64]) -> TrainingDistances:
        """Of (n,) distances."""
        return cls(*(float(np.quantile(distances, share)) for share in (0.5, 0.99, 1.0)))

    @classmethod
    def from_metrics(cls, metrics: Mapping[str, Any]) -> TrainingDistances | None:
        """As a model's card has them among its metrics; None where it has not."""
        found = metrics.get("distance")
        if not isinstance(found, dict) or set(found) != set(cls._fields):
            return None
        return cls(**{name: float(value) for name, value in found.items()})


def distances(network: PairNetwork, store: FeatureStore, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """(n,) distance of the proteins in some store rows; a network without standardisation gives plain norms."""
    found = np.empty(len(rows))
    standardise = network.standardise
    with torch.inference_mode():
        for start in range(0, len(rows), _CHUNK):
            tokens = torch.from_numpy(store.gather(rows[start : start + _CHUNK], network.layout.stored)).float()
            found[start : start + _CHUNK] = standardise.distance(tokens.to(standardise.mean.device)).cpu().numpy()
    return found
