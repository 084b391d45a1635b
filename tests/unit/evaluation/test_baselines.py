from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from esm2_amp.evaluation.baselines import degree_oracle_scores, train_degree_scores
from esm2_amp.evaluation.metrics import ranking_metrics

N = 8
pair_lists = st.lists(
    st.tuples(st.integers(0, N - 1), st.integers(0, N - 1), st.integers(0, 1)),
    min_size=1,
    max_size=30,
    unique_by=lambda row: frozenset(row[:2]),
)


def columns(rows):
    return tuple(np.array(column) for column in zip(*rows, strict=True))


def oracle_by_hand(rows):
    scores = []
    for i, (a, b, _) in enumerate(rows):
        others = rows[:i] + rows[i + 1 :]
        scores.append(sum(np.log(1 + sum(y for c, d, y in others if protein in (c, d))) for protein in (a, b)))
    return scores


@given(pair_lists)
def test_oracle_equals_counting_by_hand(rows):
    assert degree_oracle_scores(*columns(rows), N) == pytest.approx(oracle_by_hand(rows))


@given(pair_lists)
def test_a_pairs_own_label_does_not_change_its_score(rows):
    a, b, label = columns(rows)
    before = degree_oracle_scores(a, b, label, N)
    for i in range(len(rows)):
        flipped = label.copy()
        flipped[i] = 1 - flipped[i]
        assert degree_oracle_scores(a, b, flipped, N)[i] == before[i]


@given(pair_lists, pair_lists)
def test_order_within_a_pair_does_not_matter(train, rows):
    (ta, tb, tl), (a, b, label) = columns(train), columns(rows)
    assert degree_oracle_scores(b, a, label, N) == pytest.approx(degree_oracle_scores(a, b, label, N))
    assert train_degree_scores(tb, ta, tl, b, a, N) == pytest.approx(train_degree_scores(ta, tb, tl, a, b, N))


def test_train_degrees_by_hand():
    # protein 0: 2 positives, 1 negative; 1: 1, 0; 2: 1, 1; 3 with itself: 1, 0; 4 is never seen
    train = columns([(0, 1, 1), (2, 0, 1), (0, 2, 0), (3, 3, 1)])
    scores = train_degree_scores(*train, [0, 2, 4, 3], [1, 4, 4, 3], 5)
    assert scores == pytest.approx([np.log(3 / 2) + np.log(2), 0, 0, 2 * np.log(2)])


def auroc_of_oracle(a, b, label, n_proteins):
    return ranking_metrics(label, degree_oracle_scores(a, b, label, n_proteins))["auroc"]


def test_oracle_cannot_tell_labels_that_ignore_the_proteins():
    a, b = columns(combinations(range(70), 2))
    label = np.random.default_rng(3).integers(0, 2, a.size)
    assert auroc_of_oracle(a, b, label, 70) == pytest.approx(0.5, abs=0.04)


def test_oracle_solves_a_set_whose_proteins_occur_in_one_class_only():
    positive, negative = list(combinations(range(12), 2)), list(combinations(range(12, 24), 2))
    a, b = columns(positive + negative)
    label = np.array([1] * len(positive) + [0] * len(negative))
    assert auroc_of_oracle(a, b, label, 24) == 1


def test_oracle_finds_hubs_unless_the_negatives_hold_them_as_often():
    rng = np.random.default_rng(4)
    pairs = np.array(list(combinations(range(60), 2)))
    hub = np.where(np.arange(60) < 15, 8.0, 1.0)
    likely = hub[pairs].prod(1)
    drawn = rng.permutation(rng.choice(len(pairs), 800, replace=False, p=likely / likely.sum()))
    elsewhere = rng.choice(np.setdiff1d(np.arange(len(pairs)), drawn[:400]), 400, replace=False)
    label = np.repeat([1, 0], 400)
    assert auroc_of_oracle(*pairs[drawn].T, label, 60) == pytest.approx(0.5, abs=0.06)
    assert auroc_of_oracle(*pairs[np.concatenate([drawn[:400], elsewhere])].T, label, 60) > 0.7


@pytest.mark.parametrize(
    ("a", "b", "label", "message"),
    [
        ([0, 1], [1], [1, 0], "one length"),
        ([0], [5], [1], "5 proteins"),
        ([-1], [0], [1], "-1"),
        ([0], [1], [3], "not 3"),
    ],
)
def test_nonsense_is_refused(a, b, label, message):
    with pytest.raises(ValueError, match=message):
        degree_oracle_scores(a, b, label, 5)
