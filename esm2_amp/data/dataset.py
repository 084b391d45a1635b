"""Pairs as indices into the feature store: tokens are gathered per batch, never copied per pair."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset, Sampler

from esm2_amp.data.batch import PairBatch
from esm2_amp.features.store import FeatureStore
from esm2_amp.layout import TokenLayout


class PairDataset(Dataset[PairBatch]):
    """Pairs whose proteins all have features.

    Args:
        store: where the features are.
        layout: tokens to gather.
        a: (n,) store rows of the first proteins.
        b: (n,) store rows of the second proteins.
        label: (n,) 1, 0 or -1.

    Raises:
        InputError: the store does not hold one of the tokens.
    """

    def __init__(
        self,
        store: FeatureStore,
        layout: TokenLayout,
        a: NDArray[np.int64],
        b: NDArray[np.int64],
        label: NDArray[np.int8],
    ) -> None:
        store.check_tokens(layout.stored)  # here, not in a worker process
        self.store, self.layout, self.a, self.b, self.label = store, layout, a, b, label

    def __len__(self) -> int:
        return len(self.a)

    def __getitem__(self, index: int) -> PairBatch:
        return self.__getitems__([index])

    def __getitems__(self, indices: Sequence[int]) -> PairBatch:
        """Gather a whole batch at once (torch's DataLoader calls this where it exists)."""
        rows = np.asarray(indices, dtype=np.int64)
        return PairBatch(
            self._tokens(self.a[rows]),
            self._tokens(self.b[rows]),
            torch.from_numpy(self.label[rows].astype(np.float32)),
            torch.from_numpy(rows),
        )

    def _tokens(self, rows: NDArray[np.int64]) -> torch.Tensor:
        return torch.from_numpy(self.store.gather(rows, self.layout.stored)).float()


class EpochSampler(Sampler[int]):
    """A new order every epoch that depends on the seed and the epoch alone, so that a resumed run repeats it."""

    def __init__(self, size: int, seed: int) -> None:
        self.size, self.seed, self.epoch = size, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.size

    def __iter__(self) -> Iterator[int]:
        order: list[int] = np.random.default_rng((self.seed, self.epoch)).permutation(self.size).tolist()
        return iter(order)
