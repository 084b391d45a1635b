"""esm2-amp tune, as people run it: results, going on, several processes, a killed one, a real database server."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial

Run = Callable[..., Any]
TINY = ["epochs=1", "tune.folds=2", "search.model.network.scale_from=128", "report.plotlyjs=cdn"]


def tuning(world: Any, *overrides: str) -> list[str]:
    """Tune a DPM with layers of a tenth of the published sizes."""
    command = [word for word in world.training(*TINY, *overrides) if not word.startswith("model.network")]
    return ["tune", "model=dpm", *command[1:]]


def table(file: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(file.read_text().splitlines(), delimiter="\t"))


def done(outcome: Any) -> Any:
    assert outcome.code == 0, outcome.err
    return outcome


def test_a_sweep_goes_on_and_leaves_its_results(world: Any, warm: Path, cli: Run) -> None:
    first = done(cli(tuning(world, "tune.trials=2", "run_dir=sweep", "tune.final=false"), warm))
    run = warm / "sweep"
    assert {file.name for file in run.iterdir()} >= {
        "trials.tsv",
        "best.yaml",
        "report.html",
        "study.journal",
        "tune.log",
    }
    assert not (run / "best").exists()
    assert "Best of 2 trials" in first.out
    second = done(cli(tuning(world, "tune.trials=3", "run_dir=sweep"), warm))
    assert "goes on after 2 trials" in second.err
    rows = table(run / "trials.tsv")
    assert [row["state"] for row in rows] == ["complete"] * 3
    assert len({row["model.optimizer.lr"] for row in rows}) == 3  # going on does not begin anew
    for row in rows:
        folds = [float(row["fold_1"]), float(row["fold_2"])]
        assert float(row["value"]) == pytest.approx(sum(folds) / 2)
    best = max(rows, key=lambda row: float(row["value"]))
    saved = json.loads((run / "best" / "model" / "card.json").read_text())
    assert saved["training"]["optimizer"]["lr"] == float(best["model.optimizer.lr"])
    assert saved["hyper"]["hidden1"] == int(best["model.network.hidden1"])
    assert saved["hyper"]["scale_from"] == 128
    # the printed command trains the same model
    words = (
        next(line for line in second.out.splitlines() if "train.py overrides=" in line).split("train.py ")[1].split()
    )
    done(cli(["train", *words, "run_dir=again", "trainer.accelerator=cpu"], warm))
    for name in ("metrics.json", "model/card.json", "history.csv"):
        assert (warm / "again" / name).read_bytes() == (run / "best" / name).read_bytes(), name


def test_trials_see_neither_validation_nor_test_pairs(world: Any, warm: Path, cli: Run, tmp_path: Path) -> None:
    """With other validation and test pairs every trial gives the same; with other training pairs it does not."""
    flipped = warm / "flipped.tsv"
    header, *rows = world.train.read_text().splitlines()
    flipped.write_text("\n".join([header, *(row[:-1] + str(1 - int(row[-1])) for row in rows)]) + "\n")
    values = []
    for name, others in (
        ("a", []),
        ("b", [f"data.val={world.test}", f"data.test={world.val}"]),
        ("c", [f"data.train={flipped}"]),
    ):
        done(cli(tuning(world, "tune.trials=1", f"run_dir={name}", "tune.final=false", *others), warm))
        (row,) = table(warm / name / "trials.tsv")
        values.append((row["fold_1"], row["fold_2"]))
    assert values[0] == values[1] != values[2]


@pytest.mark.slow
def test_ranges_of_ones_own_and_folds_without_shared_proteins(world: Any, warm: Path, cli: Run) -> None:
    (warm / "mine.yaml").write_text(
        "batch_size: {type: categorical, choices: [8, 16]}\n"
        "model:\n  standardise: {type: categorical, choices: [true, false]}\n"
        "  optimizer: {ema_decay: null, lr: {type: float, low: 1e-4, high: 1e-3}}\n  network: {scale_from: 128}\n"
    )
    words = ["tune.space=mine.yaml", "tune.split=proteins", "tune.metric=mcc", "tune.trials=2", "run_dir=sweep"]
    outcome = done(cli(tuning(world, *words), warm))
    counts = [tuple(map(int, re.findall(r"\d+", line)[1:])) for line in outcome.err.splitlines() if "left out" in line]
    assert len(counts) == 2
    assert {sum(parts) for parts in counts} == {56}
    assert all(left_out > 0 for _, _, left_out in counts)
    training = json.loads((warm / "sweep" / "best" / "model" / "card.json").read_text())["training"]
    best = max(table(warm / "sweep" / "trials.tsv"), key=lambda row: float(row["value"]))
    assert training["batch_size"] == int(best["batch_size"])
    assert training["standardise"] == (best["model.standardise"] == "True")
    assert training["optimizer"]["ema_decay"] is None  # set in every trial, and so in the model


MISTAKES: dict[str, tuple[list[str], str]] = {
    "a metric that there is not": (["tune.metric=f2"], "tune.metric is 'f2'"),
    "one fold": (["tune.folds=1"], "tune.folds is 1"),
    "more folds than pairs": (["tune.folds=40"], "40 folds of 28 pairs with label 0"),
    "folds too small for the metric": (["tune.metric=mcc", "tune.folds=28"], "2 folds of 1 pair with label"),
    "a split that there is not": (["tune.split=random"], "tune.split is 'random'"),
    "an option the model has not": (
        ["+search.model.network.dropout={type: float, low: 0, high: 1}"], "would add an unknown option",
    ),
    "a range upside down": (["search.model.optimizer.lr.low=1"], "low is 1"),
    "a rate beyond its bounds": (["search.model.optimizer.lr.high=2"], "model.optimizer.lr is 2.0"),
    "ranges of another model": (["model=amps", "search=dpm"], "model=amps has no such option"),
    "several processes": (["trainer.devices=2"], "trainer.devices=2"),
    "another database": (["tune.storage=mysql://u:hunter2@h/d"], "tune.storage=mysql://... is not understood"),
    "a server that is not there": (
        ["tune.storage=postgresql://u:hunter2@127.0.0.1:9/d"], "postgresql://u:***@127.0.0.1:9/d cannot be used",
    ),
    "a storage that is a table": (["tune.storage={train}"], "is no journal"),
    "a file of ranges that is not there": (["tune.space=nowhere.yaml"], "nowhere.yaml"),
    "a drawing library that there is not": (["report.plotlyjs=no"], "report.plotlyjs is 'no'"),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_ends_with_one_message_and_no_folder(name: str, world: Any, warm: Path, cli: Run) -> None:
    words, said = MISTAKES[name]
    if "postgresql" in words[0]:
        pytest.importorskip("psycopg")
    words = [word.format(train=world.train) if "{train}" in word else word for word in words]
    outcome = cli(tuning(world, "run_dir=new/sweep", *words), warm)
    assert (outcome.code, said in outcome.err) == (2, True), outcome.err
    assert "Traceback" not in outcome.err
    assert "hunter2" not in outcome.err + outcome.out
    assert not (warm / "new").exists()


@pytest.mark.slow
def test_another_sweep_is_refused_by_name(world: Any, warm: Path, cli: Run) -> None:
    done(cli(tuning(world, "tune.trials=1", "run_dir=sweep", "tune.final=false"), warm))
    before = (warm / "sweep" / "study.journal").read_bytes()
    for word, said in (
        ("tune.folds=3", "tune.folds is 3, but the study 'dpm-files' was begun with 2"),
        ("tune.metric=mcc", "tune.metric is mcc"),
        ("epochs=2", "epochs is 2"),
        ("search.model.optimizer.lr.high=1e-3", "search.model.optimizer.lr is float 1e-06..0.001 log"),
        (f"data.train={world.test}", "data.train is"),
        ("model.optimizer.min_lr=0", "model.optimizer.min_lr is 0"),
    ):
        others = [f"data.test={world.train}"] if word.startswith("data.train") else []
        outcome = cli(tuning(world, "tune.trials=2", "run_dir=sweep", word, *others), warm)
        assert (outcome.code, said in outcome.err) == (2, True), outcome.err
    assert (warm / "sweep" / "study.journal").read_bytes() == before
    (warm / "mine").mkdir()
    (warm / "mine" / "thesis.txt").write_text("all of it")
    outcome = cli(tuning(world, "run_dir=mine"), warm)
    assert (outcome.code, "holds something else" in outcome.err) == (2, True)
    assert [file.name for file in (warm / "mine").iterdir()] == ["thesis.txt"]


def test_where_every_training_diverges_the_reason_is_told(
    world: Any, warm: Path, cli: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torch.nn import functional

    loss = functional.binary_cross_entropy_with_logits
    monkeypatch.setattr(functional, "binary_cross_entropy_with_logits", lambda x, y: loss(x, y) * float("nan"))
    outcome = cli(tuning(world, "tune.trials=2", "run_dir=sweep"), warm)
    assert outcome.code == 2
    assert "no trial of the study 'dpm-files' is completed (2 fail); the last reason: training diverged" in outcome.err
    assert [row["state"] for row in table(warm / "sweep" / "trials.tsv")] == ["fail", "fail"]


# --- several processes


def start(argv: list[str], folder: Path, name: str) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with (folder / f"{name}.txt").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "esm2_amp", *argv], cwd=folder, env=environment, stdout=log, stderr=log
        )


def trials_in(storage: BaseStorage) -> list[FrozenTrial]:
    with suppress(KeyError):  # not begun yet
        return optuna.load_study(study_name="dpm-files", storage=storage).get_trials()
    return []


def wait_for(condition: Callable[[], bool], *processes: subprocess.Popen[bytes]) -> None:
    began = time.monotonic()
    while not condition():
        assert all(process.poll() is None for process in processes)
        assert time.monotonic() - began < 240
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["journal", "sqlite", "postgresql"])
def test_two_workers_one_killed_in_mid_trial(
    kind: str, world: Any, warm: Path, cli: Run, request: pytest.FixtureRequest
) -> None:
    address = {"journal": "study.log", "sqlite": "study.db"}.get(kind) or request.getfixturevalue("postgres")
    budget = 6
    long = [f"tune.trials={budget}", "epochs=40", "patience=40", f"tune.storage={address}", "tune.prune=false"]
    command = tuning(world, *long)
    place = warm / address if kind != "postgresql" else None
    # the same command in two terminals; on the server as from two machines, each with a folder of its own
    folders = {"victim": "sweep", "survivor": "sweep" if place else "elsewhere"}
    victim, other = (start([*command, f"run_dir={folder}"], warm, name) for name, folder in folders.items())
    wait_for(lambda: "Study dpm-files" in (warm / "victim.txt").read_text(), victim, other)
    if kind == "journal":
        storage: BaseStorage = JournalStorage(JournalFileBackend(str(place)))
    else:
        url = f"sqlite:///{place}" if place else address.replace("postgresql:", "postgresql+psycopg:")
        storage = RDBStorage(url)

    def both_at_work() -> bool:
        running = [trial for trial in trials_in(storage) if trial.state.name == "RUNNING" and trial.intermediate_values]
        return len(running) == 2

    wait_for(both_at_work, victim, other)
    mine = {trial.number for trial in trials_in(storage) if trial.state.name == "RUNNING"}
    victim.kill()
    assert victim.wait() == -9
    assert other.wait(300) == 0, (warm / "survivor.txt").read_text()
    trials = trials_in(storage)
    (lost,) = [trial for trial in trials if trial.state.name == "FAIL"]
    assert lost.number in mine
    assert lost.user_attrs["reason"] == "its worker died"
    (again,) = [trial for trial in trials if "retried_from" in trial.user_attrs]
    assert again.user_attrs["retried_from"] == lost.number
    assert again.params == lost.params
    assert [trial.state.name for trial in trials].count("COMPLETE") == budget == len(trials) - 1
    assert len(again.user_attrs["folds"]) == 2
    run = warm / folders["survivor"]
    assert len(table(run / "trials.tsv")) == len(trials)
    assert (run / "best" / "metrics.json").exists()
    secret = address.split(":")[2].split("@")[0] if kind == "postgresql" else "no secret"
    texts = [file.read_bytes() for file in warm.rglob("*") if file.is_file() and file.suffix != ".npy"]
    assert not any(secret.encode() in text for text in texts)
    done(cli([*command, f"run_dir={run.name}"], warm))  # once more: nothing is left to do
    assert len(trials_in(storage)) == len(trials)
