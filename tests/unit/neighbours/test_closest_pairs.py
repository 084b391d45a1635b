"""The closest pairs against all pairs scored one by one in float64."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from esm2_amp.errors import InputError
from esm2_amp.neighbours import closest_pairs as module
from esm2_amp.neighbours.closest_pairs import METRICS, closest_pairs


def oracle(x: np.ndarray, metric: str) -> dict[tuple[int, int], float]:
    x = x.astype(np.float64)
    length = np.linalg.norm(x, axis=1)
    scores = {}
    for i in range(len(x)):
        for j in range(i + 1, len(x)):
            if metric == "l2":
                scores[i, j] = float(np.linalg.norm(x[i] - x[j]))
            elif metric == "ip":
                scores[i, j] = float(x[i] @ x[j])
            elif length[i] * length[j] > 0:
                scores[i, j] = float(x[i] @ x[j] / (length[i] * length[j]))
    return scores


def check(x: np.ndarray, metric: str, k: int) -> None:
    every, sign = oracle(x, metric), 1 if metric == "l2" else -1
    found = closest_pairs(lambda start, stop: x[start:stop].astype(np.float32), len(x), x.shape[1], k, metric)
    pairs = list(zip(found.a.tolist(), found.b.tolist(), strict=True))
    assert len(set(pairs)) == len(pairs) == min(k, len(every))
    scale = max(1.0, *map(abs, every.values())) if every else 1.0
    best = sorted(every.values(), key=lambda score: sign * score)[:k]
    np.testing.assert_allclose(found.score, best, rtol=1e-9, atol=1e-11 * scale)
    np.testing.assert_allclose(found.score, [every[pair] for pair in pairs], rtol=1e-9, atol=1e-11 * scale)
    ranks = [(sign * score, *pair) for score, pair in zip(found.score, pairs, strict=True)]
    assert ranks == sorted(ranks)


@pytest.fixture(params=[512, 7])
def blocks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_CELLS", 1)
    monkeypatch.setattr(module, "_TILE", request.param)


@pytest.mark.usefixtures("blocks")
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("n", [0, 1, 2, 3, 50])
def test_random_vectors(metric: str, n: int) -> None:
    x = np.random.default_rng(n).normal(size=(n, 6)).astype(np.float16)
    for k in (1, 20, 2000):
        check(x, metric, k)


@pytest.mark.usefixtures("blocks")
@pytest.mark.parametrize("metric", METRICS)
def test_hard_vectors(metric: str) -> None:
    rng = np.random.default_rng(0)
    base = rng.normal(size=(45, 5))
    for x in (
        base[rng.integers(0, 10, 45)],  # duplicates
        30 + base[rng.integers(0, 10, 45)] + 1e-4 * base,  # near duplicates far from 0
        base * (rng.random((45, 1)) < 0.6),  # zeros
        base * 10.0 ** rng.integers(-12, 9, (45, 1)),  # scales
        np.zeros((45, 5)),
    ):
        for k in (1, 30, 400):
            check(x.astype(np.float32), metric, k)


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_small_integers_with_many_ties(data: st.DataObject) -> None:
    n, d = data.draw(st.integers(1, 12)), data.draw(st.integers(1, 3))
    values = st.lists(st.integers(-2, 2), min_size=d, max_size=d)
    x = np.array(data.draw(st.lists(values, min_size=n, max_size=n)), np.float32)
    check(x, data.draw(st.sampled_from(METRICS)), data.draw(st.integers(1, 30)))


def test_ties_are_broken_by_the_rows_whatever_the_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.ones((40, 3), np.float32)
    monkeypatch.setattr(module, "_CELLS", 1)
    for tile in (3, 11, 64):
        monkeypatch.setattr(module, "_TILE", tile)
        found = closest_pairs(lambda start, stop: x[start:stop], 40, 3, 5, "cosine")
        assert list(zip(found.a, found.b, strict=True)) == [(0, 1), (0, 2), (0, 3), (0, 4), (0, 5)]


def test_progress_counts_every_row_once_and_mistakes_are_named() -> None:
    x, seen = np.ones((600, 2), np.float32), []
    closest_pairs(lambda start, stop: x[start:stop], 600, 2, 1, "l2", seen.append)
    assert sum(seen) == 600
    with pytest.raises(InputError, match="k is 0"):
        closest_pairs(lambda start, stop: x[start:stop], 600, 2, 0, "l2")
    with pytest.raises(InputError, match="unknown metric 'dot'"):
        closest_pairs(lambda start, stop: x[start:stop], 600, 2, 1, "dot")
