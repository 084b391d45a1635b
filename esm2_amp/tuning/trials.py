"""From a trial's parameters to its value: cross-validation that reports, and ends where it is hopeless."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna

from esm2_amp.tuning.objective import Candidate, CrossValidation, Moment
from esm2_amp.tuning.pruning import step_of
from esm2_amp.tuning.space import SearchSpace

FOLDS = "folds"
"""User attribute of a trial: the scores of its finished folds."""


@dataclass(frozen=True, eq=False)
class Objective:
    """The mean score over the folds.

    Args:
        validation: the folds and how they are trained.
        design: the candidate that options mean; an InputError fails the trial.
        space: what a trial may choose, and what is the same in every trial.
        scratch: folder for checkpoints of the epochs, removed with each fold.
        watch: told of every epoch.
    """

    validation: CrossValidation
    design: Callable[[dict[str, Any]], Candidate]
    space: SearchSpace
    scratch: Path
    watch: Callable[[int, Moment], None]

    def __call__(self, trial: optuna.Trial) -> float:
        """The value of a trial.

        Raises:
            InputError: training diverged, or the parameters do not go together.
            optuna.TrialPruned: the trial is worse than the others were here.
        """
        candidate = self.design(self.space.options(trial.params))
        scores = self.validation.run(candidate, self.scratch, lambda moment: self._report(trial, moment))
        trial.set_user_attr(FOLDS, scores)
        return statistics.fmean(scores)

    def _report(self, trial: optuna.Trial, moment: Moment) -> None:
        if moment.folds_done and moment.epoch == 0:
            trial.set_user_attr(FOLDS, list(moment.folds_done))
        trial.report(moment.score, step_of(moment.fold, moment.epoch, self.validation.epochs))
        self.watch(trial.number, moment)
        last = (moment.fold, moment.epoch) == (len(self.validation.folds) - 1, self.validation.epochs - 1)
        if not last and trial.should_prune():  # what is all done is not thrown away
            raise optuna.TrialPruned
