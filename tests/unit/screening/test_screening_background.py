"""Histograms of scores against the scores themselves."""

import numpy as np
import pytest

from esm2_amp.screening.background import BINS, Background, Percentiles, edges_around
from esm2_amp.screening.grid import Grid
from esm2_amp.screening.work import Unit, Work


class Thin:
    """A seventh of the pairs of other work, among as many proteins."""

    def __init__(self, work: Grid) -> None:
        self._work = work

    def __len__(self) -> int:
        return len(self._work)

    def size(self, number: int) -> int:
        return len(self.unit(number).i)

    def unit(self, number: int) -> Unit:
        unit = self._work.unit(number)
        return Unit(unit.a, unit.b, unit.i[::7], unit.j[::7], whole=False)


def filled(work: Work, n: int, edges: tuple[float, float]) -> tuple[Background, list[list[float]]]:
    """Histograms, and the logits of each protein's pairs."""
    rng, background, logits_of = np.random.default_rng(0), Background(n, *edges), [[] for _ in range(n)]
    for number in range(len(work)):
        unit = work.unit(number)
        logits = rng.normal(size=len(unit.i)).astype(np.float32) * 2
        background.add(unit, logits)
        for a, b, x in zip(unit.a[unit.i].tolist(), unit.b[unit.j].tolist(), logits.tolist(), strict=True):
            for protein in {a, b}:
                logits_of[protein].append(x)
    return background, logits_of


@pytest.mark.parametrize("thin", [False, True])
@pytest.mark.parametrize("with_self", [False, True])
def test_percentiles_are_those_of_the_scores_within_a_bin(thin: bool, with_self: bool):
    grid = Grid(90, 90, 0, 25, with_self)
    background, logits_of = filled(Thin(grid) if thin else grid, 90, (-4.0, 4.0))
    assert background.scored().tolist() == [len(scores) for scores in logits_of]
    assert np.allclose(
        background.means(), [np.mean(np.clip(s, -4, 4)) for s in logits_of], atol=8 / BINS, equal_nan=True
    )
    percentiles, width = Percentiles(background), 8 / BINS
    for protein, scores in enumerate(logits_of):
        for x in scores:
            share = percentiles(np.array([protein]), np.array([x], np.float32))[0]
            least, most = (np.mean([s < min(max(x, -4), 4) + d for s in scores]) for d in (-width, width))
            if abs(x) < 4:
                assert least - 1e-6 <= share <= most + 1e-6
            assert 0 < share < 1


def test_of_equal_scores_half_are_taken_to_be_lower():
    background = Background(3, 0.0, 1.0)
    unit = Unit(np.array([0]), np.array([1, 2]), np.array([0, 0]), np.array([0, 1]), whole=True)
    background.add(unit, np.array([0.5, 0.5], np.float32))
    assert Percentiles(background)(np.array([0, 1]), np.array([0.5, 0.7], np.float32)).tolist() == [0.5, 1.0]
    none = Background(2, 0.0, 1.0)
    assert np.isnan(none.means()).all()
    assert np.isnan(Percentiles(none)(np.array([0, 1]), np.zeros(2, np.float32))).all()


def test_cells_are_the_counts():
    background, _ = filled(Grid(20, 20, 0, 7, False), 20, (-1.0, 1.0))
    other = Background(20, -1.0, 1.0)
    other.add_cells(*background.cells())
    other.add_cells(*background.cells())
    assert (other.counts == 2 * background.counts).all()


@pytest.mark.parametrize("spread", [1e-9, 1e-3, 1.0, 700.0])
def test_edges_lie_around_the_sample_and_do_not_follow_its_last_digits(spread: float):
    sample = np.random.default_rng(0).normal(3.01, spread, 1000)
    low, high = edges_around(sample)
    assert low < sample.min() <= sample.max() < high
    assert edges_around(sample * (1 + 1e-7)) == (low, high) == edges_around([*sample, np.nan, np.inf])
    background = Background(1, low, high)
    places = background.bins(sample.astype(np.float32))
    assert places.min() >= 1
    assert places.max() <= BINS
    assert len(np.unique(places)) > 100 or spread < 1e-3


def test_edges_of_nothing_are_edges():
    low, high = edges_around([np.nan])
    assert low < 0 < high
