"""Every exact analogy query against all tuples scored one by one in float64."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from esm2_amp.errors import InputError
from esm2_amp.neighbours import analogy_one, analogy_pairs
from esm2_amp.neighbours.analogies import Analogies, analogies_of_one, analogies_of_pair, completions
from esm2_amp.neighbours.reach import nearest_distances

THRESHOLDS = (None, 0.8, 0.5, -1.0)
OPERATIONS = ("difference", "sum")
SIGN = {"difference": -1.0, "sum": 1.0}


def matrix(kind: str, n: int = 60, d: int = 9, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(max(2, n // 8), d))
    made = {
        "random": lambda: rng.normal(size=(n, d)),
        "clustered": lambda: 2 + centres[rng.integers(0, len(centres), n)] + 0.2 * rng.normal(size=(n, d)),
        "duplicated": lambda: rng.normal(size=(n // 3, d))[rng.integers(0, n // 3, n)],
        "near duplicates": lambda: 5 + centres[rng.integers(0, 2, n)] + 1e-5 * rng.normal(size=(n, d)),
        "grid": lambda: rng.integers(-1, 2, (n, d)),
        "opposite": lambda: np.concatenate([half := rng.normal(size=(n // 2, d)), -half]),
        "zeros": lambda: rng.normal(size=(n, d)) * (rng.random((n, 1)) < 0.7),
        "scales": lambda: rng.normal(size=(n, d)) * 10.0 ** rng.integers(-12, 6, (n, 1)),
        "half": lambda: (3 + rng.normal(size=(n, d))).astype(np.float16),
    }[kind]()
    return made.astype(np.float32)


KINDS = ("random", "clustered", "duplicated", "near duplicates", "grid", "opposite", "zeros", "scales", "half")


class Oracle:
    """All cosines and scores of a matrix, by definition."""

    def __init__(self, vectors: np.ndarray, op: str, highest: float | None) -> None:
        self.x, self.sign = vectors.astype(np.float64), SIGN[op]
        lengths = np.outer(*(2 * [np.linalg.norm(self.x, axis=1)]))
        safe = np.where(lengths > 0, lengths, 1)
        self.cosine = np.where(lengths > 0, self.x @ self.x.T / safe, 0).clip(-1, 1)
        self.highest = 2 if highest is None else highest
        steps = self.x[:, None] + self.sign * self.x
        self.length = np.linalg.norm(steps, axis=2)
        self.unit = np.divide(steps, self.length[..., None], out=np.zeros_like(steps), where=self.length[..., None] > 0)

    def allowed(self, a: int, b: int, c: int, d: int) -> bool:
        if len({a, b, c, d}) < 4 or self.length[a, b] == 0 or self.length[c, d] == 0:
            return False
        return self.cosine[a, c] <= self.highest and self.cosine[b, d] <= self.highest

    def scores(self, a: int, b: int) -> Iterator[tuple[float, tuple[int, int, int]]]:
        table = self.unit @ self.unit[a, b]
        for c, d in permutations(range(len(self.x)), 2):
            if self.allowed(a, b, c, d) and not (self.sign > 0 and c > d and self.allowed(a, b, d, c)):
                yield table[c, d], (b, c, d)

    def check(self, a: int, found: Analogies, every: list[tuple[float, tuple[int, int, int]]], k: int) -> None:
        """The k best scores; each tuple once, with its own score, in the promised order."""
        best = sorted((score for score, _ in every), reverse=True)[:k]
        np.testing.assert_allclose(found.score, best, rtol=0, atol=1e-9)
        tuples = list(zip(found.b.tolist(), found.c.tolist(), found.d.tolist(), strict=True))
        scores = {key: score for score, key in every}
        assert len(set(tuples)) == len(tuples) == min(k, len(every))
        np.testing.assert_allclose(found.score, [scores[key] for key in tuples], rtol=0, atol=1e-9)
        ranks = [(-score, *key) for score, key in zip(found.score, tuples, strict=True)]
        assert ranks == sorted(ranks)


@pytest.fixture(params=[pytest.param(1024, marks=pytest.mark.slow), 7])
def blocks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks larger and smaller than the matrices."""
    for module in (analogy_pairs, analogy_one):
        monkeypatch.setattr(module, "_BLOCK", request.param)
    monkeypatch.setattr(analogy_pairs, "_WIDTHS", (2, 3))
    monkeypatch.setattr(analogy_pairs, "_PASSING", 0.05)
    monkeypatch.setattr(analogy_pairs, "_EXTREMES", 8)
    monkeypatch.setattr(analogy_one, "_EXTREMES", 4)


