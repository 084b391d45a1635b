from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from esm2_amp.evaluation.baselines import (
    additive_scores,
    degree_oracle_scores,
    degree_ratio_scores,
    nearest_pair_scores,
    train_degree_scores,
)
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
    assert degree_ratio_scores(tb, ta, tl, b, a, N) == pytest.approx(degree_ratio_scores(ta, tb, tl, a, b, N))


def test_degree_ratios_by_hand():
    # protein 0: 2 positives, 1 negative; 1: 1, 0; 2: 1, 1; 3 with itself: 1, 0; 4 is never seen
    train = columns([(0, 1, 1), (2, 0, 1), (0, 2, 0), (3, 3, 1)])
    scores = degree_ratio_scores(*train, [0, 2, 4, 3], [1, 4, 4, 3], 5)
    assert scores == pytest.approx([np.log(3 / 2) + np.log(2), 0, 0, 2 * np.log(2)])


def test_total_degrees_by_hand():
    scores = train_degree_scores([0, 2, 0, 3], [1, 0, 2, 3], [0, 2, 4, 3], [1, 4, 4, 3], 5)
    assert scores.tolist() == [3 + 1, 2 + 0, 0, 1 + 1]


def standardised(vectors, *ends):
    seen = vectors[np.unique(np.concatenate(ends))]
    return (vectors - seen.mean(0)) / np.where(seen.std(0) > 0, seen.std(0), 1)


def training_world(seed, proteins=40, width=5, pairs=150):
    rng = np.random.default_rng(seed)
    vectors = (rng.normal(size=(proteins, width)) * [1, 10, 0.1, 3, 0] + 5).astype(np.float32)  # one is constant
    ta, tb = rng.integers(proteins - 10, size=(2, pairs))
    a, b = rng.integers(proteins, size=(2, 60))
    z = standardised(vectors.astype(np.float64), ta, tb)
    chance = 1 / (1 + np.exp(-(z[ta] + z[tb])[:, :2].sum(1)))
    return vectors, z, (ta, tb, (rng.random(pairs) < chance).astype(int)), (a, b)


@pytest.mark.parametrize("seed", [0, 1])
def test_the_additive_model_is_sklearns_regression_on_summed_vectors(seed):
    vectors, z, (ta, tb, label), (a, b) = training_world(seed)
    model = LogisticRegression(C=1000 / label.size, tol=1e-10, max_iter=10_000).fit(z[ta] + z[tb], label)
    expected = model.decision_function(z[a] + z[b]) - model.intercept_
    assert additive_scores(ta, tb, label, a, b, vectors) == pytest.approx(expected, abs=2e-3)


def test_the_additive_model_finds_sociable_proteins_and_cannot_find_partners():
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(400, 6)).astype(np.float32)
    a, b = rng.integers(400, size=(2, 3000))
    sociable = (vectors[a, 0] + vectors[b, 0] + rng.normal(size=3000) > 0).astype(int)
    alike = (vectors[a, 0] * vectors[b, 0] > 0).astype(int)
    for label, low, high in ((sociable, 0.85, 1), (alike, 0.4, 0.6)):
        scores = additive_scores(a[:2000], b[:2000], label[:2000], a[2000:], b[2000:], vectors)
        assert low < ranking_metrics(label[2000:], scores)["auroc"] < high


def nearest_by_brute_force(unit, known, pairs):
    cosine = unit @ unit.T
    return [
        max(
            [max(cosine[a, c] + cosine[b, d], cosine[a, d] + cosine[b, c]) / 2 for c, d in known],
            default=-1,
        )
        for a, b in pairs
    ]


@pytest.mark.parametrize(("seed", "positives"), [(0, None), (1, None), (2, 0), (3, 1)])
def test_nearest_pairs_equal_brute_force(seed, positives):
    vectors, z, (ta, tb, label), (a, b) = training_world(seed)
    if positives is not None:
        label = np.full(150, positives)
    unit = z / np.linalg.norm(z, axis=1, keepdims=True)
    queries = list(zip(a, b, strict=True))
    known = [[pair for pair, y in zip(zip(ta, tb, strict=True), label, strict=True) if y == kind] for kind in (1, 0)]
    expected = np.subtract(*(nearest_by_brute_force(unit, pairs, queries) for pairs in known))
    done = []
    found = nearest_pair_scores(ta, tb, label, a, b, vectors, done.append)
    assert found == pytest.approx(expected, abs=1e-5)
    assert sum(done) == 2 * a.size


def test_blocks_do_not_change_the_nearest_pairs(monkeypatch):
    vectors, _, train, (a, b) = training_world(4)
    expected = nearest_pair_scores(*train, a, b, vectors)
    monkeypatch.setattr("esm2_amp.evaluation.nearest_pairs._ROWS", 7)
    monkeypatch.setattr("esm2_amp.evaluation.nearest_pairs._CELLS", 40)
    assert nearest_pair_scores(*train, a, b, vectors) == pytest.approx(expected, abs=1e-6)
    assert nearest_pair_scores(*train, b, a, vectors) == pytest.approx(expected, abs=1e-6)


def test_a_training_pair_finds_itself_in_either_order_and_half_a_pair_does_not():
    vectors = np.eye(6, dtype=np.float32)
    train = columns([(0, 1, 1), (2, 3, 0)])
    scores = nearest_pair_scores(*train, [0, 1, 2, 0, 0], [1, 0, 3, 2, 4], vectors)
    assert scores[0] == scores[1] == pytest.approx(-scores[2])
    assert scores[0] > 1
    assert abs(scores[3]) < 1e-6
    assert abs(scores[4]) < 1


@pytest.mark.filterwarnings("error")
def test_baselines_of_no_pairs_and_of_one_label_are_scores():
    vectors = np.ones((3, 2), dtype=np.float32)
    none = [], [], []
    for scores in (additive_scores, nearest_pair_scores):
        assert scores(*none, [0, 1], [1, 2], vectors).tolist() == [0, 0]
        assert scores([0], [1], [1], [], [], vectors).tolist() == []
    assert additive_scores([0, 1], [1, 2], [1, 1], [0], [2], vectors).tolist() == [0]
    with pytest.raises(ValueError, match="vectors must be finite"):
        additive_scores(*none, [0], [1], np.full((3, 2), np.nan, dtype=np.float32))


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
