"""Queries from Python: by name, within the memory allowed, and without heavy libraries before they are needed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from esm2_amp.errors import InputError
from esm2_amp.neighbours import Neighbours
from esm2_amp.neighbours.ingest import write_vectors
from esm2_amp.neighbours.map import lay_out

NAMES = [f"N{i}" for i in range(30)]
X = np.random.default_rng(1).normal(size=(30, 8)).astype(np.float16)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("queries") / "near"
    write_vectors(place, NAMES, X)
    return place


def test_asking_again_gives_the_same_as_asking_first(folder: Path) -> None:
    """The second pair query and those after it are pruned by what the first ones computed."""
    near = Neighbours(folder)
    pairs = [("N0", "N1"), ("N2", "N3"), ("N4", "N5")]
    again = [near.analogy(pair, 9, op="difference") for pair in pairs]
    first = [Neighbours(folder).analogy(pair, 9, op="difference") for pair in pairs]
    assert [answer.names for answer in again] == [answer.names for answer in first]
    for one, other in zip(again, first, strict=True):
        np.testing.assert_array_equal(one.scores, other.scores)


def test_a_filter_asks_as_if_the_others_were_not_there(folder: Path, tmp_path: Path) -> None:
    allowed = np.arange(30) % 3 == 0
    there = allowed.copy()
    there[[1, 2]] = True  # those asked about
    write_vectors(tmp_path / "fewer", [name for name, kept in zip(NAMES, there, strict=True) if kept], X[there])
    near, fewer = Neighbours(folder), Neighbours(tmp_path / "fewer")
    found = near.analogy(["N1", "N2"], 12, op="sum", allowed=allowed)
    assert found.names == fewer.analogy(["N1", "N2"], 12, op="sum").names
    assert near.closest(5, metric="l2", allowed=there).names == fewer.closest(5, metric="l2").names


def test_memory_is_refused_before_it_is_taken(folder: Path) -> None:
    near = Neighbours(folder, memory=30 * 8 * 4 - 1)
    with pytest.raises(InputError, match="raise memory_gb"):
        near.analogy(["N0"], 1, op="sum")
    few = np.zeros(30, bool)
    few[:5] = True
    assert len(near.analogy(["N0"], 1, op="sum", allowed=few)) == 1


@pytest.mark.parametrize("names", [[], ["N0", "N1", "N2", "N3"], ["N0", "N0"]])
def test_an_analogy_is_of_one_to_three_different_names(names: list[str], folder: Path) -> None:
    with pytest.raises(InputError):
        Neighbours(folder).analogy(names, 1, op="difference")


def test_what_is_not_used_is_not_imported(folder: Path) -> None:
    code = (
        "import sys; from esm2_amp.neighbours import Neighbours; Neighbours(sys.argv[1]); "
        "print(*{'faiss', 'numba', 'sklearn', 'torch', 'matplotlib', 'pymilvus', 'umap'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


@pytest.mark.slow
def test_umap_lays_out_groups_apart() -> None:
    pytest.importorskip("umap")
    rng = np.random.default_rng(0)
    points = np.repeat(5 * np.eye(6)[:2], 40, axis=0) + 0.1 * rng.normal(size=(80, 6))
    places = lay_out(points.astype(np.float32), "umap", 0).places
    centres = places[:40].mean(axis=0), places[40:].mean(axis=0)
    spread = max(np.linalg.norm(places[i * 40 : i * 40 + 40] - centres[i], axis=1).max() for i in (0, 1))
    assert np.linalg.norm(centres[0] - centres[1]) > 2 * spread
