"""Folds: nothing lost, nothing shared that must not be, the same again for the same seed."""

from __future__ import annotations

import numpy as np
import pytest

from esm2_amp.data.folds import protein_disjoint_folds, stratified_folds
from esm2_amp.errors import InputError


def pairs(n: int = 400, proteins: int = 60, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    hubs = rng.zipf(1.8, n) % proteins  # a few proteins with many partners
    return hubs, rng.integers(0, proteins, n), (rng.random(n) < 0.3).astype(np.int8)


@pytest.mark.parametrize("k", [2, 3, 5])
def test_stratified_folds_hold_every_pair_once_with_equal_shares_of_both_classes(k: int) -> None:
    label = pairs()[2]
    folds = stratified_folds(label, k, seed=1)
    assert np.array_equal(np.sort(np.concatenate([fold.held for fold in folds])), np.arange(400))
    for fold in folds:
        assert np.array_equal(np.sort(np.concatenate((fold.train, fold.held))), np.arange(400))
        assert fold.left_out.size == 0
        assert abs(label[fold.held].sum() - label.sum() / k) < 1
        assert abs(fold.held.size - 400 / k) <= 1


@pytest.mark.parametrize("k", [2, 3, 5])
def test_protein_disjoint_folds_follow_their_rule(k: int) -> None:
    a, b, label = pairs(4000)
    folds = protein_disjoint_folds(a, b, label, k, seed=1)
    held_proteins = []
    for train, held, left_out in folds:
        assert np.array_equal(np.sort(np.concatenate((train, held, left_out))), np.arange(4000))
        here = set(a[held]) | set(b[held])
        assert not here & (set(a[train]) | set(b[train]))
        assert all((x in here) != (y in here) for x, y in zip(a[left_out], b[left_out], strict=True))
        assert set(label[held]) == set(label[train]) == {0, 1}
        held_proteins.append(here)
    assert sum(map(len, held_proteins)) == len(set.union(*held_proteins))  # a protein is held in one fold
    touching = [np.isin(a, list(group)).sum() + np.isin(b, list(group)).sum() for group in held_proteins]
    assert max(touching) <= 8000 / k + np.bincount(np.concatenate((a, b))).max()  # as even as the largest hub allows


def test_folds_follow_from_the_seed_alone() -> None:
    a, b, label = pairs()
    for make in (
        lambda seed: stratified_folds(label, 3, seed),
        lambda seed: protein_disjoint_folds(a, b, label, 3, seed),
    ):
        one, same, other = make(1), make(1), make(2)
        assert all(np.array_equal(x, y) for p, q in zip(one, same, strict=True) for x, y in zip(p, q, strict=True))
        assert any(not np.array_equal(p.held, q.held) for p, q in zip(one, other, strict=True))


@pytest.mark.parametrize(
    ("label", "k", "said"),
    [([0, 1, 0, 1], 1, "1 folds"), ([0, 0, 0, 1], 2, "1 pair with label 1"), ([1, 1, 1], 2, "0 pairs with label 0")],
)
def test_impossible_stratified_folds_are_refused(label: list[int], k: int, said: str) -> None:
    with pytest.raises(InputError, match=said):
        stratified_folds(label, k, seed=0)


def test_impossible_protein_disjoint_folds_are_refused() -> None:
    with pytest.raises(InputError, match="0 folds"):
        protein_disjoint_folds([0], [1], [1], 0, seed=0)
    with pytest.raises(InputError, match=r"fold \d of 2 would .* no"):
        protein_disjoint_folds([0, 0, 0], [1, 2, 3], [0, 1, 1], 2, seed=0)  # one hub: no group is without it
    a, b, _ = pairs()
    with pytest.raises(InputError, match="fold 1 of 3 would train on no positive pair"):
        protein_disjoint_folds(a, b, np.zeros(400), 3, seed=0)
