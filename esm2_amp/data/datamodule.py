"""Loaders of training and validation batches."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
from torch.utils.data import DataLoader, SequentialSampler

from esm2_amp.data.batch import PairBatch
from esm2_amp.data.dataset import EpochSampler, PairDataset


def _as_gathered(batch: Any) -> Any:
    return batch


def pair_loader(
    dataset: PairDataset, batch_size: int, workers: int, *, shuffle_seed: int | None
) -> DataLoader[PairBatch]:
    """Batches of pairs: in a new order every epoch if ``shuffle_seed`` is given, else in file order."""
    return DataLoader(
        dataset,
        batch_size=batch_size,
        sampler=SequentialSampler(dataset) if shuffle_seed is None else EpochSampler(len(dataset), shuffle_seed),
        collate_fn=_as_gathered,
        num_workers=workers,
        persistent_workers=workers > 0,
    )


class PairDataModule(pl.LightningDataModule):
    """Training pairs shuffled, validation pairs in order."""

    def __init__(self, train: PairDataset, val: PairDataset, batch_size: int, workers: int, seed: int) -> None:
        super().__init__()
        self.train, self.val = train, val
        self.batch_size, self.workers, self.seed = batch_size, workers, seed

    def train_dataloader(self) -> DataLoader[PairBatch]:
        """Shuffled anew each epoch."""
        loader = pair_loader(self.train, self.batch_size, self.workers, shuffle_seed=self.seed)
        if self.trainer is not None and self.trainer.world_size == 1 and isinstance(loader.sampler, EpochSampler):
            # workers fetch ahead at once: in a resumed run that is before Lightning tells the sampler its epoch
            loader.sampler.set_epoch(self.trainer.fit_loop.epoch_progress.current.processed)
        return loader

    def val_dataloader(self) -> DataLoader[PairBatch]:
        """In file order."""
        return pair_loader(self.val, self.batch_size, self.workers, shuffle_seed=None)
