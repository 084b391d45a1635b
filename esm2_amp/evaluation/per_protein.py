"""Ranking within each protein's own pairs: can the model tell a protein's partners from its non-partners?

A score that only knows which proteins interact often is the same for all of one protein's pairs but for the
partner's share, so these means are harder to raise by degrees than the pooled AUROC.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from esm2_amp.evaluation.baselines import checked_pairs
from esm2_amp.evaluation.metrics import checked


class PerProtein(NamedTuple):
    """Mean AUROC and average precision over ``proteins`` proteins, each counted alike; None where there is none."""

    auroc: float | None
    aupr: float | None
    proteins: int


def per_protein_auroc(a: ArrayLike, b: ArrayLike, label: ArrayLike, score: ArrayLike, n_proteins: int) -> PerProtein:
    """Macro AUROC and AUPR over the proteins with at least one positive and one negative pair.

    A pair counts for both of its proteins, a pair of a protein with itself once. AUPR depends on each protein's own
    share of positives: compare it between models on the same pairs only.

    Args:
        a: (n,) first proteins, in 0..n_proteins-1.
        b: (n,) second proteins.
        label: (n,) 0 or 1.
        score: (n,) finite, of any scale.
        n_proteins: how many proteins the numbers range over.

    Raises:
        ValueError: no pairs, shapes that differ, or values out of range.
    """
    a, b, _ = checked_pairs(a, b, label, n_proteins)
    label, score = checked(label, score)
    other = a != b
    protein = np.concatenate([a, b[other]])
    auroc, aupr = _by_protein(
        protein, np.concatenate([label, label[other]]), np.concatenate([score, score[other]]), n_proteins
    )
    counted = ~np.isnan(auroc)
    if not counted.any():
        return PerProtein(None, None, 0)
    return PerProtein(float(auroc[counted].mean()), float(aupr[counted].mean()), int(counted.sum()))


def _by_protein(
    protein: NDArray[np.int64], label: NDArray[np.int64], score: NDArray[np.float64], n_proteins: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(n_proteins,) AUROC and average precision, NaN without both classes; one sort, no loop over proteins."""
    order = np.lexsort((-score, protein))
    protein, score, hit = protein[order], score[order], label[order]
    # a step: pairs of one protein with one score
    starts = np.flatnonzero(
        np.concatenate([[True], (protein[1:] != protein[:-1]) | (score[1:] != score[:-1])]),
    )
    owner = protein[starts]
    hits = np.add.reduceat(hit, starts)
    called = np.diff(np.append(starts, hit.size))
    positives, pairs = np.bincount(protein, hit, n_proteins), np.bincount(protein, minlength=n_proteins)
    # cumulative sums run over all proteins: less what the proteins before had
    true = np.cumsum(hits) - (np.cumsum(positives) - positives)[owner]
    reached = np.cumsum(called) - (np.cumsum(pairs) - pairs)[owner]
    with np.errstate(invalid="ignore"):
        area = np.bincount(owner, (called - hits) * (true - hits / 2), n_proteins) / (positives * (pairs - positives))
        precision = np.bincount(owner, hits * true / reached, n_proteins) / positives
    return area, precision
