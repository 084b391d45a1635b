"""Scoring unit after unit, and keeping what is worth it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from esm2_amp.errors import InputError
from esm2_amp.screening.keep import Keep, Probability, Sieve
from esm2_amp.screening.part_writer import PartWriter
from esm2_amp.screening.parts import Parts
from esm2_amp.screening.scorer import Prepared, Scorer, of_block, of_pairs
from esm2_amp.screening.work import Rows, Unit, Work

Features = Callable[[Rows], Tensor]
"""Tokens (m, T, D) of the proteins with the numbers (m,)."""
CACHE_BYTES = 256 << 20
"""Of prepared proteins that stay in memory; see :class:`Blocks`."""


class Blocks:
    """Prepared blocks of proteins; the last ones used stay, up to 256 MiB and the two that were last.

    Args:
        features: of proteins.
        scorer: prepares them.
    """

    def __init__(self, features: Features, scorer: Scorer) -> None:
        self._features, self._scorer = features, scorer
        self._held: OrderedDict[bytes, Prepared] = OrderedDict()

    def __call__(self, numbers: Rows) -> Prepared:
        """A block (m,), prepared or from before."""
        key = numbers.tobytes()
        if key not in self._held:
            self._held[key] = self._scorer.prepare(self._features(numbers))
        self._held.move_to_end(key)
        while len(self._held) > 2 and self._bytes() > CACHE_BYTES:
            self._held.popitem(last=False)
        return self._held[key]

    def _bytes(self) -> int:
        return sum(tensor.nbytes for block in self._held.values() for tensor in block)


def screen(
    work: Work,
    features: Features,
    scorer: Scorer,
    keep: Keep,
    probability: Probability,
    parts: Parts,
    *,
    share: tuple[int, int],
    advance: Callable[[int], None],
    check: Callable[[], None],
) -> None:
    """Score the units that no part holds yet, and add them to the parts.

    Args:
        work: the units.
        features: of the proteins.
        scorer: of pairs.
        keep: which pairs go into the parts: at least those that are in the result (see :class:`~.keep.Sieve`).
        probability: of logits.
        parts: those of this work.
        share: (rank, count): of ``count`` processes this one scores the units whose number leaves ``rank``.
        advance: told the pairs of each unit when it is done.
        check: called before each unit; what it raises ends the run, and all finished units are committed.

    Raises:
        InputError: a logit that is not finite, naming both proteins; no space left; a damaged part; another process
            with this rank.
    """
    rank, count = share
    blocks, sieve = Blocks(features, scorer), Sieve(keep, len(parts.ids), probability)
    with PartWriter(parts, rank, count) as writer:
        done = parts.done()
        for number in range(rank, len(work), count):
            if number in done:
                continue
            check()
            unit = work.unit(number)
            logits = unit_logits(scorer, unit, blocks)
            _check_finite(unit, logits, parts)
            writer.add(number, unit, logits, *sieve(unit, logits))
            advance(len(logits))


def unit_logits(scorer: Scorer, unit: Unit, blocks: Callable[[Rows], Prepared]) -> NDArray[np.float32]:
    """Logits (m,) of a unit's pairs, on the CPU."""
    if not len(unit.i):
        return np.empty(0, np.float32)
    with torch.inference_mode():
        a, b = blocks(unit.a), blocks(unit.b)
        if unit.whole:
            logits = of_block(scorer, a, b)
        else:
            i, j = (torch.tensor(places, device=scorer.device) for places in (unit.i, unit.j))
            logits = of_pairs(scorer, a, i, b, j)
    return logits.flatten().float().cpu().numpy()


def sample(work: Work, features: Features, scorer: Scorer, pairs: int) -> NDArray[np.float32]:
    """Logits of about so many pairs, evenly from over all the work; the same ones each time it is called.

    At most 16 units are touched, and at most 64 proteins on either side of each.
    """
    wanted = np.unique(np.linspace(0, len(work) - 1, min(len(work), 16)).round().astype(np.int64))
    found = [_part_of(work.unit(number), -(-pairs // len(wanted))) for number in wanted.tolist()]
    blocks = Blocks(features, scorer)
    return np.concatenate([unit_logits(scorer, unit, blocks) for unit in found])


def _part_of(unit: Unit, pairs: int) -> Unit:
    """At most so many pairs of a unit, of at most 64 of its proteins on either side, evenly spread."""
    a, b = (np.unique(np.linspace(0, len(side) - 1, min(len(side), 64)).round().astype(np.int64)) for side in unit[:2])
    inside = np.flatnonzero(np.isin(unit.i, a) & np.isin(unit.j, b))
    chosen = inside[np.unique(np.linspace(0, len(inside) - 1, min(len(inside), pairs)).round().astype(np.int64))]
    i, j = np.searchsorted(a, unit.i[chosen]), np.searchsorted(b, unit.j[chosen])
    return Unit(unit.a[a], unit.b[b], i, j, whole=False)


def _check_finite(unit: Unit, logits: NDArray[np.float32], parts: Parts) -> None:
    bad = np.flatnonzero(~np.isfinite(logits))
    if len(bad):
        a, b = parts.ids[unit.a[unit.i[bad[0]]]], parts.ids[unit.b[unit.j[bad[0]]]]
        raise InputError(
            f"the logit of {a} and {b} is {logits[bad[0]]}",
            remedy="Look at the features of both, or compute in float32.",
        )
