"""A screening that is killed, shared among processes, or out of space gives the same bytes in the end."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from screening_world import parts_of, process, result, run

from esm2_amp.errors import InputError
from esm2_amp.screening.grid import Grid
from esm2_amp.screening.keep import Keep

N, EDGE, TOP = 120, 8, 5
PRELOAD = ["torch", "esm2_amp.models.network", "esm2_amp.screening.engine", "esm2_amp.screening.finish"]
"""What a child need not import: it takes seconds."""
WORK, KEEP = Grid(N, N, 0, EDGE, False), Keep(None, TOP)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The result of a run that nothing happened to."""
    folder = tmp_path_factory.mktemp("whole")
    result(run(folder / "parts", WORK, N, KEEP, seconds=100), WORK, KEEP, folder / "p.parquet")
    return (folder / "p.parquet").read_bytes()


def start(folder: Path, share: tuple[int, int], pause: float) -> ForkServerProcess:
    context = get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    child = context.Process(target=process, args=(str(folder), N, EDGE, TOP, share, pause))
    child.start()
    return child


def kill_and_resume(folder: Path, kills: int, pause: float) -> None:
    """Kill run after run at random moments, then let one end."""
    rng, done = np.random.default_rng(0), []
    for _ in range(kills):
        child = start(folder, (0, 1), pause)
        before = len(list(folder.glob("part-*")))
        while child.is_alive() and len(list(folder.glob("part-*"))) == before:
            time.sleep(0.002)
        time.sleep(rng.uniform(0, 4 * pause))
        assert child.is_alive()
        os.kill(child.pid, signal.SIGKILL)
        child.join()
        done.append(len(list(folder.glob("part-*"))))
    assert done == sorted(set(done))  # each got on
    last = start(folder, (0, 1), 0.0)
    last.join()
    assert last.exitcode == 0


@pytest.mark.parametrize(("kills", "pause"), [(2, 0.02), pytest.param(20, 0.02, marks=pytest.mark.slow)])
def test_kills_change_nothing(tmp_path: Path, uninterrupted: bytes, kills: int, pause: float):
    kill_and_resume(tmp_path / "parts", kills, pause)
    parts = parts_of(tmp_path / "parts", WORK, N, KEEP, 0.0)
    summary = result(parts, WORK, KEEP, tmp_path / "p.parquet")
    assert summary.scored.tolist() == [N - 1] * N  # none lost, none twice
    assert (tmp_path / "p.parquet").read_bytes() == uninterrupted
    assert not list((tmp_path / "parts").glob(".rank-0/part-*"))


def test_two_processes_share_the_work(tmp_path: Path, uninterrupted: bytes):
    both = [start(tmp_path / "parts", (rank, 2), 0.01) for rank in range(2)]
    for child in both:
        child.join()
        assert child.exitcode == 0
    parts = parts_of(tmp_path / "parts", WORK, N, KEEP, 0.0)
    result(parts, WORK, KEEP, tmp_path / "p.parquet")
    assert (tmp_path / "p.parquet").read_bytes() == uninterrupted


def test_what_killed_processes_left_is_removed_also_when_fewer_go_on(tmp_path: Path, uninterrupted: bytes):
    left = [tmp_path / "parts" / f".rank-{rank}" / "part-new" for rank in (0, 1, 3)]
    for place in left:
        place.mkdir(parents=True)
        (place / "pairs.parquet").write_bytes(b"half")
    assert run(tmp_path / "parts", WORK, N, KEEP, share=(1, 2)).done() == set(range(1, len(WORK), 2))
    parts = run(tmp_path / "parts", WORK, N, KEEP)
    assert not any(place.exists() for place in left)
    result(parts, WORK, KEEP, tmp_path / "p.parquet")
    assert (tmp_path / "p.parquet").read_bytes() == uninterrupted


def test_a_kill_while_the_result_is_written_leaves_nothing_behind(tmp_path: Path, uninterrupted: bytes):
    parts = run(tmp_path / "parts", WORK, N, KEEP)
    half = tmp_path / ".p.parquet.ab3_x9yz"
    half.mkdir()
    (half / "p.parquet").write_bytes(uninterrupted[:99])
    (tmp_path / ".p.parquet.swp").write_bytes(b"of somebody else")
    result(parts, WORK, KEEP, tmp_path / "p.parquet")
    assert {file.name for file in tmp_path.iterdir()} == {"parts", "p.parquet", ".p.parquet.swp"}
    assert (tmp_path / "p.parquet").read_bytes() == uninterrupted
    shutil.rmtree(parts.folder)
    assert not (tmp_path / "parts").exists()


