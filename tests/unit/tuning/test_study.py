"""Studies that workers share and that processes die in: nothing lost, nothing twice, never beyond the budget."""

from __future__ import annotations

import os
import select
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.pruners import NopPruner
from optuna.trial import FrozenTrial, TrialState

from esm2_amp.errors import InputError
from esm2_amp.tuning.results import best_trial, count_states, trial_table
from esm2_amp.tuning.scores import metric_of
from esm2_amp.tuning.space import SearchSpace
from esm2_amp.tuning.storage import open_storage, parse_target
from esm2_amp.tuning.study import Budget, Sweep, open_sweep

SPACE = SearchSpace({"x": FloatDistribution(0, 1), "y": FloatDistribution(1e-3, 1, log=True)}, {})
optuna.logging.set_verbosity(optuna.logging.WARNING)
Objective = Callable[[optuna.Trial], float]


@contextmanager
def sweep(
    file: Path | str, trials: int = 6, retries: int = 3, metric: str = "aupr", startup: int = 3
) -> Iterator[Sweep]:
    with open_storage(parse_target(str(file))) as (storage, workers):
        study = open_sweep(storage, workers, "s", metric_of(metric), NopPruner(), {"tune.metric": metric})
        yield Sweep(study, storage, workers, SPACE, 1, startup, Budget(trials, retries))


def value(trial: optuna.Trial) -> float:
    return -((trial.params["x"] - 0.3) ** 2) - trial.params["y"]


def die(trial: optuna.Trial) -> float:
    os.kill(os.getpid(), signal.SIGKILL)
    return 0.0


def ignore(trial: FrozenTrial) -> None:
    pass


def in_child(file: Path | str, objective: Objective, **options: Any) -> int:
    """Work as another process; its number."""
    child = os.fork()
    if child:
        return child
    try:
        with sweep(file, **options) as mine:
            mine.work(objective, ignore)
    finally:
        os._exit(0)


def ended(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def trials_of(file: Path | str) -> list[FrozenTrial]:
    with sweep(file) as mine:
        return mine.study.get_trials()


@pytest.fixture(params=["study.journal", "study.db"])
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return tmp_path / request.param


def test_the_budget_is_used_up_and_not_exceeded(file: Path) -> None:
    with sweep(file) as mine:
        mine.work(value, ignore)
        mine.work(value, ignore)
    assert [trial.state.name for trial in trials_of(file)] == ["COMPLETE"] * 6
    with sweep(file, trials=8) as mine:
        mine.work(value, ignore)
    assert len(trials_of(file)) == 8


def test_workers_share_the_budget_exactly(file: Path) -> None:
    children = [in_child(file, value, trials=12) for _ in range(3)]
    assert [ended(child) for child in children] == [0, 0, 0]
    trials = trials_of(file)
    assert Counter(trial.state.name for trial in trials) == {"COMPLETE": 12}
    assert len({tuple(trial.params.values()) for trial in trials}) == 12


def test_the_trial_of_a_killed_worker_is_retried_once_with_its_parameters(file: Path) -> None:
    assert ended(in_child(file, die)) == -9
    with sweep(file) as mine:
        mine.work(value, ignore)
    with sweep(file) as mine:
        mine.work(value, ignore)
        assert count_states(mine.study) == {"fail": 1, "complete": 6, "retried": 1}
        columns, rows = trial_table(mine.study, SPACE, 2)
    dead, again = trials_of(file)[:2]
    assert dead.user_attrs["reason"] == "its worker died"
    assert again.user_attrs["retried_from"] == dead.number
    assert again.params == dead.params
    assert again.state == TrialState.COMPLETE
    assert len(rows) == 7  # every trial has its row
    assert rows[1][columns.index("retried_from")] == 0


def test_a_killed_and_resumed_sweep_tries_what_an_uninterrupted_one_does(tmp_path: Path) -> None:
    def fragile(trial: optuna.Trial) -> float:
        if trial.number in (2, 6) and "retried_from" not in trial.user_attrs:
            die(trial)
        return value(trial)

    broken, whole = tmp_path / "broken", tmp_path / "whole"
    assert ended(in_child(broken, fragile, trials=12)) == -9
    assert ended(in_child(broken, fragile, trials=12)) == -9
    assert ended(in_child(broken, value, trials=12)) == 0
    assert ended(in_child(whole, value, trials=12)) == 0
    done = [trial for trial in trials_of(broken) if trial.state == TrialState.COMPLETE]
    assert [(t.params, t.value) for t in done] == [(t.params, t.value) for t in trials_of(whole)]


def test_the_trial_of_a_living_worker_is_left_alone(file: Path) -> None:
    def wait(trial: optuna.Trial) -> float:
        (file.parent / "began").touch()
        while not (file.parent / "go").exists():
            time.sleep(0.01)
        return value(trial)

    slow = in_child(file, wait)
    while not (file.parent / "began").exists():
        time.sleep(0.01)
    with sweep(file) as mine:
        mine.work(value, ignore)
        assert mine.running() == 1
        assert count_states(mine.study) == {"running": 1, "complete": 5}
    (file.parent / "go").touch()
    assert ended(slow) == 0
    assert Counter(trial.state.name for trial in trials_of(file)) == {"COMPLETE": 6}


def test_a_trial_that_kills_every_worker_is_given_up(tmp_path: Path) -> None:
    file = tmp_path / "j"
    for _ in range(3):
        assert ended(in_child(file, die, retries=2)) == -9
    with sweep(file, retries=2) as mine:
        mine.work(value, ignore)
    trials = trials_of(file)
    assert [trial.state.name for trial in trials] == ["FAIL"] * 3 + ["COMPLETE"] * 5
    assert trials[0].params == trials[1].params == trials[2].params != trials[3].params
    assert trials[2].user_attrs["reason"] == "its worker died, as in 2 retries of it"


def test_killed_while_it_chose_or_while_it_took_over(file: Path) -> None:
    """The two moments in which a trial has no worker, or has a retry and is not failed yet."""
    with sweep(file) as mine:
        nameless = mine.study.ask({"x": SPACE.ranges["x"]})  # killed before y was chosen
    with sweep(file) as mine:
        mine.study.enqueue_trial(nameless.params, user_attrs={"retried_from": 0})  # killed before trial 0 was failed
        mine.work(value, ignore)
    trials = trials_of(file)
    assert [trial.user_attrs.get("retried_from") for trial in trials].count(0) == 1
    assert trials[0].state == TrialState.FAIL
    assert trials[1].params["x"] == nameless.params["x"]
    assert Counter(trial.state.name for trial in trials) == {"FAIL": 1, "COMPLETE": 6}


def test_a_retry_killed_before_its_parameters_were_set_keeps_those_of_the_first(tmp_path: Path) -> None:
    assert ended(in_child(tmp_path / "j", die)) == -9
    with sweep(tmp_path / "j") as mine:
        mine.running()
        mine.study.ask()  # takes the retry, dies before it has chosen
    with sweep(tmp_path / "j") as mine:
        mine.work(value, ignore)
    trials = trials_of(tmp_path / "j")
    assert [trial.user_attrs.get("retried_from") for trial in trials[:3]] == [None, 0, 1]
    assert trials[2].params == trials[0].params


def test_a_diverged_trial_fails_with_its_reason_and_counts(tmp_path: Path) -> None:
    def diverge(trial: optuna.Trial) -> float:
        if trial.number % 2:
            raise InputError("training diverged: the loss is nan", remedy="Lower lr.")
        return value(trial)

    seen: list[str] = []
    with sweep(tmp_path / "j") as mine:
        mine.work(diverge, lambda trial: seen.append(trial.state.name))
    assert seen == ["COMPLETE", "FAIL"] * 3
    assert trials_of(tmp_path / "j")[1].user_attrs["reason"] == "training diverged: the loss is nan. Lower lr."


def test_a_bug_is_not_taken_for_a_failed_trial(tmp_path: Path) -> None:
    def bug(trial: optuna.Trial) -> float:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), sweep(tmp_path / "j") as mine:
        mine.work(bug, ignore)


