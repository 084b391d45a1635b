"""End a trial that does worse than the middle of the others did at the same point."""

from __future__ import annotations

import statistics

from optuna.pruners import BasePruner
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState


def step_of(fold: int, epoch: int, epochs: int) -> int:
    """The step of an epoch of a fold, both from 0, in trials of at most ``epochs`` epochs a fold."""
    return fold * epochs + epoch


class FoldMedianPruner(BasePruner):
    """Prunes where the score so far is worse than the median of the completed trials at the same fold and epoch.

    Optuna's own MedianPruner compares a trial's best value of all steps; as some folds are easier than others, that
    would be the one of the easiest fold and would stand for all later ones. A trial whose training stopped early in a
    fold keeps the value it had reached there.

    Args:
        epochs: at most so many in a fold.
        startup_trials: complete so many trials before any is pruned.
        warmup_epochs: never prune in the first so many epochs of the first fold.
    """

    def __init__(self, epochs: int, startup_trials: int, warmup_epochs: int) -> None:
        self.epochs, self.startup_trials, self.warmup_epochs = epochs, startup_trials, warmup_epochs

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        """True if the trial should end here."""
        step = trial.last_step
        if step is None or step < self.warmup_epochs:
            return False
        others = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        values = [value for other in others if (value := self._at(other, step)) is not None]
        if len(values) < max(self.startup_trials, 1):
            return False
        mine, middle = trial.intermediate_values[step], statistics.median(values)
        return mine < middle if study.direction == StudyDirection.MAXIMIZE else mine > middle

    def _at(self, trial: FrozenTrial, step: int) -> float | None:
        """What a trial had reached at this step of this fold."""
        begin = step - step % self.epochs
        reached = [s for s in trial.intermediate_values if begin <= s <= step]
        return trial.intermediate_values[max(reached)] if reached else None
