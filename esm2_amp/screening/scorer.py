"""Logits of many pairs of few proteins: what depends on one protein alone is computed once for it."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from esm2_amp.models.network import PairNetwork

Prepared = tuple[Tensor, ...]
"""What is known of each protein before its partner is: tensors with equal leading dimensions, one entry a protein."""


class Scorer:
    """Logits of a network in evaluation mode; this one works for every network.

    Args:
        network: trained.
        device: where it computes.
        dtype: float32, or bfloat16 for the large matrix products; logits are float32 either way.
    """

    chunk = 256
    """Pairs that are best computed at once."""

    def __init__(self, network: PairNetwork, device: torch.device, dtype: torch.dtype = torch.float32) -> None:
        self.network, self.device, self.dtype = network.to(device).eval(), device, dtype

    def prepare(self, tokens: Tensor) -> Prepared:
        """All that depends on one protein alone, of n proteins with the tokens (n, T, D)."""
        return (self.network.standardise(tokens.to(self.device)),)

    def logits(self, a: Prepared, b: Prepared) -> Tensor:
        """Logits of pairs; the leading dimensions of ``a`` and ``b`` are broadcast.

        ``(m, ...)`` and ``(m, ...)`` are m pairs; ``(r, 1, ...)`` and ``(1, c, ...)`` are all pairs of r and c.
        """
        (x,), (y,) = a, b
        lead = np.broadcast_shapes(x.shape[:-2], y.shape[:-2])
        x, y = (tokens.expand(*lead, *tokens.shape[-2:]).flatten(0, -3) for tokens in (x, y))
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.dtype == torch.bfloat16):
            return self.network.logit(x, y).float().view(lead)


def pairs_at_once(device: torch.device, rows: int, floats: int) -> int:
    """How many pairs are best computed at once.

    On a CPU at least so many that the matrix products have 1,024 rows, with which a weight read from memory is used
    often enough, and beyond that as many as keep intermediates in the second-level cache. Far larger ones are slower by
    more than a cache explains: the C library gives their memory back and takes it anew each time. On another device
    as many as fill it.

    Args:
        device: where they are computed.
        rows: of a matrix product, that a pair is.
        floats: numbers a pair of the largest intermediate.
    """
    return max(1024 // rows, 2**19 // floats) if device.type == "cpu" else max(1, 2**26 // floats)


def of_block(scorer: Scorer, a: Prepared, b: Prepared) -> Tensor:
    """Logits (r, c) of all pairs of r and c prepared proteins, on the scorer's device."""
    rows, columns = len(a[0]), len(b[0])
    wide = max(1, min(columns, scorer.chunk))
    high = max(1, scorer.chunk // wide)
    logits = torch.empty(rows, columns, device=scorer.device)
    for left in range(0, columns, wide):
        some = tuple(tensor[None, left : left + wide] for tensor in b)
        for top in range(0, rows, high):
            part = scorer.logits(tuple(tensor[top : top + high, None] for tensor in a), some)
            logits[top : top + high, left : left + wide] = part
    return logits


def of_pairs(scorer: Scorer, a: Prepared, i: Tensor, b: Prepared, j: Tensor) -> Tensor:
    """Logits (m,) of the pairs (a[i], b[j]), on the scorer's device."""
    logits = torch.empty(len(i), device=scorer.device)
    for start in range(0, len(i), scorer.chunk):
        some = slice(start, start + scorer.chunk)
        logits[some] = scorer.logits(tuple(tensor[i[some]] for tensor in a), tuple(tensor[j[some]] for tensor in b))
    return logits
