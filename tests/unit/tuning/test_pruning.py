"""Pruning compares like with like: the same fold, the same epoch."""

from __future__ import annotations

import optuna
import pytest
from optuna.trial import TrialState, create_trial

from esm2_amp.tuning.pruning import FoldMedianPruner, step_of

EPOCHS = 4


def study_of(
    *trials: dict[int, float], direction: str = "maximize", state: TrialState = TrialState.COMPLETE
) -> optuna.Study:
    study = optuna.create_study(direction=direction)
    for values in trials:
        study.add_trial(create_trial(state=state, value=0.0, intermediate_values=values))
    return study


def pruned(study: optuna.Study, values: dict[int, float], startup: int = 1, warmup: int = 0) -> bool:
    trial = create_trial(state=TrialState.RUNNING, intermediate_values=values)
    return FoldMedianPruner(EPOCHS, startup, warmup).prune(study, trial)


def test_steps_of_folds_do_not_clash() -> None:
    steps = [step_of(fold, epoch, EPOCHS) for fold in range(5) for epoch in range(EPOCHS)]
    assert steps == sorted(set(steps))


def test_the_middle_of_the_others_decides() -> None:
    study = study_of({0: 0.5}, {0: 0.6}, {0: 0.7})
    assert pruned(study, {0: 0.59})
    assert not pruned(study, {0: 0.6})
    assert not pruned(study, {0: 0.9})
    assert pruned(study_of({0: 0.5}, {0: 0.6}, {0: 0.7}, direction="minimize"), {0: 0.61})


def test_an_easy_fold_does_not_hide_a_bad_one() -> None:
    """Optuna's MedianPruner would compare the best of all steps, 0.9, and go on for ever."""
    others = [{0: 0.9, 4: 0.6}, {0: 0.9, 4: 0.62}]
    study, mine = study_of(*others), {0: 0.9, 4: 0.3}
    trial = create_trial(state=TrialState.RUNNING, intermediate_values=mine)
    assert not optuna.pruners.MedianPruner(n_startup_trials=1).prune(study, trial)
    assert pruned(study, mine)


def test_a_trial_that_stopped_early_keeps_what_it_had_reached_in_the_fold() -> None:
    study = study_of({0: 0.8, 4: 0.5, 5: 0.6, 8: 0.1})
    assert pruned(study, {7: 0.55})
    assert not pruned(study, {7: 0.61})


def test_nothing_is_pruned_before_enough_is_known() -> None:
    study = study_of({0: 0.5, 3: 0.5}, {0: 0.5})
    assert not pruned(study, {})
    assert not pruned(study, {0: 0.1}, startup=3)
    assert not pruned(study, {0: 0.1}, warmup=1)
    assert pruned(study, {3: 0.1}, warmup=1)
    assert not pruned(study_of({0: 0.5}, state=TrialState.PRUNED), {0: 0.1})
    assert not pruned(study, {4: 0.1})  # nobody has been in this fold


@pytest.mark.parametrize("startup", [1, 2])
def test_the_first_trial_is_never_pruned(startup: int) -> None:
    assert not pruned(study_of(), {0: -1.0}, startup)
