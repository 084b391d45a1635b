"""The best of each protein, against sorting all pairs."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from esm2_amp.screening.grid import Grid
from esm2_amp.screening.keep import Best, Keep, Sieve, places_in_runs
from esm2_amp.screening.work import Unit

Scored = list[tuple[Unit, np.ndarray]]


def identity(logits: np.ndarray) -> np.ndarray:
    return logits.astype(np.float64)


def scored(grid: Grid, levels: int, seed: int, thin: bool) -> Scored:
    """Units with logits of few levels, so that ties abound; with few of their pairs where ``thin``."""
    rng = np.random.default_rng(seed)
    found = []
    for number in range(len(grid)):
        unit = grid.unit(number)
        if thin:
            some = np.flatnonzero(rng.random(len(unit.i)) < 0.15)
            unit = Unit(unit.a, unit.b, unit.i[some], unit.j[some], whole=False)
        found.append((unit, rng.integers(0, levels, len(unit.i)).astype(np.float32) - 5))
    return found


def top_pairs(units: Scored, top: int) -> set[tuple[int, int]]:
    """By hand: the pairs among the ``top`` best of either end."""
    rows: dict[int, list[tuple[float, int, tuple[int, int]]]] = {}
    for unit, logits in units:
        for a, b, x in zip(unit.a[unit.i].tolist(), unit.b[unit.j].tolist(), logits.tolist(), strict=True):
            for protein, partner in {(a, b), (b, a)}:
                rows.setdefault(protein, []).append((-x, partner, (a, b)))
    return {pair for row in rows.values() for _, _, pair in sorted(row)[:top]}


@given(
    st.integers(1, 30), st.integers(1, 9), st.integers(1, 6), st.integers(1, 40), st.booleans(), st.booleans(),
    st.integers(0, 99),
)  # fmt: skip
def test_the_best_of_each_protein_pass_the_sieve_and_no_others_remain(
    n: int, edge: int, top: int, levels: int, with_self: bool, thin: bool, seed: int
):
    units = scored(Grid(n, n, 0, edge, with_self), levels, seed, thin)
    sieve, best = Sieve(Keep(None, top), n, identity), Best(n, top)
    passed = []
    for unit, logits in units:
        places, probability = sieve(unit, logits)
        assert (np.diff(places) > 0).all()
        assert (probability == logits[places]).all()
        of_a, of_b = (np.bincount(side[places]) for side in (unit.i, unit.j))
        assert len(places) <= top * (np.count_nonzero(of_a) + np.count_nonzero(of_b))
        passed.append((unit.a[unit.i[places]], unit.b[unit.j[places]], logits[places]))
    for a, b, logits in passed:
        best.add(a, b, logits)
    found = [
        pair for a, b, x in passed for pair in zip(*(s[best.holds(a, b, x)].tolist() for s in (a, b)), strict=True)
    ]
    assert len(found) == len(set(found))
    assert set(found) == top_pairs(units, top)


def block(a: range, b: range) -> Unit:
    return Unit(np.array(a), np.array(b), *np.indices((len(a), len(b))).reshape(2, -1), whole=True)


def test_later_units_keep_only_what_beats_the_earlier_ones():
    """Otherwise the parts would hold the best of every tile."""
    unit = block(range(4), range(4, 12))
    sieve = Sieve(Keep(None, 2), 40, identity)
    rows = np.tile(np.arange(8, dtype=np.float32), 4)
    assert len(sieve(unit, rows)[0]) > 0
    later = unit._replace(b=unit.b + 8)
    kept = later.j[sieve(later, rows - 2)[0]]
    assert set(np.bincount(kept, minlength=8)) == {2}  # each new column's two best, none for the rows' sake


def test_a_pair_with_itself_counts_once_among_the_best():
    sieve = Sieve(Keep(None, 2), 8, identity)
    sieve(block(range(2, 6), range(6, 8)), np.full(8, 10, np.float32))  # 2 to 5 have their two best
    diagonal = Unit(np.arange(2), np.arange(2), np.array([0, 0, 1]), np.array([0, 1, 1]), whole=False)
    sieve(diagonal, np.array([9, 1, 9], np.float32))
    places, _ = sieve(block(range(2), range(2, 6)), np.array([5, 0, 0, 0] * 2, np.float32))
    assert places.tolist() == [0, 4]  # behind the pair with itself the second best of 0, and of 1


@pytest.mark.parametrize("top", [None, 3])
def test_a_threshold_holds_as_well(top: int | None):
    ((unit, logits),) = scored(Grid(12, 12, 0, 12, False), 1000, 0, False)
    everything, _ = Sieve(Keep(None, top), 12, identity)(unit, logits)
    places, probability = Sieve(Keep(300.0, top), 12, identity)(unit, logits)
    assert places.tolist() == [place for place in everything.tolist() if logits[place] >= 300]
    assert probability.min() >= 300


def test_places_in_runs():
    assert places_in_runs(np.array([2, 2, 2, 5, 7, 7])).tolist() == [0, 1, 2, 0, 0, 1]
    assert places_in_runs(np.empty(0, np.int64)).tolist() == []
