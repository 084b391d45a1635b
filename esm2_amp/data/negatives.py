"""Pairs that are not known to interact, drawn as negatives: none of them known, repeated, or of a protein with itself.

Both ways of drawing take a bounded number of steps, however dense the known pairs are around a hub.
"""

from __future__ import annotations

from collections.abc import Set

import numpy as np
from numpy.typing import NDArray

from esm2_amp.errors import InputError

ROUNDS = 30
"""How often the ends left over by degree-matched drawing are dealt again."""
SWAPS = 200
"""How many drawn pairs are tried for an exchange of partners with each end that is left over after that."""


def pair_code(a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.int64]:
    """One number for each pair of proteins, the same in either order."""
    code: NDArray[np.int64] = np.minimum(a, b) << 32 | np.maximum(a, b)
    return code


def code_of(x: int, y: int) -> int:
    """:func:`pair_code` of one pair."""
    return min(x, y) << 32 | max(x, y)


def uniform_negatives(
    pool: NDArray[np.int64], known: Set[int], count: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Draw pairs of the pool, each allowed one equally likely.

    As many further pairs are drawn as known ones could be hit, so that one draw is enough.

    Args:
        pool: (n,) distinct proteins.
        known: :func:`pair_code` of every pair not to draw.
        count: how many.
        rng: the source of chance.

    Returns:
        (count, 2) proteins, in random order within each pair.

    Raises:
        InputError: the pool does not have so many pairs that are not known.
    """
    pool = np.sort(pool)
    n = len(pool)
    total = n * (n - 1) // 2
    inside = set(pool.tolist())
    hit = sum(1 for code in known if code >> 32 != code & 0xFFFFFFFF and {code >> 32, code & 0xFFFFFFFF} <= inside)
    if count > total - hit:
        raise InputError(
            f"{count:,} negatives asked for, but {n:,} proteins have only {total - hit:,} pairs that are not known",
            remedy="Lower negatives.ratio.",
        )
    drawn = rng.choice(total, size=count + hit, replace=False)
    pairs = pool[_unranked(drawn)]
    free = ~np.isin(pair_code(pairs[:, 0], pairs[:, 1]), np.fromiter(known, np.int64, len(known)))
    return _turned(pairs[free][:count], rng)


def _unranked(rank: NDArray[np.int64]) -> NDArray[np.int64]:
    """Positions (i, j), i > j, of the pairs of these ranks: (1, 0), (2, 0), (2, 1), (3, 0)..."""
    i = ((1 + np.sqrt(1 + 8 * rank.astype(np.float64))) / 2).astype(np.int64)
    i -= i * (i - 1) // 2 > rank  # the square root may be off by one
    i += i * (i + 1) // 2 <= rank
    return np.stack((i, rank - i * (i - 1) // 2), axis=1)


def degree_matched_negatives(
    wanted: NDArray[np.int64], known: Set[int], rng: np.random.Generator
) -> tuple[NDArray[np.int64], dict[int, int]]:
    """Draw pairs such that each protein gets as many negatives as wanted, as nearly as that can be.

    The ends (each protein as often as it is wanted) are shuffled and paired; ends of pairs that are not allowed are
    shuffled again, at most :data:`ROUNDS` times, and what is then left tries to exchange partners with drawn pairs. A
    hub that is known to interact with most others may not have so many partners left: what is missing is reported.

    Args:
        wanted: (n,) how many negatives each protein should have.
        known: :func:`pair_code` of every pair not to draw.
        rng: the source of chance.

    Returns:
        (m, 2) proteins, in random order within each pair; and how many negatives each protein lacks that lacks any.
    """
    ends = np.repeat(np.arange(len(wanted)), wanted)
    drawn: dict[int, tuple[int, int]] = {}
    for _ in range(ROUNDS):
        if len(ends) < 2:
            break
        ends = _deal(rng.permutation(ends), known, drawn)
    left = _exchange(rng.permutation(ends).tolist(), known, drawn, rng)
    proteins, lacks = np.unique(np.array(left, dtype=np.int64), return_counts=True)
    pairs = np.array(list(drawn.values()), dtype=np.int64).reshape(-1, 2)
    return _turned(pairs, rng), dict(zip(proteins.tolist(), lacks.tolist(), strict=True))


def _deal(ends: NDArray[np.int64], known: Set[int], drawn: dict[int, tuple[int, int]]) -> NDArray[np.int64]:
    """Pair neighbouring ends, adding the allowed pairs to ``drawn``; the other ends."""
    a, b = ends[0 : len(ends) - 1 : 2], ends[1::2]
    left = [] if len(ends) % 2 == 0 else [int(ends[-1])]
    for x, y, code in zip(a.tolist(), b.tolist(), pair_code(a, b).tolist(), strict=True):
        if x == y or code in known or code in drawn:
            left += [x, y]
        else:
            drawn[code] = (x, y)
    return np.array(left, dtype=np.int64)


def _exchange(
    ends: list[int], known: Set[int], drawn: dict[int, tuple[int, int]], rng: np.random.Generator
) -> list[int]:
    """Give two ends that may not be paired the partners of a drawn pair each, if both new pairs are allowed."""
    codes, left = list(drawn), ends[len(ends) // 2 * 2 :]
    for x, y in zip(ends[0 : len(ends) - 1 : 2], ends[1::2], strict=True):
        for at in rng.integers(len(codes), size=SWAPS).tolist() if codes else ():
            u, v = drawn[codes[at]] if rng.random() < 0.5 else drawn[codes[at]][::-1]
            new = [code_of(x, u), code_of(y, v)]
            if x != u and y != v and new[0] != new[1] and not any(code in known or code in drawn for code in new):
                del drawn[codes[at]]
                drawn[new[0]], drawn[new[1]] = (x, u), (y, v)
                codes[at] = new[0]
                codes.append(new[1])
                break
        else:
            left += [x, y]
    return left


def _turned(pairs: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Each pair in random order: the column of a protein must not tell the class."""
    turn = rng.random(len(pairs)) < 0.5
    pairs[turn] = pairs[turn][:, ::-1]
    return pairs