@pytest.mark.usefixtures("blocks")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("op", OPERATIONS)
def test_a_pair_query_equals_all_pairs_one_by_one(kind: str, op: str) -> None:
    x = matrix(kind)
    reach = nearest_distances(x, op)
    for highest in THRESHOLDS:
        oracle = Oracle(x, op, highest)
        a, b = next((a, b) for a, b in permutations(range(len(x)), 2) if oracle.length[a, b] > 0)
        every = list(oracle.scores(a, b))
        for k in (1, 10, len(every) + 5):
            plain = analogies_of_pair(x, a, b, k, highest, op)
            oracle.check(a, plain, every, k)
            pruned = analogies_of_pair(x, a, b, k, highest, op, reach)
            assert [part.tolist() for part in pruned] == [part.tolist() for part in plain]


@pytest.mark.usefixtures("blocks")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("op", OPERATIONS)
def test_a_one_row_query_equals_all_triples_one_by_one(kind: str, op: str) -> None:
    x = matrix(kind, n=24, d=5)
    for highest in THRESHOLDS:
        oracle = Oracle(x, op, highest)
        every = [item for b in range(len(x)) for item in oracle.scores(3, b)]
        for k in (1, 40, len(every) + 5):
            oracle.check(3, analogies_of_one(x, 3, k, highest, op), every, k)


@pytest.mark.parametrize("op", OPERATIONS)
@pytest.mark.parametrize("seed", range(3))
def test_thresholds_where_all_cosines_are_nearly_one(op: str, seed: int) -> None:
    """Far from 0 the cosines differ by less than float32 can tell, and thresholds still hold exactly."""
    x = (1000 + matrix("random", n=24, d=5, seed=seed)).astype(np.float32)
    for share in (0.3, 0.6, 0.9):
        highest = float(np.quantile(Oracle(x, op, None).cosine, share))
        oracle = Oracle(x, op, highest)
        every = [item for b in range(len(x)) for item in oracle.scores(3, b)]
        oracle.check(3, analogies_of_one(x, 3, 40, highest, op), every, 40)
        every = list(oracle.scores(3, 4))
        oracle.check(3, analogies_of_pair(x, 3, 4, 40, highest, op), every, 40)


@pytest.mark.parametrize("op", OPERATIONS)
@pytest.mark.parametrize("highest", [None, 0.8])
def test_a_one_row_query_over_many_groups_equals_its_pair_queries(op: str, highest: float | None) -> None:
    x = matrix("clustered", n=400, d=24, seed=4)
    found = analogies_of_one(x, 5, 30, highest, op)
    parts = [analogies_of_pair(x, 5, b, 30, highest, op) for b in range(len(x)) if b != 5]
    b, c, d, score = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    order = np.lexsort((d, c, b, -score.round(12)))[:30]
    np.testing.assert_allclose(found.score, score[order], atol=1e-12)
    assert set(zip(found.b, found.c, found.d, strict=True)) == set(zip(b[order], c[order], d[order], strict=True))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("op", OPERATIONS)
def test_a_completion_equals_all_rows_one_by_one(kind: str, op: str) -> None:
    x = matrix(kind)
    for highest in THRESHOLDS:
        oracle = Oracle(x, op, highest)
        a, b = next((a, b) for a, b in permutations(range(len(x)), 2) if oracle.length[a, b] > 0)
        c = next(c for c in range(len(x)) if c not in (a, b))
        table = oracle.unit @ oracle.unit[a, b]
        every = [
            (table[c, d], (b, c, d))
            for d in range(len(x))
            if len({a, b, c, d}) == 4 and oracle.length[c, d] > 0 and oracle.cosine[b, d] <= oracle.highest
        ]
        oracle.check(a, completions(x, a, b, c, 10, highest, op), every, 10)


