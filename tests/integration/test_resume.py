"""Real processes, killed with SIGKILL at some moment and started again: nothing is lost, nothing differs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from esm2_amp.features.store import FeatureStore
from esm2_amp.records import STANDARD_RESIDUES

pytestmark = pytest.mark.slow
LONGEST_S = 240


def start(argv: list[str], folder: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "esm2_amp", *argv]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    log = (folder / "log.txt").open("ab")
    return subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)


def finish(argv: list[str], folder: Path) -> None:
    assert start(argv, folder).wait(LONGEST_S) == 0, (folder / "log.txt").read_text()


def kill(argv: list[str], folder: Path, when: Callable[[], bool]) -> None:
    """Start a command and kill it once ``when()`` holds; it must not have ended by itself."""
    process = start(argv, folder)
    began = time.monotonic()
    while not when() and process.poll() is None and time.monotonic() - began < LONGEST_S:
        time.sleep(0.002)
    process.kill()
    assert process.wait() == -9, (folder / "log.txt").read_text()


def lines(file: Path) -> int:
    return len(file.read_text().splitlines()) if file.exists() else 0


def test_a_killed_extraction_goes_on(world: Any, tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    letters = list(STANDARD_RESIDUES)
    proteins = (f">Q{i}\n{''.join(rng.choice(letters, rng.integers(1, 300)))}\n" for i in range(1500))
    (tmp_path / "q.fasta").write_text("".join(proteins))
    command = ["extract", "fasta=q.fasta", f"encoder.path={world.encoder}", "features.device=cpu"]
    command += ["features.token_budget=300"]

    def rows() -> int:
        file = tmp_path / "broken" / "manifest.json"
        return int(json.loads(file.read_text())["rows"]) if file.exists() else 0

    for least in (1, 300, 700):
        kill([*command, "store=broken"], tmp_path, lambda least=least: rows() >= least)
        assert least <= rows() < 1500
    finish([*command, "store=broken"], tmp_path)
    finish([*command, "store=whole"], tmp_path)
    for name in ("broken", "whole"):
        finish(["store", "export", f"store={name}", "fasta=q.fasta", f"output={name}.npz"], tmp_path)
    with np.load(tmp_path / "broken.npz") as broken, np.load(tmp_path / "whole.npz") as whole:
        assert broken["ids"].tolist() == [f"Q{i}" for i in range(1500)]
        assert np.array_equal(broken["tokens"], whole["tokens"])
        assert broken["layout"].tolist() == whole["layout"].tolist()


START = """
import os, sys
from esm2_amp.features.embed import Embedder
from esm2_amp.tasks import cli, extract  # what takes seconds, once: a process is then started by forking

embed = Embedder.__call__

def noted(self, proteins):
    with open(os.environ["NOTES"], "a") as notes:
        notes.write(" ".join(protein.id for protein in proteins) + "\\n")
    return embed(self, proteins)

Embedder.__call__ = noted
for line in sys.stdin:
    child = os.fork()
    if not child:
        cli.main(line.split())
        sys.exit(0)
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
"""Starts a command for every line it reads, as a process of its own whose number it tells, and then how it ended. The
command notes the proteins of every batch that it begins."""


