"""The contenders of the neighbours benchmark find what they are said to find."""

import numpy as np
import pytest
from neighbours_peers import PairIndex, all_analogies, closest_by_faiss, closest_by_matrix, clustered, unit

from esm2_amp.neighbours.analogies import analogies_of_pair
from esm2_amp.neighbours.closest_pairs import closest_pairs


@pytest.mark.parametrize("highest", [None, 0.5])
def test_the_truth_and_an_index_whose_signs_are_merged_equal_ours(highest):
    x = clustered(60, 16)
    ours = analogies_of_pair(x, 3, 8, 20, highest, "difference")
    pairs = set(zip(ours.c.tolist(), ours.d.tolist(), strict=True))
    assert set(all_analogies(x, 3, 8, 20, highest)) == pairs
    index = PairIndex(x, inverted=False)
    assert set(index.query(3, 8, 20, highest, merged=True)) == pairs
    assert len(set(index.query(3, 8, 20, highest, merged=False)) & pairs) < 20


def test_closest_pairs_of_all_ways_are_the_same_with_all_neighbours():
    x = clustered(50, 8)
    ours = closest_pairs(lambda start, stop: x[start:stop], 50, 8, 30, "cosine")
    pairs = set(zip(ours.a.tolist(), ours.b.tolist(), strict=True))
    assert set(closest_by_matrix(x, 30)) == pairs
    assert set(closest_by_faiss(x, 30, 49)) == pairs
    np.testing.assert_allclose(np.linalg.norm(unit(x), axis=1), 1, atol=1e-6)
