"""Two real processes on this machine's CPU train one model, or fill one feature store."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from esm2_amp.features.store import FeatureStore
from esm2_amp.features.store_care import differing
from esm2_amp.features.store_parts import part_folders, rows_in_parts
from esm2_amp.records import STANDARD_RESIDUES

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


PLAIN = [sys.executable, "-m", "esm2_amp"]
SHARED = ["trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2"]


def extraction(folder: Path, world: Any, count: int, *more: str) -> list[str]:
    """A command that extracts ``count`` random proteins."""
    rng = np.random.default_rng(5)
    letters = list(STANDARD_RESIDUES)
    proteins = (f">Q{i}\n{''.join(rng.choice(letters, rng.integers(1, 300)))}\n" for i in range(count))
    (folder / "q.fasta").write_text("".join(proteins))
    return ["extract", "fasta=q.fasta", f"encoder.path={world.encoder}", "features.token_budget=300", *more]


def rows_by_key(folder: Path) -> dict[str, tuple[bytes, bytes]]:
    store = FeatureStore(folder)
    keys = store.keys(np.arange(len(store)))
    rows = {key: (store.index[row].tobytes(), store.block(row, row + 1).tobytes()) for row, key in enumerate(keys)}
    assert len(rows) == len(keys)
    return rows


@pytest.mark.parametrize("program", [PLAIN, TORCHRUN], ids=["started here", "torchrun"])
def test_two_processes_fill_one_store_as_one_does(program: list[str], world: Any, tmp_path: Path) -> None:
    command = extraction(tmp_path, world, 300)
    run([*PLAIN, *command, "store=one", "features.device=cpu"], tmp_path)
    told = run([*program, *command, "store=two", *SHARED], tmp_path)
    assert told.count("300 computed") == told.count("in this process of 2") == 1
    assert told.count("300 proteins of q.fasta") == 1
    # the plan is the same, so every protein was computed in the same batch: equal to the byte
    assert rows_by_key(tmp_path / "two") == rows_by_key(tmp_path / "one")
    assert sorted(FeatureStore(tmp_path / "two").ids()) == sorted(FeatureStore(tmp_path / "one").ids())
    assert part_folders(tmp_path / "two") == []
    assert "0 computed, 300 already" in run([*program, *command, "store=two", *SHARED], tmp_path)


@pytest.mark.parametrize("victim", [0, 1])
@pytest.mark.parametrize("rescuers", [1, 2])
def test_one_of_two_is_killed_and_the_rest_is_kept(victim: int, rescuers: int, world: Any, tmp_path: Path) -> None:
    command = extraction(tmp_path, world, 1500)
    own, part = tmp_path / "s", tmp_path / "s" / "part-00001"
    first = subprocess.Popen(
        [*PLAIN, *command, "store=s", *SHARED], cwd=tmp_path, env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        wait_until(lambda: min(committed(own), committed(part)) >= 20, first)
        os.kill((first.pid, *children(first.pid))[victim], signal.SIGKILL)
        _, said = first.communicate(timeout=60)  # the pipe is closed when the other has ended, too
    finally:
        first.kill()
    assert first.returncode == (-9, 2)[victim]
    assert said.splitlines()[-1] == (
        "error: a process of this run stopped. Run the same command again; what is done is kept."
    )
    assert said.count("error") == 1
    kept = len(FeatureStore(own)) + rows_in_parts(own)
    assert 40 <= kept < 1500
    told = run([*PLAIN, "store", "verify", "store=s"], tmp_path)
    assert f"Parts not joined yet: 1, with {rows_in_parts(own)} sequences" in told
    assert "all as they were written" in told
    device = SHARED if rescuers == 2 else ["features.device=cpu"]
    assert f"{1500 - kept} computed" in run([*PLAIN, *command, "store=s", *device], tmp_path)
    run([*PLAIN, *command, "store=whole", "features.device=cpu"], tmp_path)
    assert rows_by_key(own).keys() == rows_by_key(tmp_path / "whole").keys()
    # what was left was planned anew, so some proteins were computed beside others than without the interruption
    assert differing(FeatureStore(own), FeatureStore(tmp_path / "whole"), lambda _: None) == (1500, 0)
    assert part_folders(own) == []


def committed(store: Path) -> int:
    file = store / "manifest.json"
    return int(json.loads(file.read_text())["rows"]) if file.exists() else 0


def wait_until(condition: Any, process: subprocess.Popen[str]) -> None:
    began = time.monotonic()
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() - began < 200
        time.sleep(0.005)


def children(process: int) -> list[int]:
    """Processes that a process has started."""
    return [int(pid) for pid in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def test_a_mistake_is_told_once_and_leaves_nothing(world: Any, tmp_path: Path) -> None:
    command = [*PLAIN, *extraction(tmp_path, world, 3), "store=s", *SHARED]
    for wrong, message in (
        ("fasta=none.fasta", "none.fasta"),
        ("features.device=cuda", "torch sees no CUDA GPU"),
        ("trainer.strategy=fsdp", "trainer.strategy is 'fsdp'. Use auto or ddp."),
        ("trainer.devices=0", "trainer.devices=0"),
    ):
        ended = subprocess.run([*command, wrong], cwd=tmp_path, capture_output=True, text=True, timeout=200)
        assert (ended.returncode, ended.stdout) == (2, "")
        assert message in ended.stderr
        assert ended.stderr.count("error:") == 1
    assert {path.name for path in tmp_path.iterdir()} == {"q.fasta"}
