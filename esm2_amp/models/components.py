"""Principal components of what a network reads of each protein, found once before training."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import torch
from sklearn.decomposition import IncrementalPCA
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn

_BATCH = 1024  # proteins a step of the incremental decomposition, at least


class PrincipalComponents(nn.Module):
    """The first K principal components of F features, each divided by its standard deviation to a power.

    With ``whitening`` w: 0 leaves the components' own spread, 1 gives all of them the same; after that, all are
    divided by one number, so that their mean variance is 1. Until fitted, the first K features are passed through;
    components that fewer training proteins than K cannot give are 0.

    Source: incremental decomposition as in Ross et al. 2008 (doi 10.1007/s11263-007-0075-7), by scikit-learn.

    Args:
        features: F.
        components: K.
    """

    centre: Tensor
    projection: Tensor

    def __init__(self, features: int, components: int) -> None:
        super().__init__()
        self.register_buffer("centre", torch.zeros(features))
        self.register_buffer("projection", torch.eye(features, components))

    def fit(self, batches: Callable[[], Iterable[Tensor]], whitening: float) -> None:
        """Find the components.

        Args:
            batches: gives the features of all training proteins, (n, F) a batch; called twice.
            whitening: w, from 0 to 1.
        """
        scaler = StandardScaler()
        for batch in batches():
            scaler.partial_fit(batch.double().numpy())
        components = min(self.projection.shape[1], int(scaler.n_samples_seen_) - 1, len(self.centre))
        found = IncrementalPCA(components) if components > 0 else None
        for block in _blocks(batches(), max(_BATCH, components)):
            if found is not None:
                found.partial_fit(scaler.transform(block))
        self.centre.copy_(torch.from_numpy(scaler.mean_))
        self.projection.zero_()
        if found is None:
            return
        spread = np.sqrt(np.maximum(found.explained_variance_, 0))
        kept = spread > 1e-6 * spread.max()
        divisor = np.where(kept, spread, 1.0) ** whitening
        overall = np.sqrt(np.mean((spread / divisor)[kept] ** 2)) if kept.any() else 1.0
        rows = found.components_ * (kept / (divisor * overall))[:, None] / scaler.scale_
        self.projection[:, :components] = torch.from_numpy(rows.T).float()

    def forward(self, x: Tensor) -> Tensor:
        """(B, F) to (B, K)."""
        return (x - self.centre) @ self.projection


def _blocks(batches: Iterable[Tensor], size: int) -> Iterable[np.ndarray]:
    """The same rows in blocks of ``size`` to twice that: each must hold at least as many rows as components."""
    held: list[np.ndarray] = []
    for batch in batches:
        held.append(batch.double().numpy())
        if sum(map(len, held)) >= 2 * size:
            rows = np.concatenate(held)
            yield rows[:size]
            held = [rows[size:]]
    if held:
        yield np.concatenate(held)
