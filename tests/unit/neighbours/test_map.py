"""The map: principal components are those of the unit vectors, and any number of points can be laid out."""

from __future__ import annotations

import numpy as np
import pytest

from esm2_amp.errors import InputError
from esm2_amp.neighbours.map import lay_out, sample_rows


def test_two_components_are_the_singular_vectors_of_unit_vectors() -> None:
    rng = np.random.default_rng(0)
    points = (rng.normal(size=(60, 9)) * [5, 3, *np.full(7, 0.1)]).astype(np.float32)
    plane = lay_out(points, "pca", 0)
    unit = points / np.linalg.norm(points, axis=1, keepdims=True)
    left, values, _ = np.linalg.svd(unit - unit.mean(axis=0), full_matrices=False)
    expected = left[:, :2] * values[:2]
    for axis in range(2):
        assert abs(np.corrcoef(plane.places[:, axis], expected[:, axis])[0, 1]) == pytest.approx(1, abs=1e-4)
    # one scale for both axes
    spans = np.ptp(plane.places, axis=0) / np.ptp(expected, axis=0)
    assert spans[0] == pytest.approx(spans[1], rel=1e-3)
    assert plane.places.min() == 0
    assert plane.places.max() == pytest.approx(1)


@pytest.mark.parametrize("points", [np.ones((1, 3)), np.ones((5, 3)), np.zeros((4, 2)), np.eye(2), np.ones((3, 1))])
@pytest.mark.parametrize("method", ["pca", pytest.param("umap", marks=pytest.mark.slow)])
def test_few_or_equal_points_have_places(points: np.ndarray, method: str) -> None:
    if method == "umap":
        pytest.importorskip("umap")
    places = lay_out(points.astype(np.float32), method, 0).places
    assert places.shape == (len(points), 2)
    assert np.isfinite(places).all()


def test_an_unknown_method_is_refused() -> None:
    with pytest.raises(InputError, match=r"map is 'tsne'.*pca or umap"):
        lay_out(np.ones((3, 3), np.float32), "tsne", 0)


@pytest.mark.parametrize(("n", "limit"), [(10, 100), (10, 3), (10_000_000, 50), (5, 0)])
def test_a_sample_holds_every_chosen_row_once(n: int, limit: int) -> None:
    chosen = np.array([4, 1, 4])
    rows = sample_rows(n, limit, chosen, 0)
    assert rows[:2].tolist() == [1, 4]
    assert len(set(rows.tolist())) == len(rows) == min(n, limit + 2)
    assert 0 <= rows.min() <= rows.max() < n
    np.testing.assert_array_equal(rows, sample_rows(n, limit, chosen, 0))
