"""What a model sees: the tokens of both proteins of some pairs."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class PairBatch(NamedTuple):
    """A batch of B pairs; every model reads T tokens of width D from each protein."""

    a: Tensor
    """(B, T, D) float32 tokens of the first proteins."""
    b: Tensor
    """(B, T, D) float32 tokens of the second proteins."""
    label: Tensor
    """(B,) float32: 1 interacts, 0 does not, -1 not said."""
    row: Tensor
    """(B,) int64 number of each pair in its list."""
