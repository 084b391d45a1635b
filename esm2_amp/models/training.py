"""Fit a network: early stopping on validation AUPR, the best weights kept, resumable after any epoch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from numpy.typing import NDArray
from pytorch_lightning.callbacks import Callback, EarlyStopping, EMAWeightAveraging, ModelCheckpoint

from esm2_amp.data.datamodule import PairDataModule
from esm2_amp.data.dataset import PairDataset
from esm2_amp.errors import InputError
from esm2_amp.models.classifier import PairClassifier
from esm2_amp.models.network import PairNetwork
from esm2_amp.models.optimisation import Optimisation

MONITOR = "val/aupr"


@dataclass(frozen=True)
class Fit:
    """How training went: epochs run, the best one and its validation AUPR."""

    epochs: int
    best_epoch: int
    best_aupr: float


class EpochSeed(Callback):
    """Seeds torch at the start of each epoch, so that dropout does not depend on whether a run was resumed.

    At the first batch and not before: a loader draws from the same generator when its iterator is made, which is after
    the start of an epoch, but before it in the epoch with which a resumed run begins.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Another seed for every epoch and process."""
        if batch_idx > 0:
            return
        state = np.random.SeedSequence((self.seed, trainer.current_epoch, trainer.global_rank)).generate_state(1)
        torch.manual_seed(int(state[0]))


class History(Callback):
    """Hands the metrics of every epoch to ``report(epoch, metrics)``."""

    def __init__(self, report: Any) -> None:
        self.report = report

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """After validation of this epoch."""
        if trainer.is_global_zero:
            self.report(trainer.current_epoch, {k: float(v) for k, v in trainer.callback_metrics.items()})


def fit_inputs(network: PairNetwork, dataset: PairDataset, *, standardised: bool, chunk: int = 1024) -> None:
    """Fit what comes before the weights to the distinct proteins of the training pairs, in constant memory.

    Args:
        network: its standardisation, and what its own ``fit_inputs`` fits.
        dataset: the training pairs.
        standardised: centre and scale the tokens; False leaves them as they are.
        chunk: proteins read at once.
    """
    rows = np.unique(np.concatenate((dataset.a, dataset.b)))

    def tokens() -> Iterator[NDArray[np.float16]]:
        for start in range(0, len(rows), chunk):
            yield dataset.store.gather(rows[start : start + chunk], network.layout.stored)

    if standardised:
        total, square = np.zeros((2, len(network.layout), network.width))
        for batch in tokens():
            total += batch.sum(axis=0, dtype=np.float64)
            square += (batch.astype(np.float64) ** 2).sum(axis=0)
        mean = total / len(rows)
        std = np.sqrt(np.maximum(square / len(rows) - mean**2, 0))
        network.standardise.fit(torch.from_numpy(mean).float(), torch.from_numpy(std).float())
    network.fit_inputs(lambda: (network.standardise(torch.from_numpy(batch).float()) for batch in tokens()))


def fit(
    network: PairNetwork,
    optimisation: Optimisation,
    data: PairDataModule,
    folder: Path,
    *,
    epochs: int,
    patience: int,
    seed: int,
    trainer_options: dict[str, Any],
    callbacks: Sequence[Callback],
) -> Fit:
    """Train ``network`` in place and leave it with its best weights, in evaluation mode.

    Goes on from ``folder/last.ckpt`` where there is one, and then ends as the uninterrupted run would have.

    Args:
        network: fresh; standardisation fitted.
        optimisation: optimiser settings.
        data: training and validation pairs.
        folder: for Lightning's own checkpoints, which serve resuming only.
        epochs: at most so many.
        patience: stop after so many epochs without a better validation AUPR.
        seed: of the order of pairs and of dropout.
        trainer_options: keyword arguments of :class:`pytorch_lightning.Trainer`.
        callbacks: further ones.

    Raises:
        InputError: a checkpoint in ``folder`` is damaged; training diverged.
        KeyboardInterrupt: Ctrl-C.
    """
    module = PairClassifier(network, optimisation)
    best, last = folder / "best.ckpt", folder / "last.ckpt"
    begun = _read_checkpoint(last) if last.exists() else None
    if begun is None or not _stopped_early(begun):
        trainer = pl.Trainer(
            max_epochs=epochs,
            num_sanity_val_steps=0,
            callbacks=[EpochSeed(seed), *_averaging(optimisation), *_keepers(folder, patience), *callbacks],
            **trainer_options,
        )
        try:
            trainer.fit(module, datamodule=data, ckpt_path=None if begun is None else str(last), weights_only=True)
        except SystemExit as end:  # what Lightning makes of Ctrl-C
            if isinstance(end.__context__, KeyboardInterrupt):
                raise KeyboardInterrupt from end
            raise
    kept = _read_checkpoint(best)
    module.load_state_dict(kept["state_dict"])
    network.to("cpu").eval()
    epochs_run = int(_read_checkpoint(last)["epoch"]) + 1
    score = _callback_state(kept, "best_model_score")["best_model_score"]
    return Fit(epochs_run, int(kept["epoch"]), float(score))


def _averaging(optimisation: Optimisation) -> list[Callback]:
    """The running average of the weights: validated, kept in checkpoints and resumed in place of the weights."""
    if optimisation.ema_decay is None:
        return []
    return [EMAWeightAveraging(decay=optimisation.ema_decay, use_buffers=False)]


def _keepers(folder: Path, patience: int) -> list[Callback]:
    """Early stopping and checkpoints, all at the end of an epoch and in this order: the last knows of the others."""
    always: dict[str, Any] = {"save_on_train_epoch_end": True, "enable_version_counter": False, "save_top_k": 1}
    return [
        EarlyStopping(MONITOR, mode="max", patience=patience, check_on_train_epoch_end=True),
        ModelCheckpoint(folder, "best", MONITOR, mode="max", **always),
        ModelCheckpoint(folder, "last", **always),
    ]


def _read_checkpoint(file: Path) -> dict[str, Any]:
    try:
        checkpoint: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, UnpicklingError) as error:
        raise InputError("the checkpoint is damaged", file=file, remedy="Begin a new run.") from error
    return checkpoint


def _stopped_early(checkpoint: dict[str, Any]) -> bool:
    """True if the run was killed after early stopping had ended its training."""
    state = _callback_state(checkpoint, "wait_count")
    return bool(state["wait_count"] >= state["patience"])


def _callback_state(checkpoint: dict[str, Any], has: str) -> dict[str, Any]:
    """The state of the one callback that keeps a value (not None) under this name."""
    states: dict[str, dict[str, Any]] = checkpoint["callbacks"]
    return next(state for state in states.values() if state.get(has) is not None)
