"""Real processes, killed with SIGKILL at some moment and started again: nothing is lost, nothing differs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

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
