"""The table: means over all batches, intervals of the right width, undefined numbers left out."""

from __future__ import annotations

import numpy as np
import pytest

from esm2_amp.evaluation.intervals import Resampling
from esm2_amp.explain.scoreboard import Scoreboard

RESAMPLING = Resampling(2000, 0, 0.95)


def test_batches_add_up_and_intervals_are_those_of_a_mean() -> None:
    values = np.random.default_rng(0).normal(3, 2, 400)
    board, whole = Scoreboard(), Scoreboard()
    for part in np.split(values, [7, 100, 100]):
        board.add("ig", {"deletion": part})
    whole.add("ig", {"deletion": values})
    (row,) = board.rows(RESAMPLING)
    assert (row,) == tuple(whole.rows(RESAMPLING))
    assert row.n == 400
    assert row.mean == pytest.approx(values.mean())
    half = 1.96 * values.std() / 20  # the normal approximation
    assert row.low == pytest.approx(values.mean() - half, rel=0.02)
    assert row.high == pytest.approx(values.mean() + half, rel=0.02)


def test_undefined_numbers_are_left_out_and_counted() -> None:
    board = Scoreboard()
    board.add("ig", {"auroc": [1.0, np.nan, 0.0, np.nan], "hit@1": [1.0, 1.0, 1.0, 1.0]})
    board.add("dpm", {"auroc": [np.nan]})
    board.add("none", {"auroc": []})
    auroc, hit, undefined, none = board.rows(RESAMPLING)
    assert (auroc.n, auroc.mean) == (2, 0.5)
    assert (auroc.low, auroc.high) == (0, 1)
    assert (hit.n, hit.mean, hit.low, hit.high) == (4, 1, 1, 1)
    for row in (undefined, none):
        assert (row.n, row.mean, row.low, row.high) == (0, None, None, None)


def test_rows_come_in_the_order_of_their_first_batch_and_repeat_with_the_seed() -> None:
    rng = np.random.default_rng(1)
    board = Scoreboard()
    for _ in range(2):
        board.add("b", {"y": rng.normal(size=5), "x": rng.normal(size=5)})
        board.add("a", {"y": rng.normal(size=5)})
    rows = board.rows(RESAMPLING)
    assert [(row.method, row.measure) for row in rows] == [("b", "y"), ("b", "x"), ("a", "y")]
    assert rows == board.rows(RESAMPLING)
    assert rows != board.rows(Resampling(2000, 1, 0.95))


def test_a_batch_that_the_caller_reuses_is_kept_as_it_was() -> None:
    board, values = Scoreboard(), np.ones(3)
    board.add("ig", {"x": values})
    values[:] = 5
    assert board.rows(RESAMPLING)[0].mean == 1
