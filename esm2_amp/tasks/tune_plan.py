"""What a sweep is to do: the command checked, a trial's options as a training, what makes studies comparable."""

from __future__ import annotations

import copy
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from esm2_amp.errors import InputError
from esm2_amp.models.checkpoint import hyper_from
from esm2_amp.models.networks import network_class
from esm2_amp.tasks import train
from esm2_amp.tasks.config import TrainConfig, TuneConfig
from esm2_amp.tasks.config_groups import ReportConfig
from esm2_amp.tasks.embedding import EncoderChoice
from esm2_amp.tasks.options import at_least, typed
from esm2_amp.tasks.override_file import leaves, read_yaml
from esm2_amp.tasks.run_folder import versions
from esm2_amp.tasks.training_data import TrainingData, read_training_data
from esm2_amp.tuning.objective import Candidate, CrossValidation
from esm2_amp.tuning.page import PLOTLYJS
from esm2_amp.tuning.scores import Metric, metric_of
from esm2_amp.tuning.space import SearchSpace, read_space
from esm2_amp.tuning.storage import StorageTarget, parse_target

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
    model.check()
    return Candidate(
        partial(kind, width, hyper),
        model.optimizer.settings(),
        model.standardise,
        config.batch_size,
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


def provenance(plan: Plan, validation: CrossValidation) -> dict[str, str]:
    """What the numbers of a sweep depend on, for its page."""
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
