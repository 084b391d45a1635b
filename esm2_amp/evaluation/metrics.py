"""How good predicted probabilities are: ranking, decisions at a threshold, calibration; pooled and by pair class."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    brier_score_loss,
    f1_score,
    matthews_corrcoef,
    precision_score,
    recall_score,
    roc_auc_score,
)

Metrics = dict[str, float | int | None]
CALIBRATION_BINS = 10


def ranking_metrics(label: ArrayLike, score: ArrayLike) -> Metrics:
    """Say how well a score, of any scale, ranks positives over negatives.

    Args:
        label: (n,) 0 or 1.
        score: (n,) finite numbers, larger means more likely positive.

    Returns:
        ``auroc`` and ``aupr`` (average precision, no interpolation); both None where only one class is present,
        since neither is defined there.

    Raises:
        ValueError: no pairs, shapes that differ, labels other than 0 and 1, or scores that are not finite.
    """
    label, score = checked(label, score)
    if _constant(label):
        return {"auroc": None, "aupr": None}
    return {"auroc": float(roc_auc_score(label, score)), "aupr": float(average_precision_score(label, score))}


def binary_metrics(label: ArrayLike, probability: ArrayLike, threshold: float) -> Metrics:
    """Measure probabilities against labels.

    A pair counts as predicted positive if ``probability >= threshold``. Precision, recall and F1 are 0 where their
    denominator is (scikit-learn's ``zero_division=0``), and so is MCC.

    Args:
        label: (n,) 0 or 1.
        probability: (n,) P(positive), in [0, 1].
        threshold: chosen on other pairs than these, or fixed beforehand.

    Returns:
        ``n``, ``n_positive``, ``auroc``, ``aupr``, ``mcc``, ``f1``, ``precision``, ``recall``, ``accuracy``,
        ``brier``, ``ece`` and ``threshold``; see :func:`ranking_metrics` and :func:`calibration_metrics`. None,
        never NaN, where undefined.

    Raises:
        ValueError: as :func:`ranking_metrics`, or a probability outside [0, 1].
    """
    label, probability = checked_probability(label, probability)
    predicted = (probability >= threshold).astype(np.int64)
    return {
        "n": int(label.size),
        "n_positive": int(label.sum()),
        **ranking_metrics(label, probability),
        "mcc": 0.0 if _constant(label) or _constant(predicted) else float(matthews_corrcoef(label, predicted)),
        "f1": float(f1_score(label, predicted, zero_division=0)),
        "precision": float(precision_score(label, predicted, zero_division=0)),
        "recall": float(recall_score(label, predicted, zero_division=0)),
        "accuracy": float(accuracy_score(label, predicted)),
        **calibration_metrics(label, probability),
        "threshold": float(threshold),
    }


def calibration_metrics(label: ArrayLike, probability: ArrayLike) -> Metrics:
    """How far probabilities can be taken at their word.

    Args:
        label: (n,) 0 or 1.
        probability: (n,) P(positive), in [0, 1].

    Returns:
        ``brier``, the mean squared distance from the label, and ``ece``, see :func:`expected_calibration_error`.

    Raises:
        ValueError: as :func:`binary_metrics`.
    """
    label, probability = checked_probability(label, probability)
    return {
        "brier": float(brier_score_loss(label, probability)),
        "ece": expected_calibration_error(label, probability),
    }


def expected_calibration_error(label: ArrayLike, probability: ArrayLike) -> float:
    """Mean distance between the predicted and the observed share of positives, weighted by pairs.

    P(positive) is cut into ten bins of equal width, [0, .1), [.1, .2), ... [.9, 1]:
    sum over bins of (pairs in bin / n) * abs(mean label - mean probability).

    Source: Naeini et al. 2015 (doi 10.1609/aaai.v29i1.9602), on P(positive) rather than on the confidence.

    Raises:
        ValueError: as :func:`binary_metrics`.
    """
    label, probability = checked_probability(label, probability)
    surplus = np.bincount(calibration_bins(probability, CALIBRATION_BINS), weights=label - probability)
    return float(np.abs(surplus).sum() / label.size)


def calibration_bins(probability: NDArray[np.float64], bins: int) -> NDArray[np.int64]:
    """(n,) which of ``bins`` bins of equal width holds each probability; 1 is in the last."""
    return np.minimum((probability * bins).astype(np.int64), bins - 1)


def best_threshold(label: ArrayLike, probability: ArrayLike) -> float:
    """Find the threshold with the highest Matthews correlation; use it on other pairs than these.

    Candidates are the midpoints between neighbouring distinct probabilities. Of equally good ones, the nearest to
    0.5 wins, then the lower. O(n log n).

    Returns:
        The threshold, for ``probability >= threshold``; 0.5 where there is one class, or one value, only.

    Raises:
        ValueError: as :func:`binary_metrics`.
    """
    label, probability = checked_probability(label, probability)
    order = np.argsort(probability)
    value, hit = probability[order], label[order]
    last = np.flatnonzero(value[:-1] < value[1:])  # the last pair of each run of equal values that has a next run
    n, positives = label.size, int(label.sum())
    if last.size == 0 or positives in (0, n):
        return 0.5
    called = n - (last + 1)
    true = positives - np.cumsum(hit)[last]
    # the textbook's MCC, written with the counts of pairs called positive and of those that truly are
    mcc = (n * true - positives * called) / np.sqrt(called * (n - called)) / np.sqrt(positives * (n - positives))
    best = last[mcc >= mcc.max() - 1e-12]
    middle = (value[best] + value[best + 1]) / 2
    # between two adjacent doubles there is none: rounded down it would call the lower one positive, too
    middle = np.where(middle > value[best], middle, value[best + 1])
    return float(middle[np.argmin(np.abs(middle - 0.5))])


def pair_classes(a_keys: Iterable[str], b_keys: Iterable[str], train_keys: Collection[str]) -> NDArray[np.str_]:
    """Tell how much of each pair was seen in training (Park & Marcotte 2012, doi 10.1038/nmeth.2259).

    Args:
        a_keys: n sequence keys of the pairs' first proteins (see :func:`esm2_amp.records.sequence_key`).
        b_keys: n sequence keys of their second proteins.
        train_keys: keys of every protein in a training pair.

    Returns:
        (n,) ``C1`` (both proteins seen in training), ``C2`` (one) or ``C3`` (none).

    Raises:
        ValueError: ``a_keys`` and ``b_keys`` differ in length.
    """
    train = frozenset(train_keys)
    unseen = [(a not in train) + (b not in train) for a, b in zip(a_keys, b_keys, strict=True)]
    return np.array(["C1", "C2", "C3"])[np.array(unseen, dtype=np.intp)]


def _constant(values: NDArray[np.int64]) -> bool:
    return bool(values.min() == values.max())


def checked(label: ArrayLike, score: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Labels and scores as arrays (n,), or the ValueError of :func:`ranking_metrics`."""
    label, score = np.asarray(label), np.asarray(score, dtype=np.float64)
    if label.ndim != 1 or label.shape != score.shape:
        raise ValueError(f"labels of shape {label.shape}, but scores of shape {score.shape}; both must be (n,)")
    if label.size == 0:
        raise ValueError("no pairs to measure")
    if not np.isin(label, (0, 1)).all():
        raise ValueError(f"labels must be 0 or 1, not {label[~np.isin(label, (0, 1))][0]}")
    if not np.isfinite(score).all():
        raise ValueError(f"{np.count_nonzero(~np.isfinite(score))} of {score.size} scores are not finite")
    return label.astype(np.int64), score


def checked_probability(label: ArrayLike, probability: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Labels and probabilities as arrays (n,), or the ValueError of :func:`binary_metrics`."""
    label, probability = checked(label, probability)
    if probability.min() < 0 or probability.max() > 1:
        raise ValueError(f"probabilities must lie in [0, 1], not in [{probability.min()}, {probability.max()}]")
    return label, probability
