"""Every pair of two sets is in exactly one tile."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from esm2_amp.screening.grid import Grid, order_sides


def pairs_of(grid: Grid) -> list[tuple[int, int]]:
    found = []
    for number in range(len(grid)):
        unit = grid.unit(number)
        assert len(unit.i) == len(unit.j) == grid.size(number) > 0
        assert unit.whole == (len(unit.i) == len(unit.a) * len(unit.b))
        assert (np.diff(unit.i * len(unit.b) + unit.j) > 0).all()
        for side in unit[:2]:
            assert (np.diff(side) > 0).all()
            assert len(side) <= grid.edge
        found += zip(unit.a[unit.i].tolist(), unit.b[unit.j].tolist(), strict=True)
    return found


@given(st.integers(0, 7), st.integers(0, 7), st.integers(0, 7), st.integers(1, 9), st.booleans())
def test_every_pair_of_the_two_sets_is_in_one_tile(only_a: int, both: int, only_b: int, edge: int, with_self: bool):
    """Upper triangle, bipartite, overlapping sets, one against all, and nothing at all."""
    a = [f"a{k}" for k in range(only_a)] + [f"ab{k}" for k in range(both)]
    b = [f"ab{k}" for k in range(both)] + [f"b{k}" for k in range(only_b)]
    sides = order_sides(a, b)
    grid = Grid(len(sides.ids), sides.first, sides.second, edge, with_self)
    named = [frozenset((sides.ids[i], sides.ids[j])) for i, j in pairs_of(grid)]
    wanted = {frozenset((x, y)) for x, y in product(a, b) if with_self or x != y}
    assert len(named) == len(set(named)) == grid.pairs
    assert set(named) == wanted


def test_sides_hold_each_protein_once_in_the_order_given():
    assert order_sides(["x", "q", "y"], ["z", "y", "q", "z"]) == (("x", "q", "y", "z"), 3, 1)
    assert order_sides(["q"], ["p", "q", "r"]) == (("q", "p", "r"), 1, 0)


def test_a_proteome_of_any_size_costs_nothing_to_cut():
    grid = Grid(20_000, 20_000, 0, 512, False)
    assert grid.pairs == 20_000 * 19_999 // 2 == sum(grid.size(number) for number in range(len(grid)))
    assert len(grid) == 40 * 41 // 2
    assert grid.unit(1).i is grid.unit(5).i  # one full tile is like another


def test_sets_that_do_not_meet_have_whole_tiles_only():
    grid = Grid(50, 21, 21, 8, False)
    assert grid.pairs == 21 * 29
    assert all(grid.unit(number).whole for number in range(len(grid)))


@pytest.mark.parametrize(("n", "first", "second", "edge"), [(3, 4, 0, 2), (3, 1, 2, 2), (3, 3, 0, 0)])
def test_numbers_that_cannot_be_are_refused(n: int, first: int, second: int, edge: int):
    with pytest.raises(ValueError, match="second <= first <= n"):
        Grid(n, first, second, edge, False)
    with pytest.raises(IndexError):
        Grid(3, 3, 0, 2, False).unit(9)
