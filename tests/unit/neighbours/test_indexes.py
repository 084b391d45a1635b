"""An index finds what exact search finds, its scores are exact, and killing its build changes nothing."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from esm2_amp.errors import InputError
from esm2_amp.features.store_lock import StoreLock
from esm2_amp.neighbours import index_build, index_train
from esm2_amp.neighbours import search as search_module
from esm2_amp.neighbours.index import Index, open_index
from esm2_amp.neighbours.index_build import build_index
from esm2_amp.neighbours.index_card import IndexCard
from esm2_amp.neighbours.index_train import sample_rows
from esm2_amp.neighbours.ingest import write_vectors
from esm2_amp.neighbours.plan import make_plan
from esm2_amp.neighbours.recall import recall_of
from esm2_amp.neighbours.search import search
from esm2_amp.neighbours.vectors import Vectors

N, DIM = 3000, 64
FACTORIES = (
    "PCAR32,IVF*,RaBitQ4",
    "PCAR32,IVF*,RaBitQ",
    "IVF*,RaBitQ",
    "IVF*,RaBitQ2",
    "PCA32,IVF*,SQ8",
    "IVF8_HNSW8,SQ6",
    pytest.param("OPQ16_32,IVF*,PQ16x4fsr", marks=pytest.mark.slow),
    "IVF*,RaBitQfs",
)


def unseen(amount: int) -> None:
    pass


def clustered(rows: int) -> np.ndarray:
    """Families with a mean in common, as proteins have, one third of the vectors twice as long, one of them zero."""
    rng = np.random.default_rng(1)
    deviation = np.arange(1, DIM + 1) ** -0.5
    centres = rng.normal(size=(60, DIM)) * deviation
    data = 2 + centres[rng.integers(0, 60, rows)] + 0.4 * rng.normal(size=(rows, DIM)) * deviation
    data[::3] *= 2
    data[100] = 0
    return data.astype(np.float16)


@pytest.fixture(scope="module")
def vectors(tmp_path_factory: pytest.TempPathFactory) -> Vectors:
    folder = tmp_path_factory.mktemp("neighbours") / "vectors"
    return write_vectors(folder, [f"P{row}" for row in range(N)], clustered(N))


def build(vectors: Vectors, folder: Path, factory: str = "PCAR32,IVF*,RaBitQ4", seed: int = 0) -> IndexCard:
    plan = make_plan(vectors.n, vectors.dim, 4, factory)
    with threadpool_limits(1):  # how many multiply changes the last digits, and some tests compare processes
        return build_index(vectors, folder, plan, seed, 1, 700, unseen, unseen)


@pytest.fixture(scope="module")
def index(vectors: Vectors, tmp_path_factory: pytest.TempPathFactory) -> Index:
    folder = tmp_path_factory.mktemp("neighbours") / "index"
    build(vectors, folder)
    opened = open_index(folder, vectors, 1)
    assert opened is not None
    return opened


@pytest.mark.parametrize("factory", FACTORIES)
def test_each_factory_finds_the_true_neighbours_and_scores_them_exactly(
    factory: str, vectors: Vectors, tmp_path: Path
) -> None:
    if factory.startswith("OPQ"):
        vectors = write_vectors(tmp_path / "few", [f"P{row}" for row in range(1000)], vectors.data[:1000])
    card = build(vectors, tmp_path / "i", factory)
    opened = open_index(tmp_path / "i", vectors, 1)
    assert opened is not None
    assert card.rows == vectors.n
    rows = np.arange(0, vectors.n, 17)
    queries = vectors.take(rows)
    true_rows, true = search(vectors, None, queries, 10, "cosine", exclude=rows)
    found, scores = search(vectors, opened, queries, 10, "cosine", 100, card.lists, exclude=rows)
    assert recall_of(scores, true, "cosine") >= 0.98
    assert (found != rows[:, None]).all()
    for query, hits, measured in zip(queries, found, scores, strict=True):
        x = vectors.take(hits).astype(np.float64)
        np.testing.assert_allclose(measured, x @ query / np.linalg.norm(x, axis=1) / np.linalg.norm(query), rtol=1e-6)
    agree = found == true_rows
    np.testing.assert_array_equal(scores[agree], true[agree])  # bit by bit


@pytest.mark.parametrize("metric", ["ip", "l2"])
def test_candidates_are_scored_in_the_metric_asked_for(metric: str, vectors: Vectors, index: Index) -> None:
    queries = vectors.take(np.arange(40))
    every = search(vectors, None, queries, 5, metric)
    found = search(vectors, index, queries, 5, metric, N, index.card.lists)
    np.testing.assert_array_equal(found[0], every[0])
    np.testing.assert_array_equal(found[1], every[1])


def test_hits_are_among_the_allowed_by_scan_and_by_index(
    vectors: Vectors, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    allowed = np.arange(N) % 3 == 1
    rows = np.arange(1, 300, 7)
    queries = vectors.take(rows)
    exact = search(vectors, None, queries, 8, "cosine", allowed=allowed, exclude=rows)
    few = search(vectors, index, queries, 8, "cosine", allowed=allowed, exclude=rows)
    monkeypatch.setattr(search_module, "_SCANNED_VALUES", 0)
    many = search(vectors, index, queries, 8, "cosine", N, index.card.lists, allowed=allowed, exclude=rows)
    for found in (few, many):
        np.testing.assert_array_equal(found[0], exact[0])
        np.testing.assert_array_equal(found[1], exact[1])
    nothing = search(vectors, index, queries, 8, "cosine", allowed=np.zeros(N, bool))
    assert (nothing[0] == -1).all()
    assert np.isnan(nothing[1]).all()


def test_no_hit_is_missing_because_the_lists_looked_through_are_short(
    vectors: Vectors, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search_module, "_SCANNED_VALUES", 0)
    allowed = np.zeros(N, bool)
    allowed[[5, 70, 100, 2000]] = True
    queries = np.concatenate([vectors.take([5, 9]), np.zeros((1, DIM), np.float32)])
    rows, _ = search(vectors, index, queries, 6, "cosine", 10, 1, allowed=allowed, exclude=np.array([5, -1, -1]))
    assert (rows >= 0).sum(axis=1).tolist() == [2, 3, 0]  # neither itself nor the zero vector
    everything, _ = search(vectors, index, queries[:1], N, "l2", 10, 1)
    assert sorted(everything[0].tolist()) == list(range(N))


def test_the_same_settings_give_the_same_file_and_another_seed_another(vectors: Vectors, tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        build(vectors, tmp_path / name, seed=seed)
    a, b, c = ((tmp_path / name / "index.faiss").read_bytes() for name in "abc")
    assert a == b
    assert a != c


def test_lists_are_trained_on_the_gpus_that_faiss_finds(
    vectors: Vectors, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(vectors, tmp_path / "cpu")
    asked = []

    def moved(flat: Any) -> Any:  # no GPU here: stays where it is
        asked.append((type(flat).__name__, flat.d))
        return flat

    monkeypatch.setattr(index_train.faiss, "get_num_gpus", lambda: 2)
    monkeypatch.setattr(index_train.faiss, "index_cpu_to_all_gpus", moved, raising=False)
    build(vectors, tmp_path / "gpu")
    assert asked == [("IndexFlatL2", 32)]
    assert (tmp_path / "cpu" / "index.faiss").read_bytes() == (tmp_path / "gpu" / "index.faiss").read_bytes()


KILLED = """
import os, signal, sys
from pathlib import Path
from esm2_amp.neighbours import index_build
from esm2_amp.neighbours.index_build import build_index
from esm2_amp.neighbours.plan import make_plan
from esm2_amp.neighbours.vectors import open_vectors
from esm2_amp.io import atomic

