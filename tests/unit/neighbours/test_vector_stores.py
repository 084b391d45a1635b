"""Wherever the vectors lie, the same queries give the same hits."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from esm2_amp.errors import InputError
from esm2_amp.neighbours.ingest import write_vectors
from esm2_amp.neighbours.milvus import MilvusStore
from esm2_amp.neighbours.scores import METRICS
from esm2_amp.neighbours.vector_store import Hits, LocalStore, VectorStore, copy_vectors
from esm2_amp.neighbours.vectors import Vectors

N, DIM = 300, 16
HOSTILE = ['a"b', "a\\b", "O'Neill", "ü π", 'x"] or id != "', "{id}", "%", "P 1", "-1", "[1,2]", "id in", "\u202e"]
LITE = {"index_type": "FLAT", "building": {}, "searching": {}, "candidates": 50}


def unseen(amount: int) -> None:
    pass


@pytest.fixture(scope="module")
def vectors(tmp_path_factory: pytest.TempPathFactory) -> Vectors:
    data = np.random.default_rng(0).normal(size=(N, DIM)).astype(np.float16)
    ids = HOSTILE + [f"P{row}" for row in range(N - len(HOSTILE))]
    return write_vectors(tmp_path_factory.mktemp("stores") / "v", ids, data)


@pytest.fixture(scope="module")
def milvus(vectors: Vectors, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """``milvus(metric, **changes)``: a store with all vectors, in one file of Milvus Lite."""
    pytest.importorskip("pymilvus")
    pytest.importorskip("milvus_lite")
    file = tmp_path_factory.mktemp("milvus") / "lite.db"
    opened = []

    def make(metric: str, name: str | None = None, **changes: Any) -> MilvusStore:
        store = MilvusStore(str(file), name or f"v_{metric}", DIM, metric, **{**LITE, **changes})
        opened.append(store)
        if not store.count():
            copy_vectors(vectors, store, unseen, unseen)
        return store

    yield make
    for store in opened:
        store.close()


def assert_same(found: Hits, expected: Hits) -> None:
    assert [[hit.id for hit in hits] for hits in found] == [[hit.id for hit in hits] for hits in expected]
    for hits, others in zip(found, expected, strict=True):
        assert [hit.score for hit in hits] == [hit.score for hit in others]  # bit by bit


def answers(store: VectorStore, vectors: Vectors) -> list[Hits]:
    queries = np.random.default_rng(1).normal(size=(4, DIM)).astype(np.float32)
    some = vectors.ids(range(0, N, 2))
    return [
        store.search(queries, 7, None),
        store.search(queries, 7, some),
        store.search(queries, 7, HOSTILE[:3]),
        store.search(queries, 7, []),
        store.search_ids(["P3", *HOSTILE], 5, None),
        store.search_ids([HOSTILE[0]], 5, HOSTILE),
    ]


@pytest.mark.parametrize("metric", METRICS)
def test_milvus_answers_as_exact_search_does(metric: str, vectors: Vectors, milvus: Any) -> None:
    local, remote = LocalStore(vectors.folder, None, metric), milvus(metric)
    assert local.count() == remote.count() == N
    for found, expected in zip(answers(remote, vectors), answers(local, vectors), strict=True):
        assert_same(found, expected)


@pytest.mark.parametrize("index_type", ["HNSW", "IVF_FLAT", "IVF_SQ8"])
def test_scores_of_an_approximate_index_are_exact(index_type: str, vectors: Vectors, milvus: Any) -> None:
    building = {"nlist": 4} if index_type.startswith("IVF") else {"M": 16, "efConstruction": 100}
    searching = {"nprobe": 4} if index_type.startswith("IVF") else {"ef": 200}
    store = milvus("cosine", f"v_{index_type}", index_type=index_type, building=building, searching=searching)
    found = store.search_ids(["P1", "P2"], 5, None)
    assert_same(found, LocalStore(vectors.folder, None, "cosine").search_ids(["P1", "P2"], 5, None))


def test_what_is_added_again_is_not_there_twice(vectors: Vectors, milvus: Any) -> None:
    store = milvus("cosine")
    steps: list[int] = []
    copy_vectors(vectors, store, unseen, steps.append)
    assert sum(steps) == store.count() == N


def test_an_index_that_milvus_lite_only_pretends_to_have_is_refused(milvus: Any) -> None:
    for name in ("IVF_RABITQ", "DISKANN", "flat"):
        with pytest.raises(InputError, match=f"index_type is '{name}'.*Milvus Lite has FLAT, HNSW"):
            milvus("cosine", index_type=name)
    with pytest.raises(InputError, match="known here are .*IVF_RABITQ"):
        MilvusStore("http://127.0.0.1:1", "v", DIM, "cosine", "NONE", {}, {}, 10)


def test_a_collection_of_another_kind_is_refused(milvus: Any) -> None:
    store = milvus("l2")
    with pytest.raises(InputError, match=r"metric L2 and index FLAT, not 16, COSINE and FLAT"):
        milvus("cosine", "v_l2")
    with pytest.raises(InputError, match=r"of \[16\] dimensions.*not 9"):
        MilvusStore(store._uri, "v_l2", 9, "l2", **LITE)


def test_mistakes_are_named(vectors: Vectors, milvus: Any, tmp_path: Path) -> None:
    store = milvus("cosine")
    with pytest.raises(InputError, match="no vector has the id 'nobody'"):
        store.search_ids(["P1", "nobody"], 3, None)
    with pytest.raises(InputError, match="k is 0"):
        store.search(np.ones((1, DIM), np.float32), 0, None)
    with pytest.raises(InputError, match="longer than 1024 bytes"):
        store.add(["x" * 2000], np.ones((1, DIM), np.float32))
    with pytest.raises(InputError, match="for 16 dimensions"):
        store.add(["x"], np.ones((1, 3), np.float32))
    with pytest.raises(InputError, match="Milvus refuses: .*[Cc]onnect"):
        MilvusStore("http://127.0.0.1:1", "v", DIM, "cosine", "FLAT", {}, {}, 10)
    local = LocalStore(vectors.folder, None, "cosine")
    with pytest.raises(InputError, match="no vector has the id 'nobody'"):
        local.search_ids(["nobody"], 3, None)
    with pytest.raises(InputError, match="complete"):
        local.add(["x"], np.ones((1, DIM), np.float32))
    with pytest.raises(InputError, match="no vectors here"):
        LocalStore(tmp_path / "none", None, "cosine").search_ids(["x"], 3, None)


def test_a_local_store_is_filled_once(vectors: Vectors, tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "v", None, "cosine")
    assert store.count() == 0
    store.add(vectors.ids(range(N)), vectors.block(0, N))
    assert store.count() == N
    other = LocalStore(vectors.folder, None, "cosine")
    assert_same(store.search_ids(["P1"], 5, None), other.search_ids(["P1"], 5, None))


def test_without_pymilvus_it_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "pymilvus", None)
    monkeypatch.setitem(sys.modules, "pymilvus.exceptions", None)
    with pytest.raises(InputError, match=r"pip install .*esm2-amp\[milvus\]"):
        MilvusStore(str(tmp_path / "lite.db"), "v", DIM, "cosine", **LITE)
