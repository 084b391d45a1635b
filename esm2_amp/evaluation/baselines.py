"""What a model must beat: scores that know who is in a pair list and how often, or what looks alike, and no more.

A model that does not beat them has learnt who is well studied or has seen a near copy, not who interacts. They are
scores of any scale: measure them with :func:`esm2_amp.evaluation.metrics.ranking_metrics`. Proteins are rows
0..n_proteins-1; a pair of a protein with itself counts once in that protein's degree.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize

from esm2_amp.evaluation.nearest_pairs import KnownPairs

_PENALTY = 1e-3  # of the additive model's squared coefficients, beside the mean cross-entropy


def train_degree_scores(
    train_a: ArrayLike, train_b: ArrayLike, a: ArrayLike, b: ArrayLike, n_proteins: int
) -> NDArray[np.float64]:
    """Score pairs by how many training pairs, of either label, hold their proteins: the sum over both.

    A protein that no training pair holds adds 0, so every C3 pair scores 0.

    Args:
        train_a: (m,) first proteins of the training pairs.
        train_b: (m,) second proteins of the training pairs.
        a: (n,) first proteins of the pairs to score.
        b: (n,) second proteins of the pairs to score.
        n_proteins: how many proteins the numbers range over.

    Returns:
        (n,) scores.

    Raises:
        ValueError: arrays of unequal length, or a number outside 0..n_proteins-1.
    """
    train_a, train_b, _ = checked_pairs(train_a, train_b, None, n_proteins)
    a, b, _ = checked_pairs(a, b, None, n_proteins)
    degree = _degrees(train_a, train_b, np.ones_like(train_a), n_proteins)
    return (degree[a] + degree[b]).astype(np.float64)


def degree_ratio_scores(
    train_a: ArrayLike, train_b: ArrayLike, train_label: ArrayLike, a: ArrayLike, b: ArrayLike, n_proteins: int
) -> NDArray[np.float64]:
    """Score pairs by the ratio of positive to negative training pairs of their proteins.

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
        ValueError: as :func:`degree_ratio_scores`.
    """
    a, b, label = checked_pairs(a, b, label, n_proteins)
    positive = _degrees(a, b, label, n_proteins)
    scores: NDArray[np.float64] = np.log1p(positive[a] - label) + np.log1p(positive[b] - label)
    return scores


def additive_scores(
    train_a: ArrayLike,
    train_b: ArrayLike,
    train_label: ArrayLike,
    a: ArrayLike,
    b: ArrayLike,
    vectors: NDArray[np.float32],
) -> NDArray[np.float64]:
    """Score pairs by u(A) + u(B), where u is a linear function of one protein's vector: it knows proteins, no pairs.

    The logistic regression of the training labels on z(A) + z(B), z being the vector standardised over the proteins of
    the training pairs; it minimises mean cross-entropy + 0.0005 * |coefficients|^2 (scikit-learn's
    ``LogisticRegression`` with C = 1000 / m). It applies to proteins never seen, too. Since u is linear the pairs'
    vectors are never built: an iteration takes O(n_proteins * D + m), and memory is that of the proteins' vectors.

    Args:
        train_a: (m,) first proteins of the training pairs.
        train_b: (m,) second proteins of the training pairs.
        train_label: (m,) 0 or 1.
        a: (n,) first proteins of the pairs to score.
        b: (n,) second proteins of the pairs to score.
        vectors: (n_proteins, D) one finite vector for each protein.

    Returns:
        (n,) scores; all 0 where no training pair is positive, or none negative.

    Raises:
        ValueError: as :func:`degree_ratio_scores`, or vectors that are not (n_proteins, D) and finite.
    """
    train_a, train_b, label = checked_pairs(train_a, train_b, train_label, len(vectors))
    a, b, _ = checked_pairs(a, b, None, len(vectors))
    z = _standardised(vectors, train_a, train_b)
    if not 0 < label.sum() < label.size:
        return np.zeros(a.size)

    u = z @ _additive_coefficients(z, train_a, train_b, label)
    scores: NDArray[np.float64] = u[a].astype(np.float64) + u[b]
    return scores


def _additive_coefficients(
    z: NDArray[np.float32], train_a: NDArray[np.int64], train_b: NDArray[np.int64], label: NDArray[np.int64]
) -> NDArray[np.float32]:
    """(D,) the minimum's coefficients; the intercept, the same for every pair, is left out."""

    def loss(parameters: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        coefficients = parameters[1:]
        u = (z @ coefficients.astype(np.float32)).astype(np.float64)
        logit = u[train_a] + u[train_b] + parameters[0]
        entropy = np.mean(np.logaddexp(0, logit) - label * logit)
        surplus = (np.exp(-np.logaddexp(0, -logit)) - label) / label.size
        by_protein = np.bincount(train_a, surplus, len(z)) + np.bincount(train_b, surplus, len(z))
        slope = (by_protein.astype(np.float32) @ z).astype(np.float64) + _PENALTY * coefficients
        return entropy + _PENALTY / 2 * (coefficients @ coefficients), np.concatenate([[surplus.sum()], slope])

    start = np.zeros(z.shape[1] + 1)
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 1000}).x
    return found[1:].astype(np.float32)


