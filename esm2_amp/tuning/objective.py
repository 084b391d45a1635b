"""One trial: k folds of the training pairs, each with its own seed and fresh weights."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytorch_lightning as pl
import torch
from numpy.typing import NDArray
from pytorch_lightning.callbacks import Callback

from esm2_amp.data.batch import PairBatch
from esm2_amp.data.datamodule import PairDataModule
from esm2_amp.data.dataset import PairDataset
from esm2_amp.data.folds import Fold, protein_disjoint_folds, stratified_folds
from esm2_amp.errors import InputError
from esm2_amp.features.store import FeatureStore
from esm2_amp.models.network import PairNetwork
from esm2_amp.models.optimisation import Optimisation
from esm2_amp.models.training import fit, fit_inputs
from esm2_amp.tuning.scores import Metric

SPLITS = ("stratified", "proteins")


class Candidate(NamedTuple):
    """What a trial tries out; ``build`` draws fresh weights from torch's generator."""

    build: Callable[[], PairNetwork]
    optimisation: Optimisation
    standardise: bool
    batch_size: int


class Moment(NamedTuple):
    """How far a trial is: fold and epoch from 0, and its score so far (see :class:`CrossValidation`)."""

    fold: int
    epoch: int
    score: float
    folds_done: tuple[float, ...]


class EpochScores(Callback):
    """The score of the held pairs after every epoch, handed to ``report(epoch)``."""

    def __init__(self, metric: Metric, report: Callable[[int], None]) -> None:
        self.metric, self.report = metric, report
        self.scores: list[float] = []
        self._logits: list[torch.Tensor] = []
        self._labels: list[torch.Tensor] = []

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begin anew."""
        self._logits, self._labels = [], []

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: PairBatch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep what the step gave."""
        self._logits.append(outputs.detach().cpu())
        self._labels.append(batch.label.cpu())

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """After the validation of this epoch."""
        logits = torch.cat(self._logits).double()
        if not torch.isfinite(logits).all():
            raise InputError(f"training diverged: logits that are not finite after epoch {trainer.current_epoch}")
        label = torch.cat(self._labels).long().numpy()
        self.scores.append(self.metric.score(label, logits.sigmoid().numpy()))
        self.report(trainer.current_epoch)


@dataclass(frozen=True, eq=False)
class CrossValidation:
    """The same folds and seeds for every candidate, so that scores differ by the candidate alone.

    Each fold trains as :func:`~esm2_amp.models.training.fit` does, with the fold's held pairs in the place of the
    validation pairs: they stop the training and choose its best epoch (by AUPR), whose score is the fold's. Fold
    scores are therefore a little too good, for every candidate alike; they serve comparison only.

    While it runs, the score so far is the mean of the finished folds and of the best yet of the present one.
    """

    store: FeatureStore
    a: NDArray[np.int64]
    b: NDArray[np.int64]
    label: NDArray[np.int8]
    folds: Sequence[Fold]
    metric: Metric
    epochs: int
    patience: int
    seed: int
    workers: int
    trainer_options: dict[str, Any]

    def run(self, candidate: Candidate, scratch: Path, report: Callable[[Moment], None]) -> list[float]:
        """Train and measure every fold.

        Args:
            candidate: what to try.
            scratch: folder for checkpoints, which are removed after each fold.
            report: told after every epoch; may end the trial by an exception.

        Returns:
            The score of each fold.

        Raises:
            InputError: training diverged.
        """
        done: list[float] = []
        for number in range(len(self.folds)):
            done.append(self._fold(number, candidate, scratch, tuple(done), report))
        return done

    def _fold(
        self,
        number: int,
        candidate: Candidate,
        scratch: Path,
        done: tuple[float, ...],
        report: Callable[[Moment], None],
    ) -> float:
        seed = fold_seed(self.seed, number)
        pl.seed_everything(seed, verbose=False)
        network = candidate.build()
        train, held = (self._pairs(network, part) for part in self.folds[number][:2])
        fit_inputs(network, train, standardised=candidate.standardise)

        def told(epoch: int) -> None:
            report(Moment(number, epoch, statistics.fmean((*done, self.metric.best(scores.scores))), done))

        scores = EpochScores(self.metric, told)
        scratch.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f"fold{number}-", dir=scratch) as folder:
            outcome = fit(
                network,
                candidate.optimisation,
                PairDataModule(train, held, candidate.batch_size, self.workers, seed),
                Path(folder),
                epochs=self.epochs,
                patience=self.patience,
                seed=seed,
                trainer_options=self.trainer_options,
                callbacks=[scores],
            )
        return scores.scores[outcome.best_epoch]

    def _pairs(self, network: PairNetwork, chosen: NDArray[np.int64]) -> PairDataset:
        return PairDataset(self.store, network.layout, self.a[chosen], self.b[chosen], self.label[chosen])


def fold_seed(seed: int, fold: int) -> int:
    """The seed of weights, order and dropout in a fold."""
    return int(np.random.SeedSequence((seed, fold)).generate_state(1)[0])


def make_folds(
    split: str, a: NDArray[np.int64], b: NDArray[np.int64], label: NDArray[np.int8], k: int, seed: int
) -> list[Fold]:
    """Deal pairs into folds by ``split``: see :mod:`esm2_amp.data.folds`.

    Raises:
        InputError: an unknown split, or folds that cannot be made of these pairs.
    """
    if split == "stratified":
        return stratified_folds(label, k, seed)
    if split == "proteins":
        return protein_disjoint_folds(a, b, label, k, seed)
    raise InputError(f"tune.split is {split!r}", remedy=f"Use {' or '.join(SPLITS)}.")