@contextmanager
def full_disk(megabytes: float, folder: Path) -> Iterator[None]:
    """A file system of so many bytes, where one may be mounted."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={int(megabytes * 1024)}k", "tmpfs", str(folder)]
    if os.getuid() or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.parametrize("kilobytes", [150, 230, 400])
def test_a_full_disk_keeps_what_is_done(tmp_path: Path, kilobytes: int):
    n = 300
    work, keep = Grid(n, n, 0, 40, False), Keep(None, None)
    result(run(tmp_path / "parts", work, n, keep), work, keep, tmp_path / "p.parquet")
    with full_disk(kilobytes / 1024, tmp_path / "small"):
        folder = tmp_path / "small" / "parts"
        with pytest.raises(InputError, match=r"parts: cannot be written \(no space left on device\); all that was"):
            run(folder, work, n, keep)
        parts = parts_of(folder, work, n, keep, 0.0)
        done = parts.done()
        assert 0 < len(done) < len(work)
        assert not list(folder.glob(".rank-0/part-*"))
        table = pd.concat([pd.read_parquet(part / "pairs.parquet") for part in sorted(folder.glob("part-*"))])
        assert len(table) == sum(work.size(number) for number in done)
        subprocess.run(["mount", "-o", "remount,size=10m", str(tmp_path / "small")], check=True)
        result(run(folder, work, n, keep), work, keep, tmp_path / "small" / "p.parquet")
        assert (tmp_path / "small" / "p.parquet").read_bytes() == (tmp_path / "p.parquet").read_bytes()


def test_a_disk_too_full_for_the_result_keeps_the_parts(tmp_path: Path):
    parts = run(tmp_path / "parts", WORK, N, KEEP)
    with full_disk(0.004, tmp_path / "small"):
        output = tmp_path / "small" / "p.parquet"
        with pytest.raises(
            InputError, match=r"p.parquet: cannot be written \(no space left on device\); all is scored"
        ):
            result(parts, WORK, KEEP, output)
        assert not list((tmp_path / "small").iterdir())


LIMITED = """
import resource, signal, sys
sys.path.insert(0, {folder!r})
from pathlib import Path
from screening_world import run
from esm2_amp.errors import InputError
from esm2_amp.screening.grid import Grid
from esm2_amp.screening.keep import Keep
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
try:
    run(Path(sys.argv[1]), Grid(120, 120, 0, 8, False), 120, Keep(None, None), seconds=1000)
except InputError as error:
    print(error)
"""


@pytest.mark.parametrize("limit", [3000, *(pytest.param(size, marks=pytest.mark.slow) for size in (0, 300, 20_000))])
def test_a_file_that_may_not_grow_gives_a_message(tmp_path: Path, limit: int):
    """As on a disk with quotas, and where nothing can be mounted."""
    command = [sys.executable, "-c", LIMITED.format(folder=str(Path(__file__).parent)), str(tmp_path), str(limit)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "cannot be written (file too large)" in done.stdout
    assert "Free space, then give the same command again." in done.stdout
    assert not list(tmp_path.glob("part-*"))
    assert not list(tmp_path.glob(".rank-0/part-*"))


@pytest.mark.slow
def test_memory_does_not_grow_with_the_pairs(tmp_path: Path):
    """Four times the pairs among the same proteins: the same peak but for what a busy machine leaves unwritten."""
    peaks = []
    for rows in (500, 4000):
        context = get_context("forkserver")
        context.set_forkserver_preload(PRELOAD)
        receive, send = context.Pipe(duplex=False)
        child = context.Process(target=_peak, args=(str(tmp_path / str(rows)), rows, send))
        child.start()
        peaks.append(receive.recv())
        child.join()
    assert peaks[1] - peaks[0] < 50_000  # kB; the 12 million pairs more take 150 MB as two numbers and a logit each


def _peak(folder: str, rows: int, send: object) -> None:
    work, keep = Grid(8000, rows, rows, 256, False), Keep(0.9, None)
    began = time.monotonic()
    parts = run(Path(folder), work, 8000, keep, seconds=0.5)
    result(parts, work, keep, Path(folder) / "p.parquet")
    assert time.monotonic() > began
    send.send(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
