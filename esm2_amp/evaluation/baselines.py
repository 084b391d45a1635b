"""Scores that know who is in a pair list and how often, and nothing about any protein.

A model that does not beat them has learnt who is well studied, not who interacts. They are scores of any scale:
measure them with :func:`esm2_amp.evaluation.metrics.ranking_metrics`. Proteins are rows 0..n_proteins-1; a pair of
a protein with itself counts once in that protein's degree.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def train_degree_scores(
    train_a: ArrayLike, train_b: ArrayLike, train_label: ArrayLike, a: ArrayLike, b: ArrayLike, n_proteins: int
) -> NDArray[np.float64]:
    """Score pairs by the degrees of their proteins among the training pairs.

    score = sum over both proteins of log((positive degree + 1) / (negative degree + 1)); a protein that no
    training pair holds adds 0, so every C3 pair scores 0.

    Args:
        train_a: (m,) first proteins of the training pairs.
        train_b: (m,) second proteins of the training pairs.
        train_label: (m,) 0 or 1.
        a: (n,) first proteins of the pairs to score.
        b: (n,) second proteins of the pairs to score.
        n_proteins: how many proteins the numbers range over.

    Returns:
        (n,) scores.

    Raises:
        ValueError: arrays of unequal length, a number outside 0..n_proteins-1, a label other than 0 and 1.
    """
    train_a, train_b, train_label = checked_pairs(train_a, train_b, train_label, n_proteins)
    positive = _degrees(train_a, train_b, train_label, n_proteins)
    negative = _degrees(train_a, train_b, 1 - train_label, n_proteins)
    a, b, _ = checked_pairs(a, b, None, n_proteins)
    ratio = np.log1p(positive) - np.log1p(negative)
    scores: NDArray[np.float64] = ratio[a] + ratio[b]
    return scores


def degree_oracle_scores(a: ArrayLike, b: ArrayLike, label: ArrayLike, n_proteins: int) -> NDArray[np.float64]:
    """Score each pair by how many of the other pairs of this same set its proteins are positive in.

    score = sum over both proteins of log(positive degree without this pair + 1). It reads the labels of the set it
    scores, all but the pair's own: no predictor, but a measure of how far the set can be solved by knowing which
    proteins are often positive. Near .5 AUROC, the set is sound. List each pair once (A-B and B-A are one pair): a
    repetition would tell the label.

    Where every protein is in exactly as many positives as negatives AUROC falls below .5, since the pair that is
    left out is then known to be the missing one.

    Args:
        a: (n,) first proteins.
        b: (n,) second proteins.
        label: (n,) 0 or 1.
        n_proteins: how many proteins the numbers range over.

    Returns:
        (n,) scores.

    Raises:
        ValueError: as :func:`train_degree_scores`.
    """
    a, b, label = checked_pairs(a, b, label, n_proteins)
    positive = _degrees(a, b, label, n_proteins)
    scores: NDArray[np.float64] = np.log1p(positive[a] - label) + np.log1p(positive[b] - label)
    return scores


def _degrees(
    a: NDArray[np.int64], b: NDArray[np.int64], counts: NDArray[np.int64], n_proteins: int
) -> NDArray[np.int64]:
    other = a != b
    ends, weights = np.concatenate([a, b[other]]), np.concatenate([counts, counts[other]])
    return np.bincount(ends, weights=weights, minlength=n_proteins).astype(np.int64)


def checked_pairs(
    a: ArrayLike, b: ArrayLike, label: ArrayLike | None, n_proteins: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Proteins and labels (0 where there are none) as arrays (n,) of int64.

    Raises:
        ValueError: arrays of unequal length, a number outside 0..n_proteins-1, a label other than 0 and 1.
    """
    a, b = np.asarray(a), np.asarray(b)
    label = np.zeros(a.shape, dtype=np.int64) if label is None else np.asarray(label)
    if a.ndim != 1 or not a.shape == b.shape == label.shape:
        raise ValueError(f"pairs need arrays of one length, not shapes {a.shape}, {b.shape} and {label.shape}")
    for proteins in (a, b):
        if proteins.size and not 0 <= proteins.min() <= proteins.max() < n_proteins:
            raise ValueError(
                f"protein numbers {proteins.min()} to {proteins.max()}, but there are {n_proteins} proteins"
            )
    if not np.isin(label, (0, 1)).all():
        raise ValueError(f"labels must be 0 or 1, not {label[~np.isin(label, (0, 1))][0]}")
    return a.astype(np.int64), b.astype(np.int64), label.astype(np.int64)
