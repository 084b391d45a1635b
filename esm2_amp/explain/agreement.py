"""Do two explanations of the same pairs say the same?"""

from __future__ import annotations

from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata


def rank_correlation(first: ArrayLike, second: ArrayLike) -> NDArray[np.float64]:
    """Spearman's correlation over tokens of each pair; (n,), NaN where all values of one method are equal.

    Args:
        first: (n, 2T) values of one method.
        second: (n, 2T) values of another, of the same tokens.
    """
    one, other = _ranks(first), _ranks(second)
    with np.errstate(invalid="ignore"):
        return (one * other).sum(axis=1) / np.sqrt((one**2).sum(axis=1) * (other**2).sum(axis=1))


def top_overlap(first: ArrayLike, second: ArrayLike, k: int) -> NDArray[np.float64]:
    """(n,) share of the k tokens of largest value that two methods have in common; of equal tokens, the first counts.

    For 2T tokens and random values it is k / 2T on average.
    """
    one, other = _largest(first, k), _largest(second, k)
    return (one & other).sum(axis=1) / one.sum(axis=1)


def stability(runs: ArrayLike) -> NDArray[np.float64]:
    """(n,) mean of :func:`rank_correlation` over all two of s runs of one method (s, n, 2T), as of s seeds.

    Raises:
        ValueError: fewer than two runs.
    """
    values = np.asarray(runs, dtype=np.float64)
    if len(values) < 2:
        raise ValueError(f"{len(values)} runs; stability compares at least two")
    return np.mean([rank_correlation(first, second) for first, second in combinations(values, 2)], axis=0)


def _ranks(values: ArrayLike) -> NDArray[np.float64]:
    """Ranks within each row, centred."""
    rank: NDArray[np.float64] = rankdata(np.asarray(values, dtype=np.float64), axis=1)
    return rank - rank.mean(axis=1, keepdims=True)


def _largest(values: ArrayLike, k: int) -> NDArray[np.bool_]:
    array = np.asarray(values, dtype=np.float64)
    mask = np.zeros(array.shape, dtype=bool)
    np.put_along_axis(mask, np.argsort(-array, axis=1, kind="stable")[:, :k], True, axis=1)
    return mask
