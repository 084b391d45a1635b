"""What scores of a screen are worth: precision by validation and by count agree where both populations are alike."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest

from esm2_amp.evaluation.calibration import Calibration
from esm2_amp.evaluation.operating import operating_curve
from esm2_amp.screening.background import Background
from esm2_amp.screening.grid import Grid
from esm2_amp.tasks.screen_plan import duration, tile_for
from esm2_amp.tasks.screen_worth import Prior, worth

N, RATIO = 400, 99


class Card(NamedTuple):
    """The entries of a model's card that count here."""

    calibrator: Calibration
    metrics: dict[str, Any]


def prior(ratio: float = RATIO) -> Prior:
    card = Card(Calibration("none"), {"val": {"all": {"n": 100, "n_positive": 50}}})
    return Prior(card, ratio)  # type: ignore[arg-type]


def screened(shift: float) -> tuple[Background, int]:
    """A screen in which one pair in a hundred interacts and scores 2.5 higher; all scores are ``shift`` higher."""
    rng = np.random.default_rng(1)
    background, grid = Background(N, -8.0, 10.0), Grid(N, N, 0, 128, with_self=False)
    for number in range(len(grid)):
        unit = grid.unit(number)
        true = rng.random(len(unit.i)) < 1 / (1 + RATIO)
        background.add(unit, (rng.normal(size=len(unit.i)) + 2.5 * true + shift).astype(np.float32))
    return background, grid.pairs


def validated() -> Any:
    label = np.repeat([1, 0], 20_000)
    return operating_curve("val", label, np.random.default_rng(2).normal(size=40_000) + 2.5 * label)


def test_both_precisions_are_the_true_one_where_the_screen_is_like_validation() -> None:
    background, pairs = screened(0.0)
    rows = [row for row in worth(validated(), background, pairs, prior()) if 0.1 < row.recall < 0.95]
    assert len(rows) > 5
    for row in rows:
        assert row.by_count == pytest.approx(row.precision.value, rel=0.15)
        assert row.precision.low <= row.precision.value <= row.precision.high
    assert all(np.diff([row.pairs for row in rows]) > 0)


def test_precision_by_count_falls_where_everything_scores_higher() -> None:
    background, pairs = screened(1.0)
    rows = [row for row in worth(validated(), background, pairs, prior()) if 0.1 < row.recall < 0.9]
    assert all(row.by_count < row.precision.value / 1.3 for row in rows)


def test_a_card_without_validation_numbers_is_taken_as_balanced_and_says_so() -> None:
    found = Prior(Card(Calibration("none"), {}), 1.0)  # type: ignore[arg-type]
    assert not found.known
    np.testing.assert_allclose(found.at_prevalence([0.0, 1.0]), found.probability([0.0, 1.0]))


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.2, "1 s"), (59, "59 s"), (61, "1 min 1 s"), (3600 * 3 + 1230, "3 h 20 min"), (86400 * 2 + 7200, "2 d 2 h")],
)
def test_durations(seconds: float, said: str) -> None:
    assert duration(seconds) == said


def test_a_tile_of_a_slow_model_is_small_and_of_a_fast_one_bounded() -> None:
    assert tile_for(1e5) == 512
    assert 8 <= tile_for(1e12) < tile_for(1e9) < 512
    assert tile_for(1e9) ** 2 * 1e9 <= 1e12
