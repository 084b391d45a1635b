"""Negatives drawn anew for every epoch: a network that meets other ones each time learns less of them by heart."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from esm2_amp.data.dataset import EpochSampler, PairDataset
from esm2_amp.data.negatives import degree_matched_negatives, pair_code

_DRAWS = 4
"""The pool holds so many times the negatives given: an epoch's share of it is seldom the last one's."""


def with_pool(dataset: PairDataset, seed: int) -> PairDataset:
    """The pairs of a dataset and, behind them, a pool of further negatives.

    Each protein is in the pool in proportion to its negatives among the pairs given, in random columns. No pair of the
    pool is one of those given, in either order, whatever its label. What is known of other splits is not asked.

    Args:
        dataset: training pairs, labelled 0 and 1.
        seed: of the pool.
    """
    rows = np.stack((dataset.a, dataset.b))
    proteins, numbers = np.unique(rows, return_inverse=True)
    a, b = numbers.reshape(2, -1)
    wanted = np.bincount(np.concatenate((a, b))[np.tile(dataset.label == 0, 2)], minlength=len(proteins))
    known = set(pair_code(a, b).tolist())
    rng = np.random.default_rng((seed, len(dataset)))
    pool = np.concatenate([degree_matched_negatives(wanted, known, rng)[0] for _ in range(_DRAWS)])
    first = np.unique(pair_code(pool[:, 0], pool[:, 1]), return_index=True)[1]
    a, b = proteins[pool[np.sort(first)].T]
    return PairDataset(
        dataset.store,
        dataset.layout,
        np.concatenate((dataset.a, a)),
        np.concatenate((dataset.b, b)),
        np.concatenate((dataset.label, np.zeros(len(a), dtype=dataset.label.dtype))),
    )


class FreshNegatives(EpochSampler):
    """A new order every epoch in which a share of the negatives given gives way to as many of the pool.

    Follows from the seed and the epoch alone, like :class:`~esm2_amp.data.dataset.EpochSampler`. Where the pool has
    too few, more of the negatives given stay.

    Args:
        label: (n,) labels of the pairs given.
        pool: how many pairs stand behind them.
        share: of the negatives given, above 0 and at most 1.
        seed: of the choice and the order.
    """

    def __init__(self, label: NDArray[np.int8], pool: int, share: float, seed: int) -> None:
        super().__init__(len(label), seed)
        self.positives, self.negatives = np.flatnonzero(label != 0), np.flatnonzero(label == 0)
        self.pool, self.fresh = pool, min(pool, round(share * len(self.negatives)))

    def __iter__(self) -> Iterator[int]:
        rng = np.random.default_rng((self.seed, self.epoch))
        kept = rng.permutation(self.negatives)[self.fresh :]
        fresh = self.size + rng.choice(self.pool, self.fresh, replace=False)
        order: list[int] = rng.permutation(np.concatenate((self.positives, kept, fresh))).tolist()
        return iter(order)
