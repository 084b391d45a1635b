"""Exact search is brute force, whatever the blocks, the metric, the filter, and however many vectors are equal."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from esm2_amp.errors import InputError
from esm2_amp.neighbours import exact
from esm2_amp.neighbours.ingest import write_vectors
from esm2_amp.neighbours.scores import METRICS
from esm2_amp.neighbours.search import search
from esm2_amp.neighbours.vectors import Vectors


def made(folder: Path, vectors: np.ndarray) -> Vectors:
    return write_vectors(folder, [f"P{row}" for row in range(len(vectors))], vectors.astype(np.float16))


def random(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=(70, 24))


def clustered(rng: np.random.Generator) -> np.ndarray:
    return (3 + rng.normal(size=(7, 24))[rng.integers(0, 7, 70)] * rng.uniform(0.5, 2, (70, 1))) + 0.01 * rng.normal(
        size=(70, 24)
    )


def duplicated(rng: np.random.Generator) -> np.ndarray:
    vectors = rng.normal(size=(4, 24))[rng.integers(0, 4, 70)] * 2.0 ** rng.integers(-1, 2, (70, 1))
    vectors[[5, 30, 31]] = 0
    return vectors


def one(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=(1, 24))


def two_and_zero(rng: np.random.Generator) -> np.ndarray:
    return np.array([[0.0] * 24, [1.0] * 24, [-1.0] * 24])


INPUTS = [random, clustered, duplicated, one, two_and_zero]


def brute_force(
    vectors: Vectors, query: np.ndarray, exclude: int, metric: str, allowed: np.ndarray
) -> list[tuple[float, int]]:
    """(minus closeness, row) of all that may be hits, in order."""
    x, q = vectors.data.astype(np.float64), query.astype(np.float64)
    with np.errstate(invalid="ignore"):
        closeness = {
            "cosine": x @ q / np.linalg.norm(x, axis=1) / np.linalg.norm(q),
            "ip": x @ q,
            "l2": -np.linalg.norm(x - q, axis=1),
        }[metric]
    there = allowed & ~np.isnan(closeness) & (np.arange(vectors.n) != exclude)
    return sorted((-float(closeness[row]), int(row)) for row in np.flatnonzero(there))


@pytest.mark.parametrize("make", INPUTS, ids=lambda make: make.__name__)
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("filtered", [False, True])
def test_every_query_equals_brute_force(
    make: object, metric: str, filtered: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exact, "_BLOCK_VALUES", 24 * 16)
    monkeypatch.setattr(exact, "_QUERIES", 7)
    rng = np.random.default_rng(3)
    vectors = made(tmp_path / "v", make(rng))  # type: ignore[operator]
    allowed = rng.random(vectors.n) < (0.6 if filtered else 2)
    rows = np.arange(vectors.n)
    queries = np.concatenate([vectors.take(rows), rng.normal(size=(3, 24)).astype(np.float32), np.zeros((1, 24), "f4")])
    exclude = np.concatenate([rows, np.full(4, -1)])
    sign = 1 if metric == "l2" else -1
    oracle = [brute_force(vectors, *asked, metric, allowed) for asked in zip(queries, exclude, strict=True)]
    for k in (1, 6, 100):
        found, scores = search(
            vectors, None, queries, k, metric, allowed=allowed if filtered else None, exclude=exclude
        )
        assert found.shape == scores.shape == (len(queries), k)
        for expected, hits, measures in zip(oracle, found, scores, strict=True):
            number = min(k, len(expected))
            true = sign * np.array([score for score, _ in expected[:number]])
            np.testing.assert_allclose(measures[:number], true, rtol=1e-6, atol=1e-7)
            assert (hits[number:] == -1).all()
            assert np.isnan(measures[number:]).all()
            # rows that are equal in float32 are ordered by their number; the oracle's last bit may order them otherwise
            np.testing.assert_array_equal(np.lexsort((hits[:number], sign * measures[:number])), np.arange(number))
            by_row = {row: sign * score for score, row in expected}
            np.testing.assert_allclose([by_row[row] for row in hits[:number].tolist()], true, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("metric", METRICS)
def test_of_equal_vectors_the_first_rows_are_the_hits(
    metric: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exact, "_BLOCK_VALUES", 33 * 37)
    rng = np.random.default_rng(0)
    data = rng.normal(size=(400, 33)).astype(np.float16)
    data[np.arange(3, 400, 5)] = data[3]
    vectors = made(tmp_path / "v", data)
    query = vectors.take([3]) if metric != "ip" else 9 * vectors.take([3])
    rows, scores = search(vectors, None, query, 20, metric, exclude=np.array([13]))
    assert rows[0].tolist() == [3, 8, *range(18, 108, 5)]
    assert len(set(scores[0].tolist())) == 1


def test_results_do_not_depend_on_the_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = made(tmp_path / "v", clustered(np.random.default_rng(1)))
    queries = vectors.take(np.arange(50))
    results = []
    for values in (24, 24 * 13, 1 << 23):
        monkeypatch.setattr(exact, "_BLOCK_VALUES", values)
        results.append([search(vectors, None, queries, 9, metric) for metric in METRICS])
    for result in results[1:]:
        np.testing.assert_array_equal(np.array(result), np.array(results[0]))


def test_a_narrow_race_on_a_high_mean_is_decided_exactly(tmp_path: Path) -> None:
    # differences far below the rounding of a product in float32 decide
    rng = np.random.default_rng(0)
    data = 300 + rng.integers(0, 2, (300, 512)) * 0.25
    vectors = made(tmp_path / "v", data)
    query = vectors.take([7])
    rows, _ = search(vectors, None, query, 300, "l2")
    true = ((vectors.data.astype(np.float64) - query) ** 2).sum(1)
    np.testing.assert_array_equal(rows[0], np.lexsort((np.arange(300), true)))
    for k in (5, 50):
        np.testing.assert_array_equal(search(vectors, None, query, k, "l2")[0][0], rows[0, :k])


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"k": 0}, "k is 0"),
        ({"metric": "euclid"}, "no metric 'euclid'"),
        ({"queries": np.zeros((2, 5), np.float32)}, "24 dimensions"),
        ({"queries": np.full((1, 24), np.nan, np.float32)}, "not finite"),
        ({"allowed": np.ones(3, bool)}, "filter"),
    ],
)
def test_what_does_not_fit_is_refused(change: dict[str, object], word: str, tmp_path: Path) -> None:
    vectors = made(tmp_path / "v", random(np.random.default_rng(0)))
    wanted = {"queries": vectors.take([0]), "k": 3, "metric": "cosine", **change}
    with pytest.raises(InputError, match=word):
        search(vectors, None, **wanted)  # type: ignore[arg-type]


def test_no_queries_no_hits(tmp_path: Path) -> None:
    vectors = made(tmp_path / "v", random(np.random.default_rng(0)))
    rows, scores = search(vectors, None, np.zeros((0, 24), np.float32), 3, "cosine")
    assert rows.shape == scores.shape == (0, 3)