@pytest.mark.parametrize(("metric", "pick"), [("mcc", max), ("aupr", max), ("auroc", max), ("loss", min)])
def test_the_direction_follows_the_metric(metric: str, pick: Callable[..., float], tmp_path: Path) -> None:
    with sweep(tmp_path / "j", metric=metric) as mine:
        mine.work(value, ignore)
        best = best_trial(mine.study)
        assert best is not None
        assert best.value == mine.study.best_value == pick(trial.value for trial in mine.study.trials)


def test_a_study_begun_otherwise_is_refused_by_name(tmp_path: Path) -> None:
    with sweep(tmp_path / "j"):
        pass
    said = "tune.metric is mcc, but the study 's' was begun with aupr"
    with pytest.raises(InputError, match=said), sweep(tmp_path / "j", metric="mcc"):
        pass
    optuna.create_study(study_name="theirs", storage=f"sqlite:///{tmp_path}/o.db").ask()
    theirs = open_storage(parse_target(f"{tmp_path}/o.db"))
    with pytest.raises(InputError, match="was not made by esm2-amp"), theirs as (storage, workers):
        open_sweep(storage, workers, "theirs", metric_of("loss"), NopPruner(), {})


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["journal", "sqlite", "postgresql"])
def test_killed_at_random_moments_nothing_is_lost(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Two workers, one of them killed again and again: every place in the budget ends with one completed trial."""

    places = {"journal": tmp_path / "j", "sqlite": tmp_path / "s.db"}
    file = places.get(kind) or request.getfixturevalue("postgres")

    read, write = os.pipe()

    def slow(trial: optuna.Trial) -> float:
        for step in range(5):
            trial.report(0.0, step)
            time.sleep(0.02)
        return value(trial)

    def doomed(trial: optuna.Trial) -> float:
        os.write(write, b".")
        return slow(trial)

    steady = in_child(file, slow, trials=100, retries=100)
    for moment in range(20):
        child = in_child(file, doomed, trials=100, retries=100)
        # in mid-trial every other time, anywhere from its beginning on else
        if moment % 2:
            select.select([read], [], [], 5)
        time.sleep(0.01 * moment)
        os.kill(child, signal.SIGKILL)
        ended(child)
        while select.select([read], [], [], 0)[0]:
            os.read(read, 100)
    assert ended(steady) == 0
    assert ended(in_child(file, slow, trials=100, retries=100)) == 0
    trials = trials_of(file)
    assert {trial.state for trial in trials} <= {TrialState.COMPLETE, TrialState.FAIL}
    assert sum(trial.state == TrialState.COMPLETE for trial in trials) == 100
    assert len(trials) >= 105  # some were killed in mid-trial
    retry_of = {trial.user_attrs["retried_from"]: trial for trial in trials if "retried_from" in trial.user_attrs}
    assert len(retry_of) == len(trials) - 100  # each killed one once
    for trial in trials:
        last = trial
        while last.state == TrialState.FAIL:
            last = retry_of[last.number]
        assert last.params.items() >= trial.params.items()
