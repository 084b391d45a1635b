"""Ranking within proteins: scikit-learn, one protein at a time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from esm2_amp.evaluation.per_protein import PerProtein, per_protein_auroc

rows = st.lists(
    st.tuples(st.integers(0, 6), st.integers(0, 6), st.integers(0, 1), st.integers(-3, 3)), min_size=1, max_size=40
)


@pytest.mark.filterwarnings("error")
@given(rows)
def test_it_is_the_mean_of_sklearns_over_proteins(found: list[tuple[int, int, int, int]]) -> None:
    a, b, label, score = np.array(found).T
    auroc, aupr = [], []
    for protein in range(9):
        own = (a == protein) | (b == protein)
        if len(set(label[own].tolist())) == 2:
            auroc.append(roc_auc_score(label[own], score[own]))
            aupr.append(average_precision_score(label[own], score[own]))
    got = per_protein_auroc(a, b, label, score, 9)
    assert got.proteins == len(auroc)
    if auroc:
        assert got == pytest.approx((np.mean(auroc), np.mean(aupr), len(auroc)))
    else:
        assert got == PerProtein(None, None, 0)


def test_a_score_that_knows_the_first_protein_only_helps_pooled_and_not_within_it() -> None:
    rng = np.random.default_rng(0)
    often = rng.random(30)
    a, b = np.repeat(np.arange(30), 40), 30 + np.tile(np.arange(40), 30)
    label = (rng.random(1200) < often[a]).astype(int)
    assert roc_auc_score(label, often[a]) > 0.7
    within_first = per_protein_auroc(a, a, label, often[a], 30)
    assert within_first.auroc == 0.5
    assert per_protein_auroc(a, b, label, often[a], 70).proteins > within_first.proteins


def test_nonsense_is_refused() -> None:
    with pytest.raises(ValueError, match="5 proteins"):
        per_protein_auroc([0], [5], [1], [0.5], 5)
    with pytest.raises(ValueError, match="not finite"):
        per_protein_auroc([0], [1], [1], [np.nan], 5)
    with pytest.raises(ValueError, match="no pairs"):
        per_protein_auroc([], [], [], [], 5)