vectors, left = open_vectors(sys.argv[1]), int(sys.argv[3])

def dying(write):
    def step(*arguments):
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return write(*arguments)
    return step

index_build.faiss.write_index = dying(index_build.faiss.write_index)
Path.replace = dying(Path.replace)
index_build.unit = dying(index_build.unit)
build_index(vectors, sys.argv[2], make_plan(vectors.n, vectors.dim, 4, "PCAR32,IVF*,RaBitQ4"), 0, 1, 700, print, print)
"""


def test_a_build_killed_anywhere_goes_on_and_ends_in_the_same_file(vectors: Vectors, tmp_path: Path) -> None:
    build(vectors, tmp_path / "whole")
    expected = (tmp_path / "whole" / "index.faiss").read_bytes()
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(index_build.__file__).parents[2])}
    seen = set()
    for steps in (1, 3, 6, 10, 17):
        folder = tmp_path / "killed"
        shutil.rmtree(folder, ignore_errors=True)
        command = [sys.executable, "-c", KILLED, str(vectors.folder), str(folder), str(steps)]
        done = subprocess.run(command, env=environment, capture_output=True, check=False)
        assert done.returncode == -signal.SIGKILL, done.stderr
        assert not (folder / "card.json").exists()
        seen.add(tuple(sorted(file.name for file in folder.glob("[!.]*") if file.name != "lock")))
        build(vectors, folder)
        assert (folder / "index.faiss").read_bytes() == expected
        assert {file.name for file in folder.glob("*")} <= {"card.json", "index.faiss", "lock"}
    assert len(seen) >= 4  # it was killed in different places


def test_a_finished_index_is_left_as_it_is(vectors: Vectors, tmp_path: Path) -> None:
    first = build(vectors, tmp_path / "i")
    before = {file.name: file.stat().st_mtime_ns for file in (tmp_path / "i").glob("*.*")}
    assert build(vectors, tmp_path / "i") == first
    assert {file.name: file.stat().st_mtime_ns for file in (tmp_path / "i").glob("*.*")} == before


def test_what_an_earlier_process_added_is_counted(vectors: Vectors, tmp_path: Path) -> None:
    plan = make_plan(N, DIM, 4, "PCAR32,IVF*,RaBitQ4")
    totals: list[int] = []
    added: list[int] = []
    build_index(vectors, tmp_path / "i", plan, 0, 1, 700, totals.append, added.append)
    assert totals == [N]
    assert sum(added) == N


@pytest.mark.parametrize(
    ("change", "word"),
    [({"factory": "IVF*,RaBitQ"}, "factory=PCAR32"), ({"seed": 5}, "seed=0, not 5")],
)
def test_other_settings_do_not_overwrite_an_index(
    change: dict[str, Any], word: str, vectors: Vectors, tmp_path: Path
) -> None:
    build(vectors, tmp_path / "i")
    with pytest.raises(InputError, match=word):
        build(vectors, tmp_path / "i", **change)


def test_an_index_of_other_vectors_is_refused(vectors: Vectors, index: Index, tmp_path: Path) -> None:
    data = np.array(vectors.data)
    data[0, 0] += 1
    others = write_vectors(tmp_path / "v", vectors.ids(range(N)), data)
    with pytest.raises(InputError, match="of other vectors"):
        open_index(index.folder, others, 1)
    with pytest.raises(InputError, match="of other vectors"):
        search(others, index, others.take([0]), 3, "cosine")
    with pytest.raises(InputError, match="of other vectors"):
        build(others, index.folder)


def test_a_damaged_index_is_refused(vectors: Vectors, tmp_path: Path) -> None:
    build(vectors, tmp_path / "i")
    file, card = tmp_path / "i" / "index.faiss", tmp_path / "i" / "card.json"
    whole, text = file.read_bytes(), card.read_text()
    file.write_bytes(whole[:-10])
    with pytest.raises(InputError, match="damaged"):
        open_index(tmp_path / "i", vectors, 1)
    file.write_bytes(b"x" * len(whole))
    with pytest.raises(InputError, match="faiss cannot read it"):
        open_index(tmp_path / "i", vectors, 1)
    for damaged in ("{", "[]", json.dumps({**json.loads(text), "version": 9}), text.replace('"rows"', '"rose"')):
        card.write_text(damaged)
        with pytest.raises(InputError):
            open_index(tmp_path / "i", vectors, 1)
    card.unlink()
    with pytest.raises(InputError, match="no finished index"):
        open_index(tmp_path / "i", vectors, 1)


def test_two_processes_do_not_build_one_index(vectors: Vectors, tmp_path: Path) -> None:
    with StoreLock(tmp_path / "i"), pytest.raises(InputError, match="another process"):
        build(vectors, tmp_path / "i")


def test_a_disk_that_is_too_small_is_noticed_first(
    vectors: Vectors, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage._replace(free=1000))
    with pytest.raises(InputError, match=r"of disk and 1e-06 GB are free"):
        build(vectors, tmp_path / "i")


def test_few_vectors_are_searched_exactly(vectors: Vectors, tmp_path: Path) -> None:
    plan = make_plan(vectors.n, vectors.dim, 4)
    card = build_index(vectors, tmp_path / "i", plan, 0, 1, 700, unseen, unseen)
    assert (card.factory, card.file_bytes) == ("exact", 0)
    assert open_index(tmp_path / "i", vectors, 1) is None


def test_an_index_is_mapped_not_read(index: Index) -> None:
    assert index.card.mapped
    maps = Path("/proc/self/maps")
    assert not maps.exists() or str(index.folder / "index.faiss") in maps.read_text()


def test_a_sample_is_spread_over_all_rows() -> None:
    rows = sample_rows(1000, 100, 3)
    assert len(rows) == 100
    assert (np.diff(rows) > 0).all()
    np.testing.assert_array_equal(rows // 10, np.arange(100))
    np.testing.assert_array_equal(sample_rows(50, 60, 0), np.arange(50))
    assert sample_rows(1000, 100, 4).tolist() != rows.tolist()
    assert len(sample_rows(100, 70, 0)) > 50


@pytest.mark.slow
@pytest.mark.parametrize("first", ["torch", "faiss"])
def test_torch_and_faiss_live_in_one_process(first: str, vectors: Vectors, index: Index) -> None:
    work = (
        "import sys, torch_or_faiss\nfrom esm2_amp.neighbours.index import open_index\n"
        "from esm2_amp.neighbours.search import search\nfrom esm2_amp.neighbours.vectors import open_vectors\n"
        "import torch\nvectors = open_vectors(sys.argv[1])\nindex = open_index(sys.argv[2], vectors, 2)\n"
        "layer = torch.nn.Linear(64, 64)\n"
        "for _ in range(3):\n    layer(torch.ones(200, 64)).sum().backward()\n"
        "    rows, _ = search(vectors, index, vectors.take([7]), 1, 'cosine')\nprint(rows[0, 0])\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(index_build.__file__).parents[2]), "OMP_NUM_THREADS": "2"}
    command = [sys.executable, "-c", work.replace("torch_or_faiss", first), str(vectors.folder), str(index.folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "7"), done.stderr
