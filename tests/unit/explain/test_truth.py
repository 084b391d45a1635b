"""Measures against truth: by hand, against scikit-learn, and at chance for random values."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from esm2_amp.explain.randomised import random_values
from esm2_amp.explain.truth import both_chains, truth_measures


def test_by_hand() -> None:
    evidence = [[5, 4, 3, 2, 1], [1, 2, 3, 4, 5], [1, 5, 2, 4, 3]]
    true = [[True, False, False, False, False], [False, False, True, False, False], [True, False, False, True, False]]
    found = truth_measures(evidence, true)
    assert found["hit@1"].tolist() == [1, 0, 0]
    assert found["hit@2"].tolist() == [1, 0, 1]
    assert found["hit@3"].tolist() == [1, 1, 1]
    assert found["rank"].tolist() == [1, 3, 2]
    np.testing.assert_allclose(found["auroc"], [1, 0.5, 2 / 6])
    np.testing.assert_allclose(found["aupr"], [1, 1 / 3, (1 / 2 + 2 / 5) / 2])


def test_areas_equal_scikit_learn_with_and_without_ties() -> None:
    rng = np.random.default_rng(0)
    for evidence in (rng.normal(size=(40, 20)), rng.integers(0, 4, (40, 20)).astype(float)):
        true = rng.random((40, 20)) < rng.uniform(0.1, 0.8, (40, 1))
        true[:, :2] = [True, False]
        found = truth_measures(evidence, true)
        for i in range(40):
            assert found["auroc"][i] == pytest.approx(roc_auc_score(true[i], evidence[i]))
            assert found["aupr"][i] == pytest.approx(average_precision_score(true[i], evidence[i]))


def test_a_method_that_says_nothing_hits_nothing() -> None:
    true = np.zeros((1, 20), dtype=bool)
    true[0, :3] = True  # the first tokens: no advantage from their order
    found = truth_measures(np.zeros((1, 20)), true)
    assert [found[f"hit@{k}"][0] for k in (1, 2, 3)] == [0, 0, 0]
    assert found["rank"][0] == 10.5
    assert found["auroc"][0] == 0.5


def test_random_values_are_at_chance() -> None:
    true = np.zeros((4000, 20), dtype=bool)
    true[:, :5] = True
    found = truth_measures(random_values(np.arange(4000), 20, 0), true)
    assert found["hit@1"].mean() == pytest.approx(5 / 20, abs=0.03)
    assert found["hit@2"].mean() == pytest.approx(1 - 15 * 14 / (20 * 19), abs=0.03)
    assert found["auroc"].mean() == pytest.approx(0.5, abs=0.01)
    assert found["rank"].mean() == pytest.approx(21 / 6, abs=0.1)


def test_half_an_answer_is_none() -> None:
    true = np.array([[1, 0, 0, 0, 1, 0]] * 4 + [[1, 0, 0, 0, 0, 0]], dtype=bool)
    evidence = [[3, 1, 2, 0, 1, 0], [3, 1, 2, 1, 0, 0], [1, 3, 2, 0, 9, 0], [3, 3, 2, 0, 9, 0], [3, 1, 2, 0, 9, 0]]
    found = both_chains(evidence, true)
    assert found[:4].tolist() == [1, 0, 0, 0]  # the last by a tie
    assert np.isnan(found[4])
    whole = np.tile(np.arange(20) % 10 < 3, (4000, 1))
    assert both_chains(random_values(np.arange(4000), 20, 0), whole).mean() == pytest.approx(0.09, abs=0.02)


def test_pairs_without_truth_are_undefined_not_zero() -> None:
    found = truth_measures(np.arange(6.0).reshape(2, 3), [[False] * 3, [True] * 3])
    assert all(np.isnan(values[0]) for values in found.values())
    assert found["hit@1"][1] == 1
    assert np.isnan(found["auroc"][1])


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match=r"shape \(2, 3\), but truth of shape \(2, 4\)"):
        truth_measures(np.zeros((2, 3)), np.zeros((2, 4)))
    with pytest.raises(ValueError, match="1 of 6 values are not finite"):
        truth_measures([[1, 2, np.inf], [1, 2, 3]], np.ones((2, 3)))
