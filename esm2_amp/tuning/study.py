"""A study that several workers share: who does which trial, and what becomes of the trials of those that died."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import optuna
import torch
from optuna.exceptions import UpdateFinishedTrialError
from optuna.pruners import BasePruner
from optuna.samplers import TPESampler
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from esm2_amp.errors import InputError
from esm2_amp.tuning.scores import Metric
from esm2_amp.tuning.space import SearchSpace
from esm2_amp.tuning.workers import Workers

FINISHED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
_SETTINGS = "settings"
_WORKER, RETRIED, REASON = "worker", "retried_from", "reason"
"""User attributes of a trial."""


class Budget(NamedTuple):
    """How many trials all workers together may make, and how often a trial is retried whose worker died."""

    trials: int
    retries: int


class Sweep:
    """A study as one worker sees it.

    A place in the budget is a trial with all its retries, so neither a crash nor several workers change how many
    trials there are: completed, pruned and failed ones count, and those that are running. What the next trial tries
    depends on the seed, the number of places taken and the results so far, not on the worker: interrupted and gone on
    with, one worker tries what it would have tried without the interruption.

    Args:
        study: made by :func:`open_sweep`.
        storage: where it is kept.
        workers: of the storage.
        space: what to choose from.
        seed: of the sampler.
        startup_trials: so many at random before the sampler learns from them.
        budget: see :class:`Budget`.
    """

    def __init__(
        self,
        study: optuna.Study,
        storage: BaseStorage,
        workers: Workers,
        space: SearchSpace,
        seed: int,
        startup_trials: int,
        budget: Budget,
    ) -> None:
        self.study, self.storage, self.workers, self.space = study, storage, workers, space
        self.seed, self.startup_trials, self.budget = seed, startup_trials, budget

    def claim(self) -> optuna.Trial | None:
        """The next trial of this worker, its parameters chosen; None if every place in the budget is taken."""
        with self.workers.alone():
            self._take_over()
            trials = self.study.get_trials(deepcopy=False)
            places = sum(RETRIED not in trial.user_attrs for trial in trials)
            if places >= self.budget.trials and not any(trial.state == TrialState.WAITING for trial in trials):
                return None
            seed = int(np.random.SeedSequence((self.seed, places)).generate_state(1)[0])
            self.study.sampler = TPESampler(seed=seed, n_startup_trials=self.startup_trials)
            trial = self.study.ask(self.space.ranges)
            trial.set_user_attr(_WORKER, self.workers.number)
            return trial

    def work(self, objective: Callable[[optuna.Trial], float], ended: Callable[[FrozenTrial], None]) -> None:
        """Make trials until the budget is used up.

        Args:
            objective: the value of a trial; an InputError in it, such as of a training that diverged, fails this one
                trial.
            ended: told of each trial of this worker.
        """
        while (trial := self.claim()) is not None:
            try:
                ended(self._carry_out(trial, objective))
            except UpdateFinishedTrialError:  # others took this worker for dead and retry the trial
                ended(self._frozen(trial.number))

    def _carry_out(self, trial: optuna.Trial, objective: Callable[[optuna.Trial], float]) -> FrozenTrial:
        try:
            value = objective(trial)
        except optuna.TrialPruned:
            return self.study.tell(trial, state=TrialState.PRUNED, skip_if_finished=True)
        except (InputError, torch.OutOfMemoryError) as error:
            trial.set_user_attr(REASON, " ".join(str(error).split()))
            return self.study.tell(trial, state=TrialState.FAIL, skip_if_finished=True)
        return self.study.tell(trial, value, skip_if_finished=True)

    def running(self) -> int:
        """How many trials other living workers are at."""
        with self.workers.alone():
            self._take_over()
            return len(self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)))

    def _take_over(self) -> None:
        """Fail the running trials of dead workers and queue each again with its parameters.

        In this order: first the retry, then the failure. A process killed between the two leaves a retry that the next
        one finds; the other way round the trial would be lost. A running trial without a worker is a dead one's, too:
        it takes its number before it leaves :meth:`Workers.alone`.
        """
        living = self.workers.living()
        trials = self.study.get_trials(deepcopy=False)
        retried = {trial.user_attrs.get(RETRIED) for trial in trials}
        for trial in trials:
            if trial.state != TrialState.RUNNING or trial.user_attrs.get(_WORKER) in living:
                continue
            reason = "its worker died"
            if len(self._history(trial)) > self.budget.retries:
                reason += f", as in {self.budget.retries} retries of it"
            elif trial.number not in retried:
                params: dict[str, Any] = {}
                for earlier in self._history(trial):
                    params |= earlier.params
                self.study.enqueue_trial(params, user_attrs={RETRIED: trial.number})
            self.storage.set_trial_user_attr(trial._trial_id, REASON, reason)
            self.study.tell(trial.number, state=TrialState.FAIL)

    def _history(self, trial: FrozenTrial) -> list[FrozenTrial]:
        """A trial behind those of which it is a retry, the first one first."""
        history = [trial]
        while (number := history[0].user_attrs.get(RETRIED)) is not None:
            history.insert(0, self._frozen(number))
        return history

    def _frozen(self, number: int) -> FrozenTrial:
        return self.study.get_trials(deepcopy=False)[number]


def open_sweep(
    storage: BaseStorage,
    workers: Workers,
    name: str,
    metric: Metric,
    pruner: BasePruner,
    settings: Mapping[str, str],
) -> optuna.Study:
    """Make a study, or go on with one that was begun with the same settings.

    Args:
        storage: where it is kept.
        workers: of the storage.
        name: of the study.
        metric: what to aim at.
        pruner: ends hopeless trials.
        settings: everything that must be the same for trials to be comparable, as text by option.

    Raises:
        InputError: a study of that name was begun with another setting, which is named.
    """
    with workers.alone():
        if name not in optuna.get_all_study_names(storage):
            optuna.create_study(storage=storage, study_name=name, direction=metric.direction)
        study = optuna.load_study(study_name=name, storage=storage, pruner=pruner)
        begun = study.user_attrs.get(_SETTINGS)
        if begun is None and not study.get_trials(deepcopy=False):
            study.set_user_attr(_SETTINGS, dict(settings))
            return study
    if begun is None:
        raise InputError(f"the study {name!r} was not made by esm2-amp", remedy="Name another: tune.study=NAME.")
    for key in sorted(set(begun) | set(settings)):
        if begun.get(key) != settings.get(key):
            raise InputError(
                f"{key} is {settings.get(key, 'not given')}, but the study {name!r} was begun with "
                f"{begun.get(key, 'no such option')}",
                remedy="Give the same options, or begin another study: tune.study=NAME.",
            )
    return study
