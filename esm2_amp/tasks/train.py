"""``esm2-amp train``: pairs and sequences in, a trained and measured model out."""

from __future__ import annotations

import logging
import os
import shutil
import sys
import time
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig

from esm2_amp.data.datamodule import PairDataModule
from esm2_amp.data.dataset import PairDataset
from esm2_amp.errors import InputError
from esm2_amp.evaluation.calibration import METHODS
from esm2_amp.features.store import FeatureStore
from esm2_amp.io.atomic import write_json
from esm2_amp.io.resolve import PairTable, count_issues
from esm2_amp.models.checkpoint import ModelCard, hyper_from, save_model
from esm2_amp.models.network import PairNetwork
from esm2_amp.models.networks import network_class
from esm2_amp.models.training import Fit, History, fit, fit_inputs
from esm2_amp.tasks.config import TrainConfig
from esm2_amp.tasks.console import log, say, start_logging, stop_logging_to_files
from esm2_amp.tasks.controls import CONTROLS, check_control, with_control
from esm2_amp.tasks.embedding import (
    IS_CHILD,
    EncoderChoice,
    check_features,
    ensure_features,
    set_threads,
    store_folder,
)
from esm2_amp.tasks.measuring import Measurement, measure, show_measurement, write_measurement, write_report
from esm2_amp.tasks.options import at_least, typed
from esm2_amp.tasks.run_folder import HistoryFile, open_run, versions
from esm2_amp.tasks.training_data import TrainingData, read_training_data


def run(cfg: DictConfig) -> dict[str, Any]:
    """Train, keep the best model, test it once, and fill the run folder; returns the metrics."""
    config = typed(TrainConfig, cfg)
    start_logging()
    check(config)
    data = with_control(read_training_data(config.data), config.control, config.seed)
    choice = EncoderChoice(config.encoder, config.features)
    network = build_network(config, choice.identity.width)
    name = config.model.name if config.control is None else f"{config.model.name}-control-{config.control}"
    with open_run(config.run_dir, name, cfg, resume=config.resume, child=IS_CHILD) as folder:
        try:
            if IS_CHILD:
                log.setLevel(logging.WARNING)  # the first process speaks for all
            else:
                start_logging(folder / "train.log")
                data.describe(folder)
            return _train_in(folder, config, network, choice, data)
        finally:
            stop_logging_to_files()


def _train_in(
    folder: Path, config: TrainConfig, network: PairNetwork, choice: EncoderChoice, data: TrainingData
) -> dict[str, Any]:
    store = ensure_features(data.proteins, choice, store_folder(config.features, choice.identity))
    outcome = train_network(config, network, data, store, folder)
    if IS_CHILD:
        return {}
    result = measure(network, store, data, config)
    if result.fallback is not None:
        log.warning("Not calibrated, the probabilities are the network's own: in validation, %s.", result.fallback)
    write_run(folder, config, network, choice, data, outcome, result)
    show_measurement(result, data)
    if config.control is not None:
        say(f"A control, no result: trained on {CONTROLS[config.control]}.")
    say(f"Run folder: {folder}\nReport:     {folder / 'report.html'}")
    say(f"Model:      {folder / 'model'}   (python predict.py checkpoint={folder / 'model'})")
    return result.metrics


def check(config: TrainConfig) -> None:
    """Refuse impossible settings before any work."""
    at_least(
        epochs=(config.epochs, 1),
        patience=(config.patience, 1),
        batch_size=(config.batch_size, 1),
        seed=(config.seed, 0),
        trainer__num_nodes=(config.trainer.num_nodes, 1),
        trainer__workers=(config.trainer.workers, 0),
        trainer__threads=(config.trainer.threads, 1),
        trainer__gradient_clip_val=(config.trainer.gradient_clip_val, 0),
    )
    if config.calibration not in METHODS:
        raise InputError(f"calibration is {config.calibration!r}", remedy=f"Use {', '.join(METHODS)}.")
    check_features(config.features)
    check_control(config.control)
    config.report.resampling(None)
    network_class(config.model.name)
    config.model.check()
    logger_of(config.logger.name, None)
    lightning_trainer_options(config, None)


def build_network(config: TrainConfig, width: int) -> PairNetwork:
    """A fresh network, its weights drawn from the seed."""
    kind = network_class(config.model.name)
    hyper = hyper_from(kind, config.model.network, "model.network")
    pl.seed_everything(config.seed, verbose=False)
    return kind(width, hyper)


