"""Loaders of training and validation batches."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
from torch.utils.data import DataLoader, Sampler, SequentialSampler

from esm2_amp.data.batch import PairBatch
from esm2_amp.data.dataset import EpochSampler, PairDataset


def _as_gathered(batch: Any) -> Any:
    return batch


def pair_loader(
    dataset: PairDataset, batch_size: int, workers: int, sampler: Sampler[int] | None
) -> DataLoader[PairBatch]:
    """Batches of the pairs that the sampler names, or of all in file order."""
    return DataLoader(
        dataset,
        batch_size=batch_size,
        sampler=SequentialSampler(dataset) if sampler is None else sampler,
        collate_fn=_as_gathered,
        num_workers=workers,
        persistent_workers=workers > 0,
    )


class PairDataModule(pl.LightningDataModule):
    """Training pairs shuffled, validation pairs in order.

    Args:
        train: training pairs.
        val: validation pairs.
        batch_size: pairs a batch.
        workers: processes that gather batches; 0: this one.
        seed: the order of the training pairs follows from it.
    """

    def __init__(self, train: PairDataset, val: PairDataset, batch_size: int, workers: int, seed: int) -> None:
        super().__init__()
        self.train, self.val = train, val
        self.batch_size, self.workers, self.seed = batch_size, workers, seed

    def train_dataloader(self) -> DataLoader[PairBatch]:
        """Shuffled anew each epoch."""
        loader = pair_loader(self.train, self.batch_size, self.workers, EpochSampler(len(self.train), self.seed))
        if self.trainer is not None and self.trainer.world_size == 1 and isinstance(loader.sampler, EpochSampler):
            # workers fetch ahead at once: in a resumed run that is before Lightning tells the sampler its epoch
            loader.sampler.set_epoch(self.trainer.fit_loop.epoch_progress.current.processed)
        return loader

    def val_dataloader(self) -> DataLoader[PairBatch]:
        """In file order."""
        return pair_loader(self.val, self.batch_size, self.workers, None)
