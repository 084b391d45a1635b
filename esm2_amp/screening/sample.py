"""A random sample of the pairs: it teaches the student, judges it, and shows how each protein scores with any other."""

from __future__ import annotations

import numpy as np

from esm2_amp.screening.pair_list import Eligible, PairList, eligible_pairs, row_ends


def random_pairs(law: Eligible, count: int, seed: int, edge: int) -> PairList:
    """``count`` of the eligible pairs, all if there are not so many, every set of them as likely as any other.

    A protein of an all-against-all screen gets ``2 count / n`` partners, give or take the root of that.

    Args:
        law: which pairs there are.
        count: how many of them.
        seed: of the choice.
        edge: see :class:`~esm2_amp.screening.pair_list.PairList`.
    """
    total = eligible_pairs(law)
    chosen = np.random.default_rng(seed).choice(total, min(count, total), replace=False, shuffle=False)
    ends = row_ends(law)
    i = np.searchsorted(ends, chosen, side="right")
    # places before the end of a row are columns before n
    return PairList(i, law.n - (ends[i] - chosen), edge)
