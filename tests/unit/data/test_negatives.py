"""Drawn negatives: never known, never a repetition, never of a protein with itself; and always an end."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from esm2_amp.data.negatives import code_of, degree_matched_negatives, pair_code, uniform_negatives
from esm2_amp.errors import InputError


def codes(pairs: np.ndarray) -> list[int]:
    return pair_code(pairs[:, 0], pairs[:, 1]).tolist()


def allowed(pairs: np.ndarray, known: set[int]) -> bool:
    found = codes(pairs)
    return not known & set(found) and len(set(found)) == len(found) and bool((pairs[:, 0] != pairs[:, 1]).all())


@given(st.integers(2, 12), st.floats(0, 1), st.integers(0, 99))
def test_uniform_draws_reach_every_pair_that_is_not_known(n: int, density: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    pool = rng.choice(100, n, replace=False)
    every = {code_of(int(x), int(y)) for x, y in combinations(pool, 2)}
    known = {code for code in every if rng.random() < density} | {code_of(200, 201), code_of(int(pool[0]), 200)}
    known.add(code_of(int(pool[0]), int(pool[0])))
    free = every - known
    assert set(codes(uniform_negatives(pool, known, len(free), rng))) == free
    with pytest.raises(InputError, match=f"only {len(free)} pairs"):
        uniform_negatives(pool, known, len(free) + 1, rng)


def test_uniform_draws_are_uniform() -> None:
    pool, known = np.arange(6), {code_of(0, 1), code_of(2, 3)}
    rng = np.random.default_rng(0)
    counts = np.zeros((6, 6))
    for _ in range(3000):
        for x, y in uniform_negatives(pool, known, 3, rng):
            counts[x, y] += 1
    drawn = np.array([counts[x, y] for x in range(6) for y in range(6) if x != y and code_of(x, y) not in known])
    assert counts.sum() == drawn.sum() == 9000
    assert abs(drawn - 9000 / 26).max() < 5 * np.sqrt(9000 / 26)  # in either order as often


@given(st.integers(3, 30), st.floats(0, 1), st.integers(0, 99))
def test_matched_draws_never_exceed_what_is_wanted(n: int, density: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    known = {code_of(x, y) for x, y in combinations(range(n), 2) if rng.random() < density}
    wanted = rng.integers(0, 8, n)
    pairs, short = degree_matched_negatives(wanted, known, rng)
    assert allowed(pairs, known)
    given_each = np.bincount(pairs.ravel(), minlength=n)
    np.testing.assert_array_equal(given_each + [short.get(i, 0) for i in range(n)], wanted)


def test_matched_draws_give_every_protein_of_a_sparse_network_its_degree() -> None:
    rng = np.random.default_rng(1)
    n = 400
    weight = rng.pareto(2.5, n) + 0.3
    positives = {tuple(sorted(rng.choice(n, 2, replace=False, p=weight / weight.sum()))) for _ in range(1500)}
    wanted = np.bincount(np.array(list(positives)).ravel(), minlength=n)
    known = {code_of(int(x), int(y)) for x, y in positives}
    pairs, short = degree_matched_negatives(wanted, known, rng)
    assert allowed(pairs, known)
    assert sum(short.values()) <= 0.005 * wanted.sum()


def test_a_hub_that_knows_everybody_is_reported_and_not_waited_for() -> None:
    n = 50
    known = {code_of(0, y) for y in range(1, n)}
    wanted = np.full(n, 2)
    wanted[0] = 49
    pairs, short = degree_matched_negatives(wanted, known, np.random.default_rng(2))
    assert short[0] == 49
    assert len(pairs) >= 48
    assert allowed(pairs, known)


def test_the_column_of_a_drawn_pair_is_random() -> None:
    rng = np.random.default_rng(3)
    for pairs in (
        uniform_negatives(np.arange(60), set(), 1000, rng),
        degree_matched_negatives(np.full(60, 30), set(), rng)[0],
    ):
        assert 0.4 < (pairs[:, 0] < pairs[:, 1]).mean() < 0.6


def test_the_seed_decides() -> None:
    draws = [uniform_negatives(np.arange(30), {5}, 20, np.random.default_rng(seed)).tolist() for seed in (1, 1, 2)]
    assert draws[0] == draws[1] != draws[2]
