"""Training learns, keeps its best weights, and ends the same however often it is interrupted."""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from sklearn.metrics import average_precision_score

from esm2_amp.data.datamodule import PairDataModule
from esm2_amp.data.dataset import PairDataset
from esm2_amp.features.store import FeatureStore
from esm2_amp.layout import TokenLayout
from esm2_amp.models.network import PairNetwork
from esm2_amp.models.optimisation import Optimisation
from esm2_amp.models.predictor import score
from esm2_amp.models.training import Fit, History, fit, fit_inputs

OPTIONS: dict[str, Any] = {
    "accelerator": "cpu", "devices": 1, "logger": False, "enable_progress_bar": False, "enable_model_summary": False,
}  # fmt: skip

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*does not have many workers", "ignore:Checkpoint directory", "ignore:.*LeafSpec"
)


class Killed(Exception):
    """Stands for the death of the process."""


class KillAt(Callback):
    """Dies in a batch of an epoch, or while the checkpoint of that number is being made."""

    def __init__(self, where: Literal["batch", "checkpoint"], number: int) -> None:
        self.where, self.number, self.count = where, number, 0

    def _reached(self, where: str) -> None:
        self.count += where == self.where
        if self.count == self.number:
            raise Killed

    def on_train_batch_end(self, *_: Any) -> None:
        self._reached("batch")

    def on_save_checkpoint(self, *_: Any) -> None:
        self._reached("checkpoint")


class Epochs(Callback):
    """Notes each epoch that is trained."""

    def __init__(self) -> None:
        self.trained: list[int] = []

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.trained.append(trainer.current_epoch)


Train = Callable[..., tuple[PairNetwork, Fit]]


@pytest.fixture(scope="module")
def train(make_network: Callable[..., PairNetwork], dataset: Callable[[TokenLayout], PairDataset]) -> Train:
    """``train(folder, name)``: 64 pairs in batches of 16, validated on the same pairs or on their opposite."""

    def run(
        folder: Path,
        name: str = "amps",
        *,
        epochs: int = 5,
        patience: int = 100,
        seed: int = 1,
        lr: float = 1e-3,
        flip: bool = False,
        workers: int = 0,
        ema: float | None = None,
        callbacks: Sequence[Callback] = (),
    ) -> tuple[PairNetwork, Fit]:
        network = make_network(name)
        pairs = dataset(network.layout)
        val = PairDataset(pairs.store, pairs.layout, pairs.a, pairs.b, 1 - pairs.label) if flip else pairs
        data = PairDataModule(pairs, val, batch_size=16, workers=workers, seed=seed)
        outcome = fit(
            network, Optimisation(lr, 0.01, 0.5, 0, 1e-8, ema), data, folder,
            epochs=epochs, patience=patience, seed=seed, trainer_options=OPTIONS, callbacks=callbacks,
        )  # fmt: skip
        return network, outcome

    return run


Whole = tuple[PairNetwork, Fit, Path]


