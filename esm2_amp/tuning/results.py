"""What came of a study: its best trial, and all of them as a table."""

from __future__ import annotations

from collections import Counter
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from esm2_amp.tuning.space import SearchSpace
from esm2_amp.tuning.study import REASON, RETRIED
from esm2_amp.tuning.trials import FOLDS


def best_trial(study: optuna.Study) -> FrozenTrial | None:
    """The completed trial with the best value, of equals the first; None if none is completed."""
    done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    sign = 1 if study.direction == optuna.study.StudyDirection.MAXIMIZE else -1
    return max(done, key=lambda trial: (sign * _value(trial), -trial.number), default=None)


def count_states(study: optuna.Study) -> dict[str, int]:
    """Number of trials in each state that occurs, and of those that are retries."""
    trials = study.get_trials(deepcopy=False)
    counts = Counter(trial.state.name.lower() for trial in trials)
    retried = sum(RETRIED in trial.user_attrs for trial in trials)
    return dict(counts) | ({"retried": retried} if retried else {})


def trial_table(study: optuna.Study, space: SearchSpace, folds: int) -> tuple[list[str], list[list[Any]]]:
    """Every trial, in the order in which they were begun: columns and rows; what there is not is empty.

    ``value`` is that of completed trials; ``last_score`` the mean that a trial had reached when it was last heard of.
    """
    params = list(space.ranges)
    columns = ["trial", "state", "value", "last_score", *params, *(f"fold_{i + 1}" for i in range(folds))]
    columns += ["epochs", "seconds", "begun", "retried_from", "reason"]
    return columns, [
        _row(trial, space.options(trial.params), params, folds) for trial in study.get_trials(deepcopy=False)
    ]


def _row(trial: FrozenTrial, options: dict[str, Any], params: list[str], folds: int) -> list[Any]:
    scores = list(trial.user_attrs.get(FOLDS, []))
    last = trial.intermediate_values[max(trial.intermediate_values)] if trial.intermediate_values else ""
    return [
        trial.number,
        trial.state.name.lower(),
        trial.value if trial.state == TrialState.COMPLETE else "",
        last,
        *(options[name] if name in trial.params else "" for name in params),
        *(scores[i] if i < len(scores) else "" for i in range(folds)),
        len(trial.intermediate_values),
        "" if trial.duration is None else round(trial.duration.total_seconds(), 3),
        "" if trial.datetime_start is None else trial.datetime_start.isoformat(timespec="seconds"),
        trial.user_attrs.get(RETRIED, ""),
        trial.user_attrs.get(REASON, ""),
    ]


def _value(trial: FrozenTrial) -> float:
    if trial.value is None:
        raise ValueError(f"trial {trial.number} has no value")
    return trial.value
