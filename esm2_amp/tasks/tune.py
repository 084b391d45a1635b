"""``esm2-amp tune``: labelled pairs in; the best hyperparameters, a model trained with them, and a page out."""

from __future__ import annotations

import copy
import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import optuna
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from optuna.pruners import BasePruner, NopPruner

from esm2_amp.errors import InputError
from esm2_amp.features.store import FeatureStore
from esm2_amp.models.checkpoint import hyper_from
from esm2_amp.models.networks import network_class
from esm2_amp.tasks import train
from esm2_amp.tasks.config import ReportConfig, TrainConfig, TuneConfig, at_least, typed
from esm2_amp.tasks.console import live_line, log, say, start_logging, stop_logging_to_files
from esm2_amp.tasks.embedding import EncoderChoice, ensure_features, is_complete, set_threads, store_folder
from esm2_amp.tasks.override_file import leaves, read_yaml
from esm2_amp.tasks.run_folder import open_shared, versions
from esm2_amp.tasks.training_data import TrainingData, read_training_data
from esm2_amp.tasks.tune_results import Display, Outcome, no_result, write_results
from esm2_amp.tuning.objective import Candidate, CrossValidation, make_folds
from esm2_amp.tuning.page import PLOTLYJS
from esm2_amp.tuning.pruning import FoldMedianPruner
from esm2_amp.tuning.results import best_trial
from esm2_amp.tuning.scores import Metric, metric_of
from esm2_amp.tuning.space import SearchSpace, read_space
from esm2_amp.tuning.storage import StorageTarget, open_storage, parse_target
from esm2_amp.tuning.study import Budget, Sweep, open_sweep
from esm2_amp.tuning.trials import Objective

_COMPARED = ("folds", "split", "metric", "startup_trials", "prune", "prune_startup", "prune_warmup")
"""Settings under ``tune`` that must stay the same while a study goes on."""


@dataclass(frozen=True, eq=False)
class Plan:
    """A checked command; ``template`` is the training that each trial varies, ``target`` None for the default."""

    config: TuneConfig
    template: DictConfig
    space: SearchSpace
    target: StorageTarget | None
    data: TrainingData
    choice: EncoderChoice

    @property
    def metric(self) -> Metric:
        """What to aim at."""
        return metric_of(self.config.tune.metric)

    def design(self, options: dict[str, Any]) -> Candidate:
        """The candidate that options mean."""
        return design(self.template, self.choice.identity.width, options)


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


def make_plan(config: TuneConfig, template: DictConfig) -> Plan:
    """Read the data and refuse impossible settings before any work."""
    train.check(typed(TrainConfig, template))
    _check(config)
    if config.tune.space is None:
        space = read_space(config.search, "search")
    else:
        space = read_space(read_yaml(Path(config.tune.space)), config.tune.space)
    target = None if config.tune.storage is None else parse_target(config.tune.storage)
    choice = EncoderChoice(config.encoder, config.features)
    plan = Plan(config, template, space, target, read_training_data(config.data), choice)
    for corner in space.corners():
        plan.design(corner)
    return plan


def _check(config: TuneConfig) -> None:
    tune, trainer = config.tune, config.trainer
    at_least(
        tune__trials=(tune.trials, 1),
        tune__folds=(tune.folds, 2),
        tune__startup_trials=(tune.startup_trials, 1),
        tune__prune_startup=(tune.prune_startup, 1),
        tune__prune_warmup=(tune.prune_warmup, 0),
        tune__retries=(tune.retries, 0),
    )
    metric_of(tune.metric)
    if config.report.plotlyjs not in PLOTLYJS:
        raise InputError(f"report.plotlyjs is {config.report.plotlyjs!r}", remedy=f"Use {', '.join(PLOTLYJS)}.")
    if trainer.strategy != "auto" or trainer.devices not in (1, "1") or trainer.num_nodes != 1:
        raise InputError(
            f"tune with trainer.strategy={trainer.strategy}, trainer.devices={trainer.devices}",
            remedy="A trial runs in one process: use trainer.devices=1, and start the same command several times.",
        )


def training_part(cfg: DictConfig) -> DictConfig:
    """The configuration of the training that the sweep varies."""
    values = cast(dict[str, Any], OmegaConf.to_container(cfg, resolve=True))
    kept = {field.name: values[field.name] for field in fields(TrainConfig) if field.name in values}
    kept["report"] = {field.name: kept["report"][field.name] for field in fields(ReportConfig)}
    alone = {"run_dir": None, "resume": False, "partner_shuffle": False, "control": None}
    return OmegaConf.create({**kept, **alone})