@pytest.fixture(scope="module")
def whole(train: Train, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    """AMPS trained without interruption."""
    folder = tmp_path_factory.mktemp("whole")
    return (*train(folder, flip=True), folder)


def last(folder: Path) -> dict[str, Any]:
    return dict(torch.load(folder / "last.ckpt", weights_only=True))


def same(one: PairNetwork, other: PairNetwork) -> bool:
    return all(torch.equal(p, q) for p, q in zip(one.state_dict().values(), other.state_dict().values(), strict=True))


def test_dpm_learns_64_pairs_by_heart(train: Train, tmp_path: Path) -> None:
    _, outcome = train(tmp_path, "dpm", epochs=15, lr=3e-3)
    assert outcome.best_aupr > 0.95


def test_the_network_ends_with_its_best_weights(
    train: Train, dataset: Callable[[TokenLayout], PairDataset], tmp_path: Path
) -> None:
    rows: list[tuple[int, dict[str, float]]] = []
    epochs = Epochs()
    network, outcome = train(tmp_path, "dpm", flip=True, callbacks=[epochs, History(lambda *row: rows.append(row))])
    assert not network.training
    assert epochs.trained == [epoch for epoch, _ in rows] == list(range(5))
    auprs = [metrics["val/aupr"] for _, metrics in rows]
    assert outcome == Fit(5, int(np.argmax(auprs)), max(auprs))
    assert outcome.best_epoch < 4  # learning by heart is no help with flipped labels
    pairs = dataset(network.layout)
    logits = score(network, pairs, 10, torch.device("cpu"), lambda _: None)
    assert average_precision_score(1 - pairs.label, logits) == pytest.approx(outcome.best_aupr, abs=1e-6)


def test_a_training_ends_the_same_for_the_same_seed(train: Train, whole: Whole, tmp_path: Path) -> None:
    network, outcome = train(tmp_path / "same", flip=True)
    assert same(network, whole[0])
    assert outcome == whole[1]
    train(tmp_path / "other", flip=True, seed=2)
    weights = "network.head.0.weight"
    assert not torch.equal(last(tmp_path / "other")["state_dict"][weights], last(whole[2])["state_dict"][weights])


def ends_equal(resumed: tuple[PairNetwork, Fit], folder: Path, whole: Whole) -> None:
    assert resumed[1] == whole[1]
    assert same(resumed[0], whole[0])
    ours, theirs = last(folder), last(whole[2])
    assert ours["optimizer_states"][0]["param_groups"][0]["lr"] < 1e-3  # lowered on the way
    for part in ("state_dict", "optimizer_states", "plateau", "epoch", "global_step"):
        torch.testing.assert_close(ours[part], theirs[part], rtol=0, atol=0)


def test_a_training_in_two_parts_ends_as_one(train: Train, whole: Whole, tmp_path: Path) -> None:
    train(tmp_path, flip=True, epochs=2)
    epochs = Epochs()
    resumed = train(tmp_path, flip=True, callbacks=[epochs])
    assert epochs.trained == [2, 3, 4]
    ends_equal(resumed, tmp_path, whole)


class Weights(Callback):
    """Averages the weights after every step by hand, d * average + (1 - d) * weights, from the first step's on."""

    def __init__(self, decay: float) -> None:
        self.decay, self.average = decay, list[torch.Tensor]()

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        now = [p.detach().double() for p in pl_module.parameters()]
        old = self.average or now
        self.average = [self.decay * a + (1 - self.decay) * w for a, w in zip(old, now, strict=True)]


def test_the_average_of_the_weights_is_validated_and_kept(
    train: Train, dataset: Callable[[TokenLayout], PairDataset], tmp_path: Path
) -> None:
    weights = Weights(0.9)
    network, outcome = train(tmp_path, "dpm", lr=3e-3, ema=0.9, callbacks=[weights])
    assert outcome.best_epoch == 4  # so that the model kept is the last one
    for kept, by_hand in zip(network.parameters(), weights.average, strict=True):
        torch.testing.assert_close(kept.double(), by_hand, rtol=1e-4, atol=1e-6)
    pairs = dataset(network.layout)
    logits = score(network, pairs, 10, torch.device("cpu"), lambda _: None)
    assert average_precision_score(pairs.label, logits) == pytest.approx(outcome.best_aupr, abs=1e-6)


def test_a_killed_training_goes_on_with_its_average(train: Train, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"name": "dpm", "flip": True, "ema": 0.9}
    whole = (*train(tmp_path / "whole", **settings), tmp_path / "whole")
    with pytest.raises(Killed):
        train(tmp_path / "broken", callbacks=[KillAt("batch", 10)], **settings)
    ends_equal(train(tmp_path / "broken", **settings), tmp_path / "broken", whole)
    ours, theirs = last(tmp_path / "broken"), last(tmp_path / "whole")
    torch.testing.assert_close(ours["current_model_state"], theirs["current_model_state"], rtol=0, atol=0)


def test_processes_that_fetch_ahead_change_nothing(train: Train, tmp_path: Path) -> None:
    network, outcome = train(tmp_path / "whole", "dpm", flip=True)
    train(tmp_path / "resumed", "dpm", flip=True, workers=1, epochs=2)
    resumed = train(tmp_path / "resumed", "dpm", flip=True, workers=1)
    ends_equal(resumed, tmp_path / "resumed", (network, outcome, tmp_path / "whole"))


@pytest.mark.parametrize(
    ("where", "number"), [("batch", 1), ("batch", 6), ("checkpoint", 1), ("checkpoint", 2), ("checkpoint", 4)]
)
def test_a_killed_training_goes_on_and_ends_as_if_it_had_not_been(
    train: Train, whole: Whole, tmp_path: Path, where: Literal["batch", "checkpoint"], number: int
) -> None:
    with pytest.raises(Killed):
        train(tmp_path, flip=True, callbacks=[KillAt(where, number)])
    ends_equal(train(tmp_path, flip=True), tmp_path, whole)


def test_control_c_is_not_taken_for_an_exit(train: Train, tmp_path: Path) -> None:
    class Interrupt(Callback):
        def on_train_batch_end(self, *_: Any) -> None:
            raise KeyboardInterrupt

    handler = signal.getsignal(signal.SIGINT)
    try:
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path, "dpm", callbacks=[Interrupt()])
    finally:
        signal.signal(signal.SIGINT, handler)  # Lightning leaves it ignored


def test_a_finished_training_is_not_repeated(train: Train, tmp_path: Path) -> None:
    network, outcome = train(tmp_path, "dpm")
    epochs = Epochs()
    again, same_outcome = train(tmp_path, "dpm", callbacks=[epochs])
    assert epochs.trained == []
    assert same(network, again)
    assert outcome == same_outcome


def test_training_stops_early_and_a_resumed_one_stays_stopped(train: Train, tmp_path: Path) -> None:
    epochs = Epochs()
    network, outcome = train(tmp_path / "run", "dpm", epochs=50, patience=3, lr=3e-3, flip=True, callbacks=[epochs])
    assert outcome.epochs == len(epochs.trained) == outcome.best_epoch + 1 + 3
    again = Epochs()
    resumed, same_outcome = train(tmp_path / "run", "dpm", epochs=50, patience=3, lr=3e-3, flip=True, callbacks=[again])
    assert again.trained == []
    assert same(network, resumed)
    assert outcome == same_outcome


def test_early_stopping_counts_across_an_interruption(train: Train, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"name": "dpm", "patience": 3, "lr": 3e-3, "flip": True}
    _, whole = train(tmp_path / "whole", epochs=50, **settings)
    train(tmp_path / "run", epochs=whole.epochs - 1, **settings)
    _, resumed = train(tmp_path / "run", epochs=50, **settings)
    assert resumed == whole


def test_a_dimension_that_does_not_vary_is_only_centred(
    small_store: FeatureStore, make_network: Callable[..., PairNetwork]
) -> None:
    network = make_network("dpm")
    rows = np.array([3, 3, 3])
    pairs = PairDataset(small_store, network.layout, rows, rows, np.ones(3, np.int8))
    fit_inputs(network, pairs, standardised=True)
    tokens = torch.from_numpy(small_store.gather(rows[:1], network.layout.stored)).float()
    torch.testing.assert_close(network.standardise(tokens), torch.zeros_like(tokens))
