"""Chosen pairs: each once, in units that hold what they say."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest

from esm2_amp.screening.pair_list import PairList, eligible_pairs, keys_of
from esm2_amp.screening.sample import random_pairs


class Law(NamedTuple):
    """Which pairs there are."""

    n: int
    first: int
    second: int
    with_self: bool

    def pairs(self) -> list[tuple[int, int]]:
        """All of them, by the words of the law."""
        return [
            (i, j)
            for i in range(self.first)
            for j in range(self.second, self.n)
            if i < j or (self.with_self and i == j)
        ]


LAWS = [
    Law(9, 9, 0, False), Law(9, 9, 0, True), Law(9, 4, 4, False), Law(9, 6, 3, False), Law(9, 6, 3, True),
    Law(9, 1, 0, False), Law(9, 9, 5, False), Law(1, 1, 0, False),
]  # fmt: skip


@pytest.mark.parametrize("law", LAWS)
def test_a_sample_of_all_pairs_is_all_pairs(law: Law) -> None:
    sample = random_pairs(law, 1000, seed=0, edge=4)
    assert sorted(zip(sample.a.tolist(), sample.b.tolist(), strict=True)) == law.pairs()
    assert sample.pairs == eligible_pairs(law) == len(law.pairs())


@pytest.mark.parametrize("law", LAWS[:-1])
def test_every_pair_is_drawn_equally_often(law: Law) -> None:
    wanted, draws = 3, 2000
    count = dict.fromkeys(law.pairs(), 0)
    for seed in range(draws):
        sample = random_pairs(law, wanted, seed, edge=4)
        drawn = list(zip(sample.a.tolist(), sample.b.tolist(), strict=True))
        assert len(set(drawn)) == wanted
        for pair in drawn:
            count[pair] += 1
    share = wanted / len(count)
    assert np.abs(np.array(list(count.values())) / draws - share).max() < 5 * (share / draws) ** 0.5


def test_units_hold_the_pairs_in_order_and_each_once() -> None:
    work = random_pairs(Law(100, 70, 20, False), 900, seed=1, edge=16)
    again = PairList(work.a[::-1].copy(), work.b[::-1].copy(), 16)
    seen_a, seen_b = [], []
    for number in range(len(work)):
        unit, other = work.unit(number), again.unit(number)
        assert work.size(number) == len(unit.i) == len(unit.j)
        assert all(np.array_equal(getattr(unit, name), getattr(other, name)) for name in unit._fields)
        assert (np.diff(unit.a) > 0).all()
        assert (np.diff(unit.b) > 0).all()
        assert (np.diff(unit.i * 1000 + unit.j) > 0).all()
        assert len(set(unit.a // 16)) == len(set(unit.b // 16)) == 1
        assert set(unit.i) == set(range(len(unit.a)))
        assert set(unit.j) == set(range(len(unit.b)))
        seen_a.append(unit.a[unit.i])
        seen_b.append(unit.b[unit.j])
    assert np.array_equal(np.concatenate(seen_a), work.a)
    assert np.array_equal(np.concatenate(seen_b), work.b)


def test_a_full_square_says_that_it_is_whole() -> None:
    i, j = np.divmod(np.arange(16), 4)
    assert PairList(i, j + 4, 4).unit(0).whole
    assert not PairList(i[1:], j[1:] + 4, 4).unit(0).whole


def test_no_pairs_are_no_units() -> None:
    assert len(PairList(np.zeros(0, np.int64), np.zeros(0, np.int64), 4)) == 0


def test_a_pair_that_comes_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="twice"):
        PairList(np.array([1, 0, 1]), np.array([2, 1, 2]), 4)


def test_a_key_names_a_pair_whichever_comes_first() -> None:
    a, b = np.array([3, 5]), np.array([5, 3])
    assert len(set(keys_of(a, b, 10).tolist())) == 1
