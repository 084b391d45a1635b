"""Cross-validation folds of labelled pairs: by label, or such that a fold's held proteins are never trained on."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.model_selection import StratifiedKFold

from esm2_amp.errors import InputError
from esm2_amp.io.pairs import counted


class Fold(NamedTuple):
    """One fold as ascending positions of pairs; the three parts share no pair and together are all of them."""

    train: NDArray[np.int64]
    held: NDArray[np.int64]
    left_out: NDArray[np.int64]
    """Pairs that this fold neither trains on nor measures."""


def stratified_folds(label: ArrayLike, k: int, seed: int) -> list[Fold]:
    """Deal the pairs into k folds of equal size and equal shares of both classes; every pair is held once.

    Args:
        label: (n,) 0 or 1.
        k: folds, 2 or more.
        seed: of the deal.

    Returns:
        k folds that leave nothing out; the same for the same arguments.

    Raises:
        InputError: k below 2, or a class with fewer than k pairs.
    """
    label = np.asarray(label)
    _check_count(k)
    for value in (0, 1):
        if (count := int((label == value).sum())) < k:
            raise InputError(f"{k} folds of {counted(count, 'pair')} with label {value}", remedy="Ask for fewer folds.")
    dealt = StratifiedKFold(k, shuffle=True, random_state=seed).split(np.zeros(len(label)), label)
    nothing = np.empty(0, dtype=np.int64)
    return [Fold(train.astype(np.int64), held.astype(np.int64), nothing) for train, held in dealt]


def protein_disjoint_folds(a: ArrayLike, b: ArrayLike, label: ArrayLike, k: int, seed: int) -> list[Fold]:
    """Deal the proteins into k groups; fold i measures pairs within group i by what is learnt without that group.

    Fold i holds the pairs with both proteins in group i and trains on those with neither; the pairs with one protein
    in the group are left out of this fold. Every held pair is thus of class C3. The groups are random and of nearly
    equal total degree (proteins by falling degree, equal ones in random order, each to the lightest group). Where
    partners are random, a fold holds 1/k^2 of the pairs and trains on (1 - 1/k)^2; a pair between two groups is
    trained on in k - 2 folds and held in none.

    Args:
        a: (n,) numbers of the first proteins; the same number means the same sequence.
        b: (n,) numbers of the second proteins.
        label: (n,) 0 or 1.
        k: folds, 2 or more.
        seed: of the groups.

    Returns:
        k folds; the same for the same arguments.

    Raises:
        InputError: k below 2, or a fold that would train on or hold pairs of one class only, or none.
    """
    a, b, label = np.asarray(a), np.asarray(b), np.asarray(label)
    _check_count(k)
    group = _protein_groups(a, b, k, seed)
    folds = []
    for i in range(k):
        inside = (group[0] == i).astype(np.int64) + (group[1] == i)
        train, left_out, held = (np.flatnonzero(inside == count) for count in (0, 1, 2))
        _check_classes(label[train], label[held], i, k)
        folds.append(Fold(train, held, left_out))
    return folds


def _check_count(k: int) -> None:
    if k < 2:
        raise InputError(f"{k} folds", remedy="Ask for 2 or more.")


def _check_classes(train: NDArray[np.int8], held: NDArray[np.int8], i: int, k: int) -> None:
    for verb, labels in (("train on", train), ("hold", held)):
        for value, name in ((0, "negative"), (1, "positive")):
            if value not in labels:
                raise InputError(
                    f"fold {i + 1} of {k} would {verb} no {name} pair",
                    remedy="Ask for fewer folds, another seed, or folds by label.",
                )


def _protein_groups(
    a: NDArray[np.int64], b: NDArray[np.int64], k: int, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The group (0..k-1) of the first and of the second protein of every pair, (n,) each."""
    _, number, degree = np.unique(np.concatenate((a, b)), return_inverse=True, return_counts=True)
    order = np.random.default_rng(seed).permutation(len(degree))
    order = order[np.argsort(-degree[order], kind="stable")]
    group, weight = np.empty(len(degree), dtype=np.int64), np.zeros(k, dtype=np.int64)
    for protein in order:
        group[protein] = np.argmin(weight)
        weight[group[protein]] += degree[protein]
    first, second = np.split(group[number], 2)
    return first, second
