"""``esm2-amp tune``: labelled pairs in; the best hyperparameters, a model trained with them, and a page out."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import numpy as np
import optuna
from omegaconf import DictConfig, OmegaConf
from optuna.pruners import BasePruner, NopPruner

from esm2_amp.features.store import FeatureStore
from esm2_amp.tasks import train
from esm2_amp.tasks.config import TrainConfig, TuneConfig
from esm2_amp.tasks.console import live_line, log, say, start_logging, stop_logging_to_files
from esm2_amp.tasks.embedding import ensure_features, is_complete, set_threads, store_folder
from esm2_amp.tasks.options import typed
from esm2_amp.tasks.run_folder import open_shared
from esm2_amp.tasks.tune_plan import Plan, comparable, make_plan, provenance, training_part, with_options
from esm2_amp.tasks.tune_results import Display, Outcome, no_result, write_results
from esm2_amp.tuning.objective import CrossValidation, make_folds
from esm2_amp.tuning.pruning import FoldMedianPruner
from esm2_amp.tuning.results import best_trial
from esm2_amp.tuning.storage import StorageTarget, open_storage, parse_target
from esm2_amp.tuning.study import Budget, Sweep, open_sweep
from esm2_amp.tuning.trials import Objective


def run(cfg: DictConfig) -> dict[str, Any]:
    """Make trials until the budget of all workers is used up, then write what came of them; returns a summary."""
    config = typed(TuneConfig, cfg)
    start_logging()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    plan = make_plan(config, training_part(cfg))
    validation = cross_validation(plan, features_of(plan))
    saved = cast(DictConfig, OmegaConf.merge(cfg, {"tune": {"storage": plan.target and str(plan.target)}}))
    with open_shared(config.run_dir, f"{config.model.name}-tune", saved, "tune") as folder:
        try:
            start_logging(folder / "tune.log")
            outcome = _make_trials(folder, plan, validation)
            summary = write_results(folder, outcome, config, plan.template)
        finally:
            stop_logging_to_files()
    if config.tune.final and not outcome.elsewhere:
        train_best(folder, plan.template, outcome.options)
    say(f"Report: {folder / 'report.html'}\nAgain:  python train.py overrides={folder / 'best.yaml'}")
    return summary


def features_of(plan: Plan) -> FeatureStore:
    """Features of all proteins; of several workers on a machine one computes what is missing, the others wait."""
    features = plan.config.features
    folder = store_folder(features, plan.choice.identity)
    if is_complete(folder, plan.data.proteins):
        return FeatureStore(folder)
    Path(features.folder).mkdir(parents=True, exist_ok=True)
    with _alone_in(Path(features.folder)):
        return ensure_features(plan.data.proteins, plan.choice, folder)


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Wait until no other worker is within such a block about this folder."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def cross_validation(plan: Plan, store: FeatureStore) -> CrossValidation:
    """The folds of the training pairs; validation and test pairs stay out of it."""
    config, table = plan.config, plan.data.train
    rows = store.find([protein.key for protein in table.proteins])
    a, b = rows[table.a], rows[table.b]
    set_threads(config.trainer.threads)
    options = train.lightning_trainer_options(typed(TrainConfig, plan.template), None)
    folds, metric = make_folds(config.tune.split, a, b, table.label, config.tune.folds, config.seed), plan.metric
    for fold in folds:
        metric.score(table.label[fold.held], np.full(len(fold.held), 0.5))  # refuses what is too small for it
    return CrossValidation(
        store,
        a,
        b,
        table.label,
        folds,
        metric,
        config.epochs,
        config.patience,
        config.seed,
        config.trainer.workers,
        {**options, "logger": False, "enable_progress_bar": False},
    )


def _make_trials(folder: Path, plan: Plan, validation: CrossValidation) -> Outcome:
    settings, config = plan.config.tune, plan.config
    name = settings.study or f"{config.model.name}-{plan.data.name}"
    target = plan.target or parse_target(str(folder / "study.journal"))
    pruner: BasePruner = NopPruner()
    if settings.prune:
        pruner = FoldMedianPruner(config.epochs, settings.prune_startup, settings.prune_warmup)
    with open_storage(target) as (storage, workers), live_line() as line:
        study = open_sweep(storage, workers, name, validation.metric, pruner, comparable(plan))
        _introduce(study, target, plan, validation)
        display = Display(line, folder, study, plan.space, validation, settings.trials)
        objective = Objective(validation, plan.design, plan.space, folder / "checkpoints", display.epoch)
        budget = Budget(settings.trials, settings.retries)
        sweep = Sweep(study, storage, workers, plan.space, config.seed, settings.startup_trials, budget)
        sweep.work(objective, display.ended)
        elsewhere = sweep.running()
    if not elsewhere:
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)  # with what killed processes left in it
    best = best_trial(study)
    if best is None:
        raise no_result(study, elsewhere)
    told = {"study": name, "storage": str(target), **provenance(plan, validation)}
    return Outcome(study, plan.space, best, plan.space.options(best.params), told, elsewhere)


def _introduce(study: optuna.Study, target: StorageTarget, plan: Plan, validation: CrossValidation) -> None:
    there = len(study.get_trials(deepcopy=False))
    log.info("Study %s in %s: %s.", study.study_name, target, f"goes on after {there} trials" if there else "new")
    for option, words in plan.space.describe().items():
        log.info("  %-28s %s", option, words)
    for number, fold in enumerate(validation.folds, start=1):
        log.info("fold %d: %d pairs to train on, %d held, %d left out", number, *map(len, fold))


def train_best(folder: Path, template: DictConfig, options: dict[str, Any]) -> None:
    """Train with the best hyperparameters as ``esm2-amp train`` does, in ``folder/best``; what is done stays.

    If trials that came later are better, the model of the earlier best ones is kept as ``best-1``, ``best-2`` ...
    """
    best = folder / "best"
    wanted = with_options(template, options)
    wanted.run_dir = str(best)
    with _alone_in(folder):
        if best.exists() and not _is_of(best, wanted):
            number = next(n for n in range(1, 10**6) if not (folder / f"best-{n}").exists())
            best.rename(folder / f"best-{number}")
        if (best / "metrics.json").exists():
            log.info("The model in %s is trained already.", best)
            return
        wanted.resume = (best / "config.yaml").exists()
        train.run(wanted)


def _is_of(run: Path, wanted: DictConfig) -> bool:
    """True if a run folder is of this training, finished or not."""
    if not (run / "config.yaml").exists():
        return False
    begun = cast(DictConfig, OmegaConf.load(run / "config.yaml"))
    return all(begun.get(key) == wanted.get(key) for key in ("model", "batch_size", "epochs", "seed"))