@contextmanager
def starter(folder: Path) -> Iterator[tuple[Callable[[list[str]], int], Callable[[], int]]]:
    """``begin(argv)`` gives the number of a new process, ``ended()`` its exit code."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "NOTES": str(folder / "notes.txt")}
    command = [sys.executable, "-c", START]
    pipe = subprocess.PIPE
    with (
        (folder / "log.txt").open("ab") as log,
        subprocess.Popen(
            command, cwd=folder, env=environment, stdin=pipe, stdout=pipe, stderr=log, text=True
        ) as process,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        to, of = process.stdin, process.stdout

        def begin(argv: list[str]) -> int:
            print(*argv, file=to, flush=True)
            return int(of.readline())

        def ended() -> int:
            return next(int(line) for line in of if line.strip().lstrip("-").isdigit())

        try:
            yield begin, ended
        finally:
            to.close()


def by_key(folder: Path) -> dict[str, tuple[bytes, bytes]]:
    """Record and tokens of every row, by sequence key; no key may be there twice."""
    store = FeatureStore(folder)
    keys = store.keys(np.arange(len(store)))
    rows = {key: (store.index[row].tobytes(), store.block(row, row + 1).tobytes()) for row, key in enumerate(keys)}
    assert len(rows) == len(keys)
    return rows


@pytest.mark.parametrize(("workers", "kills"), [(1, 20), (2, 5)])
def test_killed_at_random_moments_nothing_is_lost(workers: int, kills: int, world: Any, tmp_path: Path) -> None:
    rng = np.random.default_rng(workers)
    letters, count = list(STANDARD_RESIDUES), 1500
    proteins = [f">Q{i}\n{''.join(rng.choice(letters, rng.integers(1, 300)))}\n" for i in range(count)]
    (tmp_path / "q.fasta").write_text("".join(proteins))
    command = ["extract", "fasta=q.fasta", f"encoder.path={world.encoder}", "features.device=cpu"]
    command += ["features.token_budget=300", f"features.threads={workers}"]
    manifest, notes = tmp_path / "broken" / "manifest.json", tmp_path / "notes.txt"

    def rows() -> int:
        return int(json.loads(manifest.read_text())["rows"]) if manifest.exists() else 0

    lost = []
    with starter(tmp_path) as (begin, ended):
        for _ in range(kills):
            notes.write_text("")
            before, done = rows(), set(by_key(tmp_path / "broken")) if manifest.exists() else set()
            # by rows and not by the clock, so that the work is not over too soon on a faster machine
            wanted, pause = before + int(rng.integers(count / kills)), rng.uniform(0, 0.02)
            process = begin([*command, "store=broken"])
            while rows() < wanted:
                time.sleep(0.001)
            time.sleep(pause)
            os.kill(process, signal.SIGKILL)
            assert ended() == -9, (tmp_path / "log.txt").read_text()
            lost.append(_batches_lost(notes, tmp_path, done))
        assert begin([*command, "store=broken"])
        assert ended() == 0, (tmp_path / "log.txt").read_text()
        assert begin([*command, "store=whole"])
        assert ended() == 0
    # one in work for each worker, and one that is done and about to be written
    assert max(lost) <= workers + 1, lost
    assert 0 < sum(lost) <= kills * workers + kills // 4, lost
    broken = by_key(tmp_path / "broken")
    assert len(broken) == count
    assert broken == by_key(tmp_path / "whole")


def _batches_lost(notes: Path, folder: Path, done: set[str]) -> int:
    """How many of the batches that a killed process had begun it did not commit; each one whole or not at all."""
    if not (folder / "broken" / "manifest.json").exists():
        return 0
    store = FeatureStore(folder / "broken")
    key_of = dict(store.ids())
    batches = [[key_of[name] for name in line.split()] for line in notes.read_text().splitlines()]
    assert not done & {key for batch in batches for key in batch}  # what was there is not computed again
    there = [{bool(row >= 0) for row in store.find(batch)} for batch in batches]
    assert all(len(answers) == 1 for answers in there)
    assert len(store) - len(done) == sum(
        len(batch) for batch, answers in zip(batches, there, strict=True) if True in answers
    )
    return there.count({False})


@pytest.mark.parametrize("model", ["dpm", "amps"])
def test_a_killed_training_goes_on(model: str, world: Any, warm: Path) -> None:
    command = world.training(f"model={model}", "epochs=60", "patience=60")
    history = warm / "broken" / "history.csv"
    kill([*command, "run_dir=broken"], warm, lambda: lines(history) > 3)
    for least in (15, 30):
        before = lines(history)
        assert before < 61
        kill([*command, "run_dir=broken", "resume=true"], warm, lambda least=least: lines(history) > least)
    finish([*command, "run_dir=broken", "resume=true"], warm)
    finish([*command, "run_dir=whole"], warm)
    for name in ("metrics.json", "history.csv", "predictions/test.tsv", "model/card.json"):
        assert (warm / "broken" / name).read_text() == (warm / "whole" / name).read_text(), name
    broken, whole = (load_file(warm / name / "model" / "model.safetensors") for name in ("broken", "whole"))
    assert broken.keys() == whole.keys()
    assert all(np.array_equal(broken[name], whole[name]) for name in whole)


def test_a_killed_pretraining_goes_on(world: Any, tmp_path: Path) -> None:
    sizes = ["layers=1", "width=8", "heads=2", "feedforward=8", "steps=200", "warmup=5", "steps_per_epoch=10"]
    command = ["pretrain", f"fasta={world.fasta}", *sizes, "window=64", "tokens=256", "precision=32-true", "threads=1"]
    history = tmp_path / "broken" / "history.csv"
    for least in (2, 9):
        kill([*command, "output=broken"], tmp_path, lambda least=least: lines(history) > least)
        assert lines(history) < 21
    finish([*command, "output=broken"], tmp_path)
    finish([*command, "output=whole"], tmp_path)
    broken, whole = tmp_path / "broken" / "encoder", tmp_path / "whole" / "encoder"
    for name in ("model.safetensors", "history.csv", "card.json", "config.json"):
        assert (broken / name).read_bytes() == (whole / name).read_bytes(), name
