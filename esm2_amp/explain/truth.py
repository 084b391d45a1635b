"""Attributions against the truth that the simulator planted."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

from esm2_amp.explain.faithfulness import finite

TOP = (1, 2, 3)
"""The k of hit@k."""


def truth_measures(evidence: ArrayLike, true: ArrayLike) -> dict[str, NDArray[np.float64]]:
    """Compare evidence with the tokens that are true; meant for pairs that interact and are called so.

    ``hit@k``: 1 where one of the k tokens with most evidence is true. ``rank`` is that of the best true token, from 1.
    ``auroc`` and ``aupr``: how well the evidence tells true tokens from the others. Equal evidence shares its mean
    rank, so that a method that says nothing hits nothing; the area measures count ties half, as they always do.

    Args:
        evidence: (n, K) of K tokens: those that lie somewhere (:func:`esm2_amp.explain.planted.located_tokens`).
        true: (n, K) bool.

    Returns:
        By name, (n,); NaN where a pair has no true token, or for the areas no other one.

    Raises:
        ValueError: shapes that differ, or evidence that is not finite.
    """
    values, mask = _checked(evidence, true)
    trues, others = mask.sum(axis=1), (~mask).sum(axis=1)
    rank = rankdata(-values, axis=1)
    best = np.where(mask, rank, np.inf).min(axis=1, initial=np.inf)
    found = {f"hit@{k}": np.where(trues > 0, best <= k, np.nan) for k in TOP}
    found["rank"] = np.where(trues > 0, best, np.nan)
    both = (trues > 0) & (others > 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        # Mann & Whitney: pairs of a true and another token in the right order
        right = trues * others + trues * (trues + 1) / 2 - (rank * mask).sum(axis=1)
        found["auroc"] = np.where(both, right / (trues * others), np.nan)
        found["aupr"] = np.where(both, _average_precision(values, mask) / trues, np.nan)
    return found


def both_chains(evidence: ArrayLike, true: ArrayLike) -> NDArray[np.float64]:
    """(n,) 1 where in each chain the token with most evidence is true, and alone at the top: half an answer is none.

    Chance is far lower than for hit@1, which a module on one chain satisfies.

    Args:
        evidence: (n, K), the first half of the tokens of chain A, the other half of chain B.
        true: (n, K) bool.

    Returns:
        NaN where a chain has no true token.

    Raises:
        ValueError: as :func:`truth_measures`.
    """
    values, mask = _checked(evidence, true)
    chains, true_in = values.reshape(len(values), 2, -1), mask.reshape(len(mask), 2, -1)
    best = np.where(true_in, rankdata(-chains, axis=2), np.inf).min(axis=2, initial=np.inf)
    return np.where(np.all(true_in.any(axis=2), axis=1), np.all(best == 1, axis=1), np.nan)


def _checked(evidence: ArrayLike, true: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    values, mask = finite(evidence), np.asarray(true, dtype=bool)
    if values.ndim != 2 or values.shape != mask.shape:
        raise ValueError(f"evidence of shape {values.shape}, but truth of shape {mask.shape}; both must be (n, K)")
    return values, mask


def _average_precision(values: NDArray[np.float64], mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(n,) sum over true tokens of the share of true ones among the tokens with as much evidence or more."""
    at_least = values[:, None, :] >= values[:, :, None]
    precision = (at_least & mask[:, None]).sum(axis=2) / at_least.sum(axis=2)
    return (precision * mask).sum(axis=1)
