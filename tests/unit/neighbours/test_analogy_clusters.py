"""Planted kinds of analogies are found again."""

from __future__ import annotations

from xml.etree import ElementTree

import numpy as np
import pytest

from esm2_amp.errors import InputError
from esm2_amp.neighbours.analogy_clusters import cluster_analogies, draw_similarity


def planted() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Rows of which 0..29 lie one of three steps (12, 10 and 8 times) above rows 30..59."""
    rng = np.random.default_rng(0)
    kind = rng.permutation(np.repeat([0, 1, 2], [12, 10, 8]))
    low = rng.normal(size=(30, 20))
    high = low + np.eye(20)[kind] * rng.uniform(1, 9, (30, 1)) + 0.02 * rng.normal(size=(30, 20))
    return np.concatenate([high, low]).astype(np.float32), np.arange(30), np.arange(30, 60), kind


def test_planted_steps_are_clusters_whatever_their_length() -> None:
    x, first, second, kind = planted()
    found = cluster_analogies(x, first, second, "difference", 3, seed=0)
    assert found.label.tolist() == kind.tolist()
    assert sorted(found.order) == list(range(30))
    assert (np.diff(found.label[found.order]) >= 0).all()
    same = kind[:, None] == kind
    assert found.similarity[same].min() > 0.9
    assert abs(found.similarity[~same]).max() < 0.3
    assert cluster_analogies(x, first, second, "difference", 3, seed=0).order.tolist() == found.order.tolist()


def test_sums_and_steps_that_coincide() -> None:
    x, first, second, _ = planted()
    again = cluster_analogies(np.concatenate([x[:30], -x[30:]]), first, second, "sum", 3, seed=0)
    assert again.label.tolist() == cluster_analogies(x, first, second, "difference", 3, seed=0).label.tolist()
    few = cluster_analogies(x, first[[0, 0, 0]], second[[0, 0, 0]], "difference", 3, seed=0)
    assert few.label.tolist() == [0, 0, 0]
    with pytest.raises(InputError, match="4 clusters of 3 analogies"):
        cluster_analogies(x, first[:3], second[:3], "difference", 4, seed=0)


def test_the_heat_map_is_one_svg_and_names_are_text() -> None:
    x, first, second, _ = planted()
    found = cluster_analogies(x, first, second, "difference", 3, seed=0)
    drawn = draw_similarity("steps", found, ["<script>alert(1)</script>"] * 30, 'a "map"')
    assert "<script" not in drawn
    root = ElementTree.fromstring(drawn)
    assert root.tag.endswith("svg")
    assert root.get("aria-label") == 'a "map"'
