"""The segments of a pair that an attribution ranks highest and lowest."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from esm2_amp.io.segments import LOW, TOP
from esm2_amp.layout import SEGMENTS


def rank_segments(values: ArrayLike, names: Sequence[str], top: int = 3) -> list[tuple[str, int, str]]:
    """The ``top`` segments with the highest and the ``top`` with the lowest values.

    Ties are broken by order: the earlier token has the better rank in both. Tokens that are no segments (cls, eos,
    mean) and those whose value is NaN, as of a segment without residues, are left out.

    Args:
        values: (2T,) one for each token of a pair.
        names: their names, as :attr:`esm2_amp.layout.TokenLayout.pair_names`.
        top: how many of each; fewer where there are fewer segments.

    Returns:
        (``top`` or ``low``, rank from 1, name of the token), the highest first, then the lowest.

    Raises:
        ValueError: as many values as names are needed.
    """
    values = np.asarray(values, dtype=np.float64)
    if values.shape != (len(names),):
        raise ValueError(f"{values.shape} values of {len(names)} tokens")
    places = [i for i, name in enumerate(names) if name in SEGMENTS.pair_names and not np.isnan(values[i])]
    highest = sorted(places, key=lambda i: -values[i])[:top]
    lowest = sorted(places, key=lambda i: values[i])[:top]
    ranked = ((TOP, highest), (LOW, lowest))
    return [(kind, rank, names[i]) for kind, chosen in ranked for rank, i in enumerate(chosen, start=1)]
