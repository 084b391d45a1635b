"""What people see of a sweep: how far it is, and what came of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import optuna
from omegaconf import DictConfig, OmegaConf
from optuna.trial import FrozenTrial, TrialState
from plotly.offline import get_plotlyjs

from esm2_amp.errors import InputError
from esm2_amp.io.atomic import atomic_text
from esm2_amp.tasks.config import TuneConfig
from esm2_amp.tasks.console import log, say, show_table
from esm2_amp.tasks.override_file import leaves, write_overrides
from esm2_amp.tasks.run_folder import write_table
from esm2_amp.tuning.objective import CrossValidation, Moment
from esm2_amp.tuning.page import PlotlyJs, render_page
from esm2_amp.tuning.results import best_trial, count_states, trial_table
from esm2_amp.tuning.space import SearchSpace
from esm2_amp.tuning.study import REASON, RETRIED
from esm2_amp.tuning.trials import FOLDS

_OF_THE_MACHINE = ("run_dir", "resume", "trainer", "logger", "features")
"""Options that best.yaml leaves to the command that reads it."""
_SHOWN = 10


@dataclass(frozen=True, eq=False)
class Outcome:
    """A study when this worker is done: ``options`` are the best trial's, ``elsewhere`` trials still run."""

    study: optuna.Study
    space: SearchSpace
    best: FrozenTrial
    options: dict[str, Any]
    provenance: dict[str, str]
    elsewhere: int


class Display:
    """Tells of every epoch on the live line, of every fold and trial in the log, and keeps ``trials.tsv`` up to date.

    Args:
        line: changes the live line.
        folder: for ``trials.tsv``.
        study: the study.
        space: its ranges.
        validation: its folds.
        trials: of all workers together.
    """

    def __init__(
        self,
        line: Callable[[str], None],
        folder: Path,
        study: optuna.Study,
        space: SearchSpace,
        validation: CrossValidation,
        trials: int,
    ) -> None:
        self.line, self.folder, self.study, self.space = line, folder, study, space
        self.validation, self.trials, self.best = validation, trials, _best_words(study)

    def epoch(self, number: int, moment: Moment) -> None:
        """An epoch of a trial is over."""
        folds, metric = len(self.validation.folds), self.validation.metric.name
        if moment.folds_done and moment.epoch == 0:
            log.info("trial %d  fold %d/%d  %s %.4f", number, moment.fold, folds, metric, moment.folds_done[-1])
        self.line(
            f"trial {number}  fold {moment.fold + 1}/{folds}  epoch {moment.epoch + 1}/{self.validation.epochs}  "
            f"{metric} {moment.score:.4f}  {self.best}"
        )

    def ended(self, trial: FrozenTrial) -> None:
        """A trial is over."""
        write_table(self.folder / "trials.tsv", *trial_table(self.study, self.space, len(self.validation.folds)))
        self.best = _best_words(self.study)
        told = f"trial {trial.number}  {trial.state.name.lower()}"
        if trial.state == TrialState.COMPLETE:
            told += f"  {self.validation.metric.name} {trial.value:.4f}"
        if REASON in trial.user_attrs:
            told += f"  ({trial.user_attrs[REASON]})"
        if RETRIED in trial.user_attrs:
            told += f"  (trial {trial.user_attrs[RETRIED]} again)"
        log.info("%s  %s; %s of %d", told, self.best, _states_words(self.study), self.trials)


def no_result(study: optuna.Study, elsewhere: int) -> InputError:
    """The mistake where no trial was completed."""
    reasons = [trial.user_attrs[REASON] for trial in study.get_trials(deepcopy=False) if REASON in trial.user_attrs]
    why = f"; the last reason: {reasons[-1]}" if reasons else ""
    running = f", {elsewhere} still running in other processes" if elsewhere else ""
    return InputError(
        f"no trial of the study {study.study_name!r} is completed ({_states_words(study)}{running}){why}",
        remedy="Start the same command again when the others are done." if elsewhere else "Change the ranges.",
    )


def write_results(folder: Path, outcome: Outcome, config: TuneConfig, template: DictConfig) -> dict[str, Any]:
    """``trials.tsv``, ``best.yaml`` and ``report.html``; print the best trials; returns a summary."""
    study, best, metric = outcome.study, outcome.best, config.tune.metric
    table = trial_table(study, outcome.space, config.tune.folds)
    write_table(folder / "trials.tsv", *table)
    sentence = (
        f"Best of {len(table[1])} trials ({_states_words(study)}): trial {best.number} with a mean {metric} of "
        f"{best.value:.4f} over {config.tune.folds} folds of the training pairs"
    )
    comment = (f"{sentence}.", f"python train.py overrides={folder / 'best.yaml'}")
    write_overrides(folder / "best.yaml", comment, _as_overrides(template, outcome.options))
    plotlyjs = cast(PlotlyJs, config.report.plotlyjs)
    if plotlyjs == "directory":
        _write_text(folder / "plotly.min.js", get_plotlyjs())
    title = f"Sweep of {config.model.name} on {outcome.provenance['data']}"
    _write_text(
        folder / "report.html",
        render_page(study, metric, title, f"{sentence}.", table, best.number, outcome.provenance, plotlyjs),
    )
    _show(outcome, metric, config.tune.folds)
    say(sentence + ".")
    if outcome.elsewhere:
        say(f"{outcome.elsewhere} trials still run in other processes: the same command again takes them in.")
    return {"best": best.number, "value": best.value, "options": outcome.options, "states": count_states(study)}


def _as_overrides(template: DictConfig, options: dict[str, Any]) -> dict[str, Any]:
    """What makes ``train`` do this training: the model, the best hyperparameters, then everything as in the sweep."""
    values = cast(dict[str, Any], OmegaConf.to_container(template))
    rest = leaves({key: value for key, value in values.items() if key not in _OF_THE_MACHINE})
    return {"model": values["model"]["name"]} | options | {k: v for k, v in rest.items() if k not in options}


def _show(outcome: Outcome, metric: str, folds: int) -> None:
    """Print the best trials."""
    names = list(outcome.space.ranges)
    done = outcome.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    maximised = outcome.study.direction == optuna.study.StudyDirection.MAXIMIZE
    done = sorted(done, key=lambda trial: trial.value or 0, reverse=maximised)[:_SHOWN]
    rows = []
    for trial in done:
        scores = trial.user_attrs[FOLDS]
        params = [f"{value:.3g}" if isinstance(value, float) else str(value) for value in trial.params.values()]
        rows.append([str(trial.number), f"{trial.value:.4f}", f"{min(scores):.4f}..{max(scores):.4f}", *params])
    columns = ["trial", f"mean {metric}", f"of {folds} folds", *(name.split(".")[-1] for name in names)]
    show_table("The best trials", columns, rows)


def _best_words(study: optuna.Study) -> str:
    best = best_trial(study)
    return "none complete yet" if best is None else f"best {best.value:.4f} (trial {best.number})"


def _states_words(study: optuna.Study) -> str:
    return ", ".join(f"{count} {state}" for state, count in count_states(study).items()) or "none"


def _write_text(file: Path, text: str) -> None:
    with atomic_text(file) as stream:
        stream.write(text)
