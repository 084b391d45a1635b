"""Measured recall is what brute force says, and what was measured is used afterwards."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from esm2_amp.errors import InputError
from esm2_amp.neighbours.index import Index, open_index
from esm2_amp.neighbours.index_build import build_index
from esm2_amp.neighbours.index_train import sample_rows
from esm2_amp.neighbours.ingest import write_vectors
from esm2_amp.neighbours.plan import make_plan
from esm2_amp.neighbours.recall import RecallQuestion, RecallReport, measure_recall, recall_of, save_measured
from esm2_amp.neighbours.recall_figure import draw_tradeoff, write_tradeoff
from esm2_amp.neighbours.search import search
from esm2_amp.neighbours.vectors import Vectors

N, DIM = 2500, 32


def unseen(amount: int) -> None:
    pass


@pytest.fixture(scope="module")
def vectors(tmp_path_factory: pytest.TempPathFactory) -> Vectors:
    data = np.random.default_rng(4).normal(size=(N, DIM)).astype(np.float16)  # no clusters: hard to find by codes
    return write_vectors(tmp_path_factory.mktemp("recall") / "v", [f"P{row}" for row in range(N)], data)


@pytest.fixture
def index(vectors: Vectors, tmp_path: Path) -> Index:
    plan = make_plan(N, DIM, 4, "IVF16,RaBitQ")
    build_index(vectors, tmp_path / "i", plan, 0, 1, 1000, unseen, unseen)
    opened = open_index(tmp_path / "i", vectors, 1)
    assert opened is not None
    return opened


def measured(vectors: Vectors, index: Index, wanted: float = 0.9, metric: str = "cosine") -> RecallReport:
    question = RecallQuestion(10, metric, 60, wanted, 2)
    return measure_recall(vectors, index, question, [1, 4, 16, 99], [3, 50, 400], unseen, unseen)


@pytest.mark.parametrize("metric", ["cosine", "ip", "l2"])
def test_recall_is_the_share_of_the_true_neighbours_found(metric: str, vectors: Vectors, index: Index) -> None:
    report = measured(vectors, index, metric=metric)
    assert [(s.nprobe, s.candidates) for s in report.settings] == [(p, c) for p in (1, 4, 16) for c in (10, 50, 400)]
    rows = sample_rows(N, 60, 2)
    x = vectors.data.astype(np.float64)
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    closeness = {
        "cosine": unit[rows] @ unit.T, "ip": x[rows] @ x.T,
        "l2": -((x[rows, None] - x) ** 2).sum(2),
    }[metric]  # fmt: skip
    closeness[np.arange(len(rows)), rows] = -np.inf
    true = np.argsort(-closeness, axis=1)[:, :10]
    for setting in report.settings[::4]:
        found, _ = search(
            vectors, index, vectors.take(rows), 10, metric, setting.candidates, setting.nprobe, exclude=rows
        )
        share = np.mean([len(np.intersect1d(a, b)) / 10 for a, b in zip(found, true, strict=True)])
        assert setting.recall == pytest.approx(share, abs=1e-9)
    recalls = {(s.nprobe, s.candidates): s.recall for s in report.settings}
    assert recalls[1, 10] < recalls[16, 400]


def test_the_chosen_setting_is_the_fastest_that_reaches_the_recall_wanted(vectors: Vectors, index: Index) -> None:
    report = measured(vectors, index, 0.7)
    enough = [s for s in report.settings if s.recall >= 0.7]
    fastest = min(enough, key=lambda s: s.milliseconds)
    assert report.reached
    assert (report.chosen.nprobe, report.chosen.candidates) == (fastest.nprobe, fastest.candidates)
    out_of_reach = measure_recall(vectors, index, RecallQuestion(10, "cosine", 60, 1.0, 2), [1], [10], unseen, unseen)
    assert not out_of_reach.reached
    assert out_of_reach.chosen.recall == out_of_reach.settings[0].recall < 1


def test_what_was_measured_is_used_by_searches(vectors: Vectors, index: Index) -> None:
    report = measured(vectors, index)
    save_measured(index, report)
    again = open_index(index.folder, vectors, 1)
    assert again is not None
    assert again.card.measured == report.chosen
    assert again.card.nprobe == report.chosen.nprobe
    assert again.card.candidates(10) == report.chosen.candidates
    assert again.card.candidates(20) == 2 * report.chosen.candidates
    queries = vectors.take(np.arange(30))
    asked = search(vectors, again, queries, 10, "cosine", report.chosen.candidates, report.chosen.nprobe)
    np.testing.assert_array_equal(search(vectors, again, queries, 10, "cosine")[0], asked[0])


def test_progress_counts_every_setting(vectors: Vectors, index: Index) -> None:
    totals: list[int] = []
    done: list[int] = []
    question = RecallQuestion(5, "cosine", 10, 0.5, 0)
    measure_recall(vectors, index, question, [1, 2], [20], totals.append, done.append)
    assert totals == [3]
    assert sum(done) == 3


def test_recall_of_equal_and_missing_hits() -> None:
    nan = np.nan
    truth = np.array([[0.9, 0.8, 0.8], [0.7, nan, nan]], np.float32)
    assert recall_of(truth, truth, "cosine") == 1
    assert recall_of(np.array([[0.9, 0.8, nan], [nan] * 3], np.float32), truth, "cosine") == pytest.approx(2 / 4)
    assert recall_of(np.array([[0.9, 0.8, 0.7], [0.7, 0.1, nan]], np.float32), truth, "cosine") == pytest.approx(3 / 4)
    distances = np.array([[1.0, 2.0, 3.0]], np.float32)
    assert recall_of(np.array([[1.0, 3.0, 4.0]], np.float32), distances, "l2") == pytest.approx(2 / 3)


def test_the_tradeoff_is_drawn(vectors: Vectors, index: Index, tmp_path: Path) -> None:
    report = measured(vectors, index)
    drawn = draw_tradeoff("recall", report)
    assert drawn.startswith("<svg ")
    for text in ("milliseconds a query", "400 candidates", f"nprobe={report.chosen.nprobe}"):
        assert text in drawn
    write_tradeoff(report, tmp_path / "f.png")
    write_tradeoff(report, tmp_path / "f.svg")
    assert (tmp_path / "f.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (tmp_path / "f.svg").read_text()


@pytest.mark.parametrize(
    ("k", "queries", "wanted", "nprobes"), [(0, 9, 0.9, [1]), (5, 0, 0.9, [1]), (5, 9, 1.1, [1]), (5, 9, 0.9, [0])]
)
def test_numbers_that_do_not_fit_are_refused(
    k: int, queries: int, wanted: float, nprobes: list[int], vectors: Vectors, index: Index
) -> None:
    with pytest.raises(InputError):
        measure_recall(vectors, index, RecallQuestion(k, "cosine", queries, wanted, 0), nprobes, [10], unseen, unseen)