def train_network(
    config: TrainConfig, network: PairNetwork, data: TrainingData, store: FeatureStore, folder: Path
) -> Fit:
    """Standardise and fit; the network ends with its best weights."""
    set_threads(config.trainer.threads)
    train = pair_dataset(data.train, store, network)
    fit_inputs(network, train, standardised=config.model.standardise)
    val, workers = pair_dataset(data.val, store, network), config.trainer.workers
    module = PairDataModule(train, val, config.batch_size, workers, config.seed)
    history = HistoryFile(folder / "history.csv")

    def report(epoch: int, metrics: dict[str, float]) -> None:
        history.add(epoch, metrics)
        text = "  ".join(f"{name} {metrics[name]:.4f}" for name in ("train/loss", "val/loss", "val/auroc", "val/aupr"))
        log.info("epoch %3d  %s", epoch, text)

    began = time.monotonic()
    outcome = fit(
        network,
        config.model.optimizer.settings(),
        module,
        folder / "checkpoints",
        epochs=config.epochs,
        patience=config.patience,
        seed=config.seed,
        trainer_options=lightning_trainer_options(config, folder),
        callbacks=[History(report)],
    )
    log.info(
        "Trained %d epochs in %.0f s; best validation AUPR %.4f in epoch %d.",
        outcome.epochs, time.monotonic() - began, outcome.best_aupr, outcome.best_epoch,
    )  # fmt: skip
    return outcome


def pair_dataset(table: PairTable, store: FeatureStore, network: PairNetwork) -> PairDataset:
    """Pairs of a table as rows of the store."""
    rows = store.find([protein.key for protein in table.proteins])
    return PairDataset(store, network.layout, rows[table.a], rows[table.b], table.label)


def lightning_trainer_options(config: TrainConfig, folder: Path | None) -> dict[str, Any]:
    """Keyword arguments of Lightning's Trainer; built once without a folder to check them early."""
    options: dict[str, Any] = {
        "accelerator": config.trainer.accelerator,
        "devices": config.trainer.devices,
        "num_nodes": config.trainer.num_nodes,
        "strategy": config.trainer.strategy,
        "precision": config.trainer.precision,
        "gradient_clip_val": config.trainer.gradient_clip_val,
        "enable_progress_bar": sys.stderr.isatty(),
        "enable_model_summary": False,
        "logger": logger_of(config.logger.name, folder),
    }
    if folder is None:
        try:
            pl.Trainer(**{**options, "logger": False, "enable_progress_bar": False})
        except (ValueError, TypeError, RuntimeError, pl.utilities.exceptions.MisconfigurationException) as error:
            given = ", ".join(f"trainer.{key}={options[key]}" for key in ("accelerator", "devices", "strategy"))
            raise InputError(f"{given}: {error}", remedy="See --help for the options of trainer.") from error
    return options


def logger_of(name: str, folder: Path | None) -> Any:
    """Lightning's logger of that name, or False; with ``folder=None`` only check the name."""
    loggers = {
        "tensorboard": ("TensorBoardLogger", "tensorboard"),
        "wandb": ("WandbLogger", "wandb"),
        "mlflow": ("MLFlowLogger", "mlflow"),
    }
    if name in ("csv", "none"):
        return False
    if name not in loggers:
        raise InputError(f"logger {name!r} is unknown", remedy=f"Use csv, none, {', '.join(loggers)}.")
    kind, package = loggers[name]
    if find_spec(package) is None:
        raise InputError(f"logger={name} needs the package {package}", remedy=f"pip install {package}")
    if folder is None:
        return False
    made = getattr(pl.loggers, kind)
    if name != "mlflow":
        return made(save_dir=str(folder))
    server = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{folder / 'mlflow.db'}"
    return made("esm2-amp", run_name=folder.name, tracking_uri=server)


def write_run(
    folder: Path,
    config: TrainConfig,
    network: PairNetwork,
    choice: EncoderChoice,
    data: TrainingData,
    outcome: Fit,
    result: Measurement,
) -> None:
    """Predictions, the model folder, the report, and last ``metrics.json``, which marks the run as finished."""
    write_measurement(folder, result)
    card = ModelCard(
        network=config.model.name,
        hyper=asdict(network.hyper),
        width=network.width,
        tokens=list(network.layout),
        encoder=asdict(choice.identity),
        encoder_source=choice.source,
        long=asdict(config.features.policy()),
        threshold=result.threshold,
        calibration=result.calibration.to_dict(),
        training={
            **data.provenance(),
            "seed": config.seed,
            "control": config.control,
            "epochs": outcome.epochs,
            "best_epoch": outcome.best_epoch,
            "standardise": config.model.standardise,
            "batch_size": config.batch_size,
            "optimizer": asdict(config.model.optimizer),
        },
        metrics=result.brief,
        versions=versions(),
    )
    shutil.rmtree(folder / "model", ignore_errors=True)  # of this run, killed before metrics.json
    save_model(folder / "model", network, card, [protein.key for protein in data.train.proteins])
    write_report(folder, result, card, HistoryFile(folder / "history.csv").rows(), config)
    issues = {name: count_issues(table.issues) for name, table in data.tables().items()}
    summary = {
        **result.metrics,
        "fit": asdict(outcome),
        "control": config.control,
        "issues": issues,
        "data": data.provenance(),
    }
    write_json(folder / "metrics.json", summary)


logging.getLogger("torch.distributed").setLevel(logging.ERROR)
torch.set_float32_matmul_precision("high")