@pytest.mark.parametrize("n", [2, 3, 4, 5])
@pytest.mark.parametrize("op", OPERATIONS)
def test_tiny_matrices(n: int, op: str) -> None:
    x = matrix("random", n=n, d=3)
    oracle = Oracle(x, op, None)
    every = list(oracle.scores(0, 1))
    oracle.check(0, analogies_of_pair(x, 0, 1, 100, None, op), every, 100)
    oracle.check(0, analogies_of_pair(x, 0, 1, 100, None, op, nearest_distances(x, op)), every, 100)
    triples = [item for b in range(n) for item in oracle.scores(0, b)]
    oracle.check(0, analogies_of_one(x, 0, 100, None, op), triples, 100)


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_small_integers_with_many_ties(data: st.DataObject) -> None:
    n, d = data.draw(st.integers(4, 9)), data.draw(st.integers(1, 3))
    values = st.lists(st.integers(-2, 2), min_size=d, max_size=d)
    x = np.array(data.draw(st.lists(values, min_size=n, max_size=n)), np.float32)
    op, highest = data.draw(st.sampled_from(OPERATIONS)), data.draw(st.sampled_from((None, 0.75, 0.4, -0.3)))
    k = data.draw(st.integers(1, 12))
    oracle = Oracle(x, op, highest)
    if oracle.length[0, 1] > 0:
        every = list(oracle.scores(0, 1))
        oracle.check(0, analogies_of_pair(x, 0, 1, k, highest, op), every, k)
        oracle.check(0, analogies_of_pair(x, 0, 1, k, highest, op, nearest_distances(x, op)), every, k)
    triples = [item for b in range(n) for item in oracle.scores(0, b)]
    oracle.check(0, analogies_of_one(x, 0, k, highest, op), triples, k)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("op", OPERATIONS)
def test_no_length_is_below_the_nearest_one_and_it_is_close(kind: str, op: str) -> None:
    length = Oracle(matrix(kind), op, None).length
    np.fill_diagonal(length, 0)
    least = np.where(length > 0, length, np.inf).min(axis=1)
    found = nearest_distances(matrix(kind), op)
    assert (found <= least).all()
    if kind not in ("near duplicates", "scales"):
        np.testing.assert_allclose(found, least, rtol=1e-3)


def test_progress_counts_every_row_once() -> None:
    x, seen = matrix("random"), []
    analogies_of_pair(x, 0, 1, 5, 0.2, "difference", advance=seen.append)
    assert sum(seen) == len(x)
    seen.clear()
    analogies_of_one(x, 0, 5, 0.2, "sum", advance=seen.append)
    assert sum(seen) == len(x)
    seen.clear()
    nearest_distances(x, "sum", seen.append)
    assert sum(seen) == len(x)


def test_what_cannot_be_asked_is_said() -> None:
    x = matrix("duplicated")
    same = next(j for j in range(1, len(x)) if (x[j] == x[0]).all())
    with pytest.raises(InputError, match="are equal"):
        analogies_of_pair(x, 0, same, 5, None, "difference")
    with pytest.raises(InputError, match="are opposite"):
        analogies_of_pair(np.concatenate([x, -x]), 0, len(x), 5, None, "sum")
    with pytest.raises(InputError, match="k is 0"):
        analogies_of_one(x, 0, 0, None, "sum")
    with pytest.raises(InputError, match="a is row 99 of 60"):
        analogies_of_one(x, 99, 1, None, "sum")
    with pytest.raises(InputError, match="a = 1, b = 1"):
        analogies_of_pair(x, 1, 1, 1, None, "sum")
    with pytest.raises(InputError, match="c = 2"):
        completions(x, 1, 2, 2, 1, None, "sum")