def with_options(template: DictConfig, options: dict[str, Any]) -> DictConfig:
    """A training with other options.

    Raises:
        InputError: the model has no such option.
    """
    changed = copy.deepcopy(template)
    OmegaConf.set_struct(changed, True)
    for name, value in options.items():
        try:
            OmegaConf.update(changed, name, value)
        except OmegaConfBaseException:
            raise InputError(
                f"search.{name}: model={template.model.name} has no such option", remedy="See esm2-amp train --help."
            ) from None
    return changed


def design(template: DictConfig, width: int, options: dict[str, Any]) -> Candidate:
    """The candidate that options mean: checked, no weights drawn yet."""
    config = typed(TrainConfig, with_options(template, options))
    at_least(batch_size=(config.batch_size, 1))
    kind = network_class(config.model.name)
    hyper = hyper_from(kind, config.model.network, "model.network")
    model = config.model
    return Candidate(partial(kind, width, hyper), model.optimizer.settings(), model.standardise, config.batch_size)


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


def comparable(plan: Plan) -> dict[str, str]:
    """What must be the same for the trials of a study to be comparable, as text by option."""
    config, template = plan.config, cast(dict[str, Any], OmegaConf.to_container(plan.template))
    settings = {f"search.{name}": words for name, words in plan.space.describe().items()}
    settings |= {f"tune.{name}": str(getattr(config.tune, name)) for name in _COMPARED}
    chosen = {key: template[key] for key in ("model", "seed", "epochs", "patience", "batch_size")}
    settings |= {key: str(value) for key, value in leaves(chosen).items() if f"search.{key}" not in settings}
    files = plan.data.provenance()["files"]
    settings |= {f"data.{split}": files[split][0]["sha256"] for split in ("fasta", "train")}
    settings |= {f"data.{key}": getattr(config.data, key) for key in ("unknown", "conflicts")}
    settings |= {f"trainer.{key}": str(getattr(config.trainer, key)) for key in ("precision", "gradient_clip_val")}
    return settings | {"encoder": plan.choice.identity.sha256, "features.long": config.features.policy().tag}


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
        objective = Objective(validation, plan.design, plan.space.fixed, folder / "checkpoints", display.epoch)
        budget = Budget(settings.trials, settings.retries)
        sweep = Sweep(study, storage, workers, plan.space, config.seed, settings.startup_trials, budget)
        sweep.work(objective, display.ended)
        elsewhere = sweep.running()
    if not elsewhere:
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)  # with what killed processes left in it
    best = best_trial(study)
    if best is None:
        raise no_result(study, elsewhere)
    told = {"study": name, "storage": str(target), **_provenance(plan, validation)}
    return Outcome(study, plan.space, best, {**plan.space.fixed, **best.params}, told, elsewhere)


def _introduce(study: optuna.Study, target: StorageTarget, plan: Plan, validation: CrossValidation) -> None:
    there = len(study.get_trials(deepcopy=False))
    log.info("Study %s in %s: %s.", study.study_name, target, f"goes on after {there} trials" if there else "new")
    for option, words in plan.space.describe().items():
        log.info("  %-28s %s", option, words)
    for number, fold in enumerate(validation.folds, start=1):
        log.info("fold %d: %d pairs to train on, %d held, %d left out", number, *map(len, fold))


def _provenance(plan: Plan, validation: CrossValidation) -> dict[str, str]:
    config, told = plan.config, plan.data.provenance()
    files = (f"{split} {file['file']} ({file['sha256'][:12]})" for split, of in told["files"].items() for file in of)
    held = ", ".join(f"{len(fold.train)}/{len(fold.held)}/{len(fold.left_out)}" for fold in validation.folds)
    never = int(len(validation.label) - len(np.unique(np.concatenate([fold.held for fold in validation.folds]))))
    return {
        "model": config.model.name,
        "data": told["name"] + (" (simulated: no biology)" if told["simulated"] else ""),
        "files": ", ".join(files),
        "encoder": str(plan.choice.identity),
        "folds": f"{config.tune.folds} {config.tune.split}, training/held/left-out pairs: {held}; never held: {never}",
        "pairs used": f"{len(validation.label)} training pairs; validation and test pairs took no part in the trials",
        "fold score": f"{config.tune.metric} at the epoch with the best AUPR on the held pairs; for comparison only",
        "ranges": "; ".join(f"{option} {words}" for option, words in plan.space.describe().items()),
        "seed": str(config.seed),
        "versions": ", ".join(f"{name} {version}" for name, version in versions().items()),
    }


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
