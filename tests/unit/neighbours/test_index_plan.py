"""A plan's numbers are those of the index that is built, and what does not fit is refused with them."""

from __future__ import annotations

from pathlib import Path

import faiss
import numpy as np
import pytest

from esm2_amp.errors import InputError
from esm2_amp.neighbours.index_build import build_index
from esm2_amp.neighbours.ingest import write_vectors
from esm2_amp.neighbours.plan import EXACT, GB, choices, lists_for, make_plan, new_index, plan_of

ATLAS = 49_088_893


def unseen(amount: int) -> None:
    pass


@pytest.mark.parametrize(
    "factory",
    ["PCAR16,IVF*,RaBitQ4", "IVF*,RaBitQ4", "IVF*,RaBitQ", "IVF*,SQ8", "PCAR16,IVF9,RaBitQ2", "IVF4_HNSW8,PQ8x4"],
)
def test_planned_bytes_are_those_of_the_file(factory: str, tmp_path: Path) -> None:
    data = np.random.default_rng(0).normal(size=(3000, 32)).astype(np.float16)
    vectors = write_vectors(tmp_path / "v", [f"P{n}" for n in range(3000)], data)
    plan = make_plan(vectors.n, vectors.dim, 4, factory)
    card = build_index(vectors, tmp_path / "i", plan, 0, 1, 1000, unseen, unseen)
    assert card.file_bytes == pytest.approx(plan.index_bytes, rel=0.03, abs=5000)
    assert card.file_bytes == (tmp_path / "i" / "index.faiss").stat().st_size


def test_the_atlas_needs_what_was_measured_elsewhere() -> None:
    plan = make_plan(ATLAS, 2560, 24)
    assert (plan.factory, plan.vector_bytes, plan.lists) == ("PCAR512,IVF16384,RaBitQ4", 284, 16_384)
    assert plan.map_bytes / GB == pytest.approx(251.3, abs=0.1)
    assert plan.index_bytes / GB == pytest.approx(13.98, abs=0.05)
    assert make_plan(ATLAS, 2560, 24, "IVF*,RaBitQ").vector_bytes == 336


def test_less_memory_gives_shorter_codes_until_nothing_fits() -> None:
    bytes_of = [make_plan(ATLAS, 2560, memory).vector_bytes for memory in (24, 10, 5, 4)]
    assert bytes_of == sorted(bytes_of, reverse=True)
    assert len(set(bytes_of)) == 4
    with pytest.raises(
        InputError, match=r"PCAR256,IVF16384,RaBitQ needs 2\.79 GB .*48 bytes.* allows 2 GB.*memory_gb=2\.8"
    ):
        make_plan(ATLAS, 2560, 2)


def test_a_factory_that_does_not_fit_is_refused_with_one_that_does() -> None:
    with pytest.raises(InputError, match=r"IVF16384,SQ8 needs 12[0-9] GB .*PCAR512,IVF16384,RaBitQ4 would fit"):
        make_plan(ATLAS, 2560, 24, "IVF*,SQ8")


@pytest.mark.parametrize("factory", ["Flat", "exact"])
def test_exact_search_can_be_asked_for_by_name(factory: str) -> None:
    plan = make_plan(ATLAS, 2560, 24, factory)
    assert (plan.factory, plan.lists, plan.index_bytes) == ("exact", 0, 0)


def test_few_vectors_need_no_index() -> None:
    plan = make_plan(7997, 1280, 1)
    assert (plan.factory, plan.index_bytes, plan.lists) == (EXACT, 0, 0)
    assert ("index", "none: every vector is looked at") in plan.table()


def test_the_plan_is_told_in_numbers() -> None:
    told = dict(make_plan(ATLAS, 2560, 24).table())
    assert told["float16 map, on disk"] == "251 GB"
    assert told["size of the index"] == "14 GB"
    assert told["memory needed"].endswith("of 24 GB: fits")


@pytest.mark.parametrize("rows", [1, 38, 39, 1000, 10**5, 10**6, ATLAS, 6 * 10**9])
def test_lists_can_be_trained(rows: int) -> None:
    lists = lists_for(rows)
    assert lists & (lists - 1) == 0
    assert lists == 1 or 39 * lists <= rows
    assert lists <= 16_384


@pytest.mark.parametrize(
    ("factory", "word"),
    [
        ("Nonsense", "could not parse index string Nonsense"),
        ("HNSW32", "not an index of inverted lists"),
        ("IVF16,RaBitQ,RFlat", "not an index of inverted lists"),
        ("IVF16,PQ77", "faiss cannot build"),
        ("PCAR512,IVF16,RaBitQ", "makes 512 dimensions of 64"),
        ("IVF5000,RaBitQ", "5000 lists for 1,000 vectors"),
    ],
)
def test_other_factories_are_refused(factory: str, word: str) -> None:
    with pytest.raises(InputError, match=word):
        make_plan(1000, 64, 4, factory)


def test_an_index_is_never_one_of_inner_products() -> None:
    for plan in choices(10**6, 2560, 100):
        index, ivf = new_index(plan.dim, plan.factory.replace("2048", "4"))
        assert index.metric_type == ivf.metric_type == faiss.METRIC_L2
    assert plan_of(10**6, 320, 4, "IVF*,RaBitQ4").fits
