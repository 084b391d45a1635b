"""Labelled pairs dealt into training, validation and test: at random, or such that no protein is shared."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from esm2_amp.errors import InputError
from esm2_amp.io.pairs import counted

LEFT_OUT = -1


def random_parts(label: ArrayLike, ratios: Sequence[float], seed: int) -> NDArray[np.int64]:
    """Deal pairs at random, each class in the same ratios: proteins are shared, so this measures C1.

    Args:
        label: (n,) 0 or 1.
        ratios: share of each part; they add up to 1.
        seed: of the deal.

    Returns:
        (n,) the part of each pair, 0 to len(ratios) - 1.

    Raises:
        InputError: as :func:`check_ratios`, or a part without a pair.
    """
    check_ratios(ratios)
    label = np.asarray(label)
    rng, part = np.random.default_rng(seed), np.empty(len(label), dtype=np.int64)
    for value in np.unique(label):
        members = rng.permutation(np.flatnonzero(label == value))
        ends = np.rint(np.cumsum(ratios) * len(members)).astype(np.int64)
        for number, chosen in enumerate(np.split(members, ends[:-1])):
            part[chosen] = number
    _refuse_empty(part, len(ratios))
    return part


def disjoint_parts(a: ArrayLike, b: ArrayLike, ratios: Sequence[float], seed: int) -> NDArray[np.int64]:
    """Deal proteins into parts; pairs within a part belong to it, pairs between two parts are left out.

    A part that is to hold a share r of the kept pairs needs a share of the proteins in proportion to sqrt(r), since a
    pair is kept with probability (share of the proteins)^2: at .8, .1, .1 that is .59, .21, .21 and 43 % of the
    pairs are kept where partners are random. Proteins come by falling degree, equal ones in random order, each to
    the part that lacks most.

    Args:
        a: (n,) numbers of the first proteins, or of their clusters: what has one number stays together.
        b: (n,) numbers of the second ones.
        ratios: share of each part of the pairs kept; they add up to 1.
        seed: of the order.

    Returns:
        (n,) the part of each pair, 0 to len(ratios) - 1, or :data:`LEFT_OUT`.

    Raises:
        InputError: as :func:`check_ratios`, or a part without a pair.
    """
    first, second = protein_parts(a, b, ratios, seed)
    part = np.where(first == second, first, LEFT_OUT)
    _refuse_empty(part, len(ratios))
    return part


def protein_parts(
    a: ArrayLike, b: ArrayLike, ratios: Sequence[float], seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The part of the first and of the second protein of every pair; see :func:`disjoint_parts`."""
    check_ratios(ratios)
    a, b = np.asarray(a), np.asarray(b)
    _, number, degree = np.unique(np.concatenate((a, b)), return_inverse=True, return_counts=True)
    wanted = np.sqrt(ratios) / np.sqrt(ratios).sum()
    order = np.random.default_rng(seed).permutation(len(degree))
    order = order[np.argsort(-degree[order], kind="stable")]
    part, weight = np.empty(len(degree), dtype=np.int64), np.zeros(len(ratios))
    for protein in order:
        part[protein] = np.argmin((weight + degree[protein]) / wanted)
        weight[part[protein]] += degree[protein]
    first, second = np.split(part[number], 2)
    return first, second


def check_ratios(ratios: Sequence[float]) -> None:
    """Refuse ratios that are not two or more positive numbers with the sum 1.

    Raises:
        InputError: they are not.
    """
    if len(ratios) < 2 or min(ratios) <= 0 or abs(sum(ratios) - 1) > 1e-6:
        told = ", ".join(map(str, ratios))
        raise InputError(f"ratios are [{told}]", remedy="Give two or three positive numbers that add up to 1.")


def _refuse_empty(part: NDArray[np.int64], parts: int) -> None:
    counts = np.bincount(part[part >= 0], minlength=parts)
    if not counts.all():
        told = ", ".join(f"{count:,}" for count in counts)
        raise InputError(
            f"a part would be empty ({told} of {counted(len(part), 'pair')})",
            remedy="Give more pairs, larger ratios, or another seed.",
        )
