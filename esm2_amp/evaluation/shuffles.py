"""Pairs with one thing destroyed: a model that still does well has not learnt what was destroyed.

Partner shuffle: a trained model scores pairs whose second protein was exchanged. Label shuffle and rewiring: a model
is trained on the result, and must fall to chance and to the degree baselines.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from esm2_amp.evaluation.baselines import checked_pairs

_SIMILAR = 0.02  # of the proteins, ordered by degree, may lie between a protein and the one that replaces it
_ROUNDS = 10  # of swaps, each of nearly every positive pair: enough to forget the start
_MOST_ROUNDS = 100

Indices = NDArray[np.int64]


class Rewired(NamedTuple):
    """The (n,) proteins of the rewired pairs, in the order of the old ones, and how many positives stayed as known."""

    a: Indices
    b: Indices
    unswapped: int


def shuffled_partners(a: ArrayLike, b: ArrayLike, n_proteins: int, degrees: ArrayLike, seed: int) -> Indices:
    """Replace each pair's second protein by a random one of similar degree among the proteins of these pairs.

    Proteins are ordered by degree, equal ones at random, and the replacement is drawn from the 2 % of the proteins
    (at least one) on each side of the old one: never the old one, nor, where there are three proteins or more, the
    pair's first. A new pair may be a known positive by chance.

    Args:
        a: (n,) first proteins, which stay.
        b: (n,) second proteins.
        n_proteins: how many proteins the numbers range over.
        degrees: (n_proteins,) of each protein, in whatever set of pairs matters.
        seed: of the draws.

    Returns:
        (n,) new second proteins; the old ones where there is one protein only.

    Raises:
        ValueError: arrays of unequal length, proteins out of range, or ``degrees`` of another shape.
    """
    a, b, _ = checked_pairs(a, b, None, n_proteins)
    degrees = np.asarray(degrees)
    if degrees.shape != (n_proteins,):
        raise ValueError(f"degrees of shape {degrees.shape}, expected ({n_proteins},)")
    rng = np.random.default_rng(seed)
    proteins = np.unique(np.concatenate([a, b]))
    proteins = proteins[np.lexsort((rng.random(proteins.size), degrees[proteins]))]
    if proteins.size < 2:
        return b.copy()
    rank = np.zeros(n_proteins, dtype=np.int64)
    rank[proteins] = np.arange(proteins.size)
    return proteins[_another_rank(rank[a], rank[b], proteins.size, rng)]


def _another_rank(own: Indices, old: Indices, size: int, rng: np.random.Generator) -> Indices:
    """(n,) random ranks in 0..size-1 near ``old``: not ``old``, and not ``own`` where there are others."""
    reach = max(1, int(_SIMILAR * size))
    low = np.clip(old - reach, 0, max(0, size - 1 - 2 * reach))  # as many near either end as in the middle
    high = np.minimum(low + 2 * reach, size - 1)
    barred = np.sort(np.stack([old, own]), axis=0)
    inside = (own != old) & (low <= own) & (own <= high) & (high - low >= 2)
    drawn = low + rng.integers(0, high - low - inside)  # one number for each rank that is left
    first, second = np.where(inside, barred[0], old), barred[1]
    drawn += drawn >= first
    drawn += inside & (drawn >= second)
    return drawn


def shuffled_labels(label: ArrayLike, seed: int) -> NDArray[np.int64]:
    """The same labels in a random order: as many positives, of random pairs."""
    return np.random.default_rng(seed).permutation(np.asarray(label, dtype=np.int64))


def rewired(a: ArrayLike, b: ArrayLike, label: ArrayLike, n_proteins: int, seed: int) -> Rewired:
    """Exchange the partners of the positive pairs, so that every protein keeps the number of its positives.

    Double-edge swaps (Maslov & Sneppen 2002, doi 10.1126/science.1065103): of two pairs A-B and C-D come A-D and C-B,
    or A-C and B-D. A swap is left out if it gave a pair of a protein with itself, a pair twice, or one of the pairs
    given here, of either label; so a pair that was swapped once is none of the known positives. Ten rounds offer a
    swap to every positive pair; up to ninety more to those that are still old ones. Negatives, and positives
    of a protein with itself, stay.

    Args:
        a: (n,) first proteins, in 0..n_proteins-1.
        b: (n,) second proteins.
        label: (n,) 0 or 1.
        n_proteins: how many proteins the numbers range over.
        seed: of the draws.

    Returns:
        The new pairs, and the number of positives that no allowed swap was found for.

    Raises:
        ValueError: arrays of unequal length, or values out of range.
    """
    a, b, label = checked_pairs(a, b, label, n_proteins)
    a, b = a.copy(), b.copy()
    known = np.sort(_keys(a, b, n_proteins))
    edges = np.flatnonzero((label == 1) & (a != b))
    rng = np.random.default_rng(seed)
    for done in range(_MOST_ROUNDS):
        edges = rng.permutation(edges)
        offers = edges.size // 2
        if done >= _ROUNDS:  # only to old pairs, each with any other
            old = _among(_keys(a[edges], b[edges], n_proteins), known)
            edges = edges[np.argsort(~old, kind="stable")]
            offers = min(offers, int(old.sum()))
        if not offers:
            break
        _swap(a, b, edges, offers, known, n_proteins, rng)
    return Rewired(a, b, int(_among(_keys(a, b, n_proteins), known)[label == 1].sum()))


def _swap(
    a: Indices, b: Indices, edges: Indices, offers: int, known: Indices, n_proteins: int, rng: np.random.Generator
) -> None:
    """Offer swaps of the first edges with as many that follow; write the allowed ones into ``a`` and ``b``."""
    one, other = edges[:offers], edges[offers : 2 * offers]
    turned = rng.random(offers) < 0.5  # A-C and B-D
    left = a[one], np.where(turned, a[other], b[other])
    right = np.where(turned, b[one], a[other]), np.where(turned, b[other], b[one])
    keys = np.stack([_keys(*left, n_proteins), _keys(*right, n_proteins)])
    now, offered = np.sort(_keys(a[edges], b[edges], n_proteins)), np.sort(keys, axis=None)
    twice = offered[1:][offered[1:] == offered[:-1]]
    barred = _among(keys, known) | _among(keys, now) | _among(keys, twice)
    allowed = ~barred.any(axis=0) & (left[0] != left[1]) & (right[0] != right[1])
    a[one[allowed]], b[one[allowed]] = left[0][allowed], left[1][allowed]
    a[other[allowed]], b[other[allowed]] = right[0][allowed], right[1][allowed]


def _keys(a: Indices, b: Indices, n_proteins: int) -> Indices:
    """(n,) one number for each unordered pair."""
    return np.minimum(a, b) * n_proteins + np.maximum(a, b)


def _among(keys: Indices, ordered: Indices) -> NDArray[np.bool_]:
    """Which keys the sorted numbers hold; many times faster here than ``np.isin``."""
    if not ordered.size:
        return np.zeros(keys.shape, dtype=bool)
    return ordered[np.minimum(np.searchsorted(ordered, keys), ordered.size - 1)] == keys