def nearest_pair_scores(
    train_a: ArrayLike,
    train_b: ArrayLike,
    train_label: ArrayLike,
    a: ArrayLike,
    b: ArrayLike,
    vectors: NDArray[np.float32],
    advance: Callable[[int], object] | None = None,
) -> NDArray[np.float64]:
    """Score pairs by the most similar training pair of each label, in both orders: what homology alone tells.

    score = similarity to the most similar positive training pair - similarity to the most similar negative one, see
    :class:`esm2_amp.evaluation.nearest_pairs.KnownPairs`; a label without training pairs has the similarity -1.
    Proteins are compared by the cosine of their vectors, standardised over the proteins of the training pairs. The idea
    is SPRINT's (Li & Ilie 2017, doi 10.1186/s12859-017-1871-x), with embeddings in place of similar subsequences.
    A pair that is itself a training pair finds itself.

    Args:
        train_a: (m,) first proteins of the training pairs.
        train_b: (m,) second proteins of the training pairs.
        train_label: (m,) 0 or 1.
        a: (n,) first proteins of the pairs to score.
        b: (n,) second proteins of the pairs to score.
        vectors: (n_proteins, D) one finite vector for each protein.
        advance: called with a number of pairs done, 2 n in all.

    Returns:
        (n,) scores in [-2, 2].

    Raises:
        ValueError: as :func:`additive_scores`.
    """
    train_a, train_b, label = checked_pairs(train_a, train_b, train_label, len(vectors))
    a, b, _ = checked_pairs(a, b, None, len(vectors))
    unit = _standardised(vectors, train_a, train_b)
    unit /= np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), np.finfo(np.float32).tiny)
    positive, negative = (
        KnownPairs(train_a[label == kind], train_b[label == kind], unit).similarity(a, b, advance) for kind in (1, 0)
    )
    return positive.astype(np.float64) - negative


def _standardised(
    vectors: NDArray[np.float32], train_a: NDArray[np.int64], train_b: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Vectors with mean 0 and deviation 1 over the proteins of the training pairs; a constant column is 0 there."""
    if vectors.ndim != 2 or not np.isfinite(vectors).all():
        raise ValueError(f"vectors must be finite and (n_proteins, D), not of shape {vectors.shape}")
    proteins = np.unique(np.concatenate([train_a, train_b]))
    if not proteins.size:
        return vectors.astype(np.float32)
    seen = vectors[proteins]
    mean, deviation = seen.mean(axis=0, dtype=np.float64), seen.std(axis=0, dtype=np.float64)
    scale = np.where(deviation > 0, deviation, 1)
    return ((vectors - mean.astype(np.float32)) / scale.astype(np.float32)).astype(np.float32)


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
