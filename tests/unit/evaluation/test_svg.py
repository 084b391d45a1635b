"""Curves thinned without visible change."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import precision_recall_curve, roc_curve

from esm2_amp.evaluation.svg import thinned


def gaps(x, y, kept_x, kept_y):
    """The longest way along a curve between two points that stay."""
    along = np.concatenate([[0], np.cumsum(np.abs(np.diff(x)) + np.abs(np.diff(y)))])
    place, kept = 0, []
    for point in zip(kept_x, kept_y, strict=True):
        while (x[place], y[place]) != point:
            place += 1  # in order, or this runs out
        kept.append(place)
    return np.diff(along[kept]).max(), along[-1], np.abs(np.diff(along)).max()


@pytest.mark.parametrize("curve", ["roc", "pr"])
def test_a_long_curve_keeps_its_ends_and_its_shape(curve: str) -> None:
    rng = np.random.default_rng(0)
    label = rng.integers(2, size=50_000)
    score = rng.normal(size=50_000) + label
    x, y = roc_curve(label, score)[:2] if curve == "roc" else precision_recall_curve(label, score)[1::-1]
    kept_x, kept_y = thinned(x, y, 500)
    assert len(kept_x) <= 500
    assert (kept_x[0], kept_y[0], kept_x[-1], kept_y[-1]) == (x[0], y[0], x[-1], y[-1])
    longest, length, step = gaps(x, y, kept_x, kept_y)
    assert longest <= length / 499 + step
    assert abs(np.trapezoid(kept_y, kept_x) - np.trapezoid(y, x)) < 1e-3


@given(st.lists(st.tuples(st.floats(-1, 1), st.floats(-1, 1)), min_size=1, max_size=40), st.integers(2, 10))
def test_thinning_any_curve(points: list[tuple[float, float]], most: int) -> None:
    x, y = np.array(points).T
    kept_x, kept_y = thinned(x, y, most)
    assert len(kept_x) <= max(most, 1)
    assert (kept_x[0], kept_y[0], kept_x[-1], kept_y[-1]) == (x[0], y[0], x[-1], y[-1])
    if len(x) <= most:
        assert (kept_x.tolist(), kept_y.tolist()) == (x.tolist(), y.tolist())
