"""Residue states of a batch of proteins to the 13 stored tokens of each."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from esm2_amp.layout import segment_bounds


def pooling_weights(lengths: Sequence[int], positions: int) -> Tensor:
    """Weights that turn residue states into tokens by one matrix product.

    Args:
        lengths: number of residues of each of B proteins; residue r stands at position r + 1, behind ``<cls>``.
        positions: S, positions in the padded batch, at least the longest protein + 2.

    Returns:
        (B, 13, S) float32; each row sums to 1, or to 0 for a segment without residues (a protein shorter than ten).
    """
    intervals = []
    for length in lengths:
        segments = [(start + 1, stop + 1) for start, stop in segment_bounds(length)]
        intervals.append([(0, 1), *segments, (length + 1, length + 2), (1, length + 1)])
    edges = torch.tensor(intervals, dtype=torch.int64)  # (B, 13, 2) in the order of STORED_TOKENS
    start, stop = edges[..., :1], edges[..., 1:]
    position = torch.arange(positions)
    inside = (position >= start) & (position < stop)
    return inside.float() / (stop - start).clamp(min=1)


def pool(states: Tensor, lengths: Sequence[int]) -> Tensor:
    """Pool residue states: cls and eos as they are, mean of each segment, mean of all residues.

    Args:
        states: (B, S, D) last hidden states; position 0 is ``<cls>``, then the residues, then ``<eos>``, then padding.
        lengths: number of residues of each protein.

    Returns:
        (B, 13, D) float32 in the order of :data:`~esm2_amp.layout.STORED_TOKENS`, on the device of ``states``.
    """
    weights = pooling_weights(lengths, states.shape[1]).to(states.device)
    return weights @ states.float()
