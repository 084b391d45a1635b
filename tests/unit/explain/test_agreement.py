"""Agreement between explanations against scipy and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

from esm2_amp.explain.agreement import rank_correlation, stability, top_overlap


def test_correlation_is_spearmans_pair_by_pair() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(2, 15, 20))
    second[:5] = rng.integers(0, 3, (5, 20))  # ties
    expected = [spearmanr(one, other).statistic for one, other in zip(first, second, strict=True)]
    np.testing.assert_allclose(rank_correlation(first, second), expected)
    np.testing.assert_allclose(rank_correlation(first, np.exp(first)), 1)
    assert np.isnan(rank_correlation(first, np.zeros_like(first))).all()


def test_overlap_by_hand() -> None:
    first, second = [[5, 4, 3, 0], [0, 1, 2, 3]], [[5, 0, 4, 3], [3, 2, 1, 0]]
    assert top_overlap(first, second, 1).tolist() == [1, 0]
    assert top_overlap(first, second, 2).tolist() == [0.5, 0]
    assert top_overlap(first, second, 3).tolist() == [2 / 3, 2 / 3]
    assert top_overlap(first, second, 9).tolist() == [1, 1]  # no more than there are


def test_stability_is_the_mean_over_all_two_runs() -> None:
    runs = np.random.default_rng(1).normal(size=(3, 7, 20))
    every = [rank_correlation(runs[i], runs[j]) for i, j in ((0, 1), (0, 2), (1, 2))]
    np.testing.assert_allclose(stability(runs), np.mean(every, axis=0))
    np.testing.assert_allclose(stability([runs[0], runs[0]]), 1)
    with pytest.raises(ValueError, match="1 runs"):
        stability(runs[:1])
