"""What a ranking is worth where interactions are rare, and at its top: most lists have half positives, nature not."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import average_precision_score

from esm2_amp.evaluation.metrics import checked


def average_precision_at(label: ArrayLike, score: ArrayLike, negatives_per_positive: float) -> float | None:
    """Average precision as if there were so many negatives for each positive, all ranked like those at hand.

    Each negative weighs negatives_per_positive * positives / negatives, each positive 1.

    Args:
        label: (n,) 0 or 1.
        score: (n,) finite, of any scale.
        negatives_per_positive: above 0, as 10 for 1:10.

    Returns:
        In [0, 1]; None where one class is missing.

    Raises:
        ValueError: as :func:`esm2_amp.evaluation.metrics.ranking_metrics`, or a ratio that is not above 0.
    """
    label, score = checked(label, score)
    if not 0 < negatives_per_positive < math.inf:
        raise ValueError(f"{negatives_per_positive} negatives per positive, expected a finite number above 0")
    positives = int(label.sum())
    if positives in (0, label.size):
        return None
    weight = np.where(label == 1, 1.0, negatives_per_positive * positives / (label.size - positives))
    return float(average_precision_score(label, score, sample_weight=weight))


def top_precision(label: ArrayLike, score: ArrayLike, share: float) -> float:
    """Share of positives among the pairs with the highest scores.

    The top has k = max(1, floor(n * share + 1/2)) pairs: n * share rounded, half up, and at least one. Of the pairs
    that tie at the cut, as many as still fit are taken at random: the result is the expectation over these draws.

    Args:
        label: (n,) 0 or 1.
        score: (n,) finite, of any scale.
        share: in (0, 1], as .05 for the top 5 %.

    Raises:
        ValueError: as :func:`esm2_amp.evaluation.metrics.ranking_metrics`, or a share outside (0, 1].
    """
    label, score = checked(label, score)
    if not 0 < share <= 1:
        raise ValueError(f"share is {share}, expected a number above 0 and at most 1")
    top = max(1, math.floor(label.size * share + 0.5))
    cut = np.partition(score, label.size - top)[label.size - top]
    above, tied = label[score > cut], label[score == cut]
    return float((above.sum() + (top - above.size) * tied.mean()) / top)


def shifted(probability: ArrayLike, positive_share: float, negatives_per_positive: float) -> NDArray[np.float64]:
    """Probabilities for another share of positives than that they were calibrated at.

    The odds are multiplied by the ratio of the two prior odds: what the score says of a pair is the same, only how
    common interacting pairs are beforehand is not.

    Args:
        probability: of any shape, in [0, 1].
        positive_share: of the pairs of the calibration, between 0 and 1.
        negatives_per_positive: in the pairs at hand, above 0, as 100 for 1:100.

    Raises:
        ValueError: a share or a ratio out of bounds.

    Source: Saerens et al. 2002 (doi 10.1162/089976602753284446), equation 2.4.
    """
    if not 0 < positive_share < 1:
        raise ValueError(f"positive_share is {positive_share}, expected a number between 0 and 1")
    if not 0 < negatives_per_positive < math.inf:
        raise ValueError(f"{negatives_per_positive} negatives per positive, expected a finite number above 0")
    p = np.asarray(probability, dtype=np.float64)
    factor = (1 - positive_share) / positive_share / negatives_per_positive
    return np.asarray(p * factor / (p * factor + (1 - p)))
