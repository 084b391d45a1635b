"""What the histograms say of a whole screening, against counts of its pairs."""

from __future__ import annotations

import numpy as np
import pytest

from esm2_amp.screening.background import Background
from esm2_amp.screening.grid import Grid
from esm2_amp.screening.promiscuity import above, promiscuity

N = 60


@pytest.fixture(scope="module")
def scored() -> tuple[Background, np.ndarray]:
    """All pairs of N proteins, of which protein 7 scores two higher with everyone; and the (N, N) logits."""
    rng = np.random.default_rng(0)
    logits = np.triu(rng.normal(size=(N, N)), 1).astype(np.float32)
    logits += logits.T
    logits[7] += 2
    logits[:, 7] += 2
    background, grid = Background(N, -6.0, 8.0), Grid(N, N, 0, 16, with_self=False)
    for number in range(len(grid)):
        unit = grid.unit(number)
        background.add(unit, logits[unit.a[unit.i], unit.b[unit.j]])
    return background, logits


def test_pairs_above_a_logit_are_counted_once(scored):
    background, logits = scored
    pairs = logits[np.triu_indices(N, 1)]
    cuts = np.array([-10.0, -1.0, 0.0, 1.3, 2.5, 10.0])
    np.testing.assert_allclose(above(background, cuts), [(pairs >= cut).sum() for cut in cuts], atol=12)
    assert above(background, np.array([-100.0]))[0] == len(pairs)


def test_a_protein_that_scores_high_with_everyone_stands_out(scored):
    background, logits = scored
    found = promiscuity(background, 0.05)
    pairs = logits[np.triu_indices(N, 1)]
    cut = np.quantile(pairs, 0.95)
    own = np.array([np.delete(logits[i], i) for i in range(N)])
    np.testing.assert_allclose(found, (own >= cut).mean(axis=1) / (pairs >= cut).mean(), rtol=0.2, atol=0.35)
    assert found.argmax() == 7
    assert found[7] > 5


def test_a_protein_without_a_scored_pair_has_none():
    background, grid = Background(3, -1.0, 1.0), Grid(3, 1, 1, 4, with_self=False)
    background.add(grid.unit(0), np.zeros(grid.size(0), np.float32))
    assert np.isfinite(promiscuity(background, 0.01)).all()
    lonely = Background(3, -1.0, 1.0)
    unit = Grid(2, 2, 0, 4, with_self=False).unit(0)
    lonely.add(unit, np.zeros(1, np.float32))
    found = promiscuity(lonely, 0.01)
    assert np.isnan(found[2])
    assert found[0] == 1
