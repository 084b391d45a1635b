"""Two real processes on this machine's CPU train one model, started by Lightning or by torchrun."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow
DDP = ["trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2", "epochs=3", "batch_size=8"]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "esm2_amp"]


def run(command: list[str], folder: Path) -> str:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    ended = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout + ended.stderr


@pytest.mark.parametrize("program", [[sys.executable, "-m", "esm2_amp"], TORCHRUN], ids=["lightning", "torchrun"])
def test_two_processes_train_one_model(program: list[str], world: Any, tmp_path: Path) -> None:
    told = run([*program, *world.training("model=dpm", "run_dir=run", *DDP)], tmp_path)
    assert told.count("40 computed") == 1  # features, by the first process alone
    assert told.count("epoch   2  train/loss") == 1
    assert told.count("Run folder: run") == 1
    assert {path.name for path in tmp_path.iterdir()} == {"run", "features"}
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["fit"]["epochs"] == 3
    assert (metrics["val"]["all"]["n"], metrics["test"]["all"]["n"]) == (24, 28)  # every row, once
    assert len((tmp_path / "run" / "history.csv").read_text().splitlines()) == 4
    scores = run([sys.executable, "-m", "esm2_amp", *world.prediction("run/model", "output=scores.tsv")], tmp_path)
    assert "28 rows written to scores.tsv; 0 could not be scored" in scores


def test_processes_started_together_need_a_named_folder(world: Any, tmp_path: Path) -> None:
    environment = {**os.environ, "RANK": "1", "LOCAL_RANK": "1", "WORLD_SIZE": "2"}
    command = [sys.executable, "-m", "esm2_amp", *world.training("model=dpm", *DDP)]
    ended = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 2
    assert ended.stderr.splitlines()[-1].startswith("error: several processes share this run. Name its folder")
    assert list(tmp_path.iterdir()) == []
