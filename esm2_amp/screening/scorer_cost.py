"""What a scorer costs and how exact it is, on a small block."""

from __future__ import annotations

from math import prod
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from esm2_amp.screening.scorer import Scorer, of_block


class PrecisionError(NamedTuple):
    """How far a scorer's logits are from another's.

    Attributes:
        largest: of the absolute differences.
        mean: of the absolute differences.
        spread: standard deviation of the other's logits, for comparison.
    """

    largest: float
    mean: float
    spread: float


@torch.inference_mode()
def precision_error(scorer: Scorer, reference: Scorer, tokens_a: Tensor, tokens_b: Tensor) -> PrecisionError:
    """The error of a scorer on all pairs of r and c proteins, with tokens (r, T, D) and (c, T, D)."""
    logits, expected = (
        of_block(some, some.prepare(tokens_a), some.prepare(tokens_b)).double() for some in (scorer, reference)
    )
    error = (logits - expected).abs()
    return PrecisionError(error.max().item(), error.mean().item(), expected.std(correction=0).item())


@torch.inference_mode()
def flops_per_pair(scorer: Scorer, tokens_a: Tensor, tokens_b: Tensor) -> float:
    """Floating-point operations of the matrix products a pair needs, a multiplication and an addition being two.

    What is done once a protein is not counted.

    Args:
        scorer: not compiled.
        tokens_a: (r, T, D) of some proteins.
        tokens_b: (c, T, D) of others.
    """
    a, b = scorer.prepare(tokens_a), scorer.prepare(tokens_b)
    unknown_to_torch = {
        torch.ops.mkldnn._linear_pointwise: _linear_flops,
        torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention_flops,
    }
    with FlopCounterMode(display=False, custom_mapping=unknown_to_torch) as counter:
        of_block(scorer, a, b)
    return counter.get_total_flops() / (len(tokens_a) * len(tokens_b))


def _linear_flops(x: Any, *others: Any, out_shape: Any, **_: Any) -> int:
    """2 x rows x in x out, of shapes."""
    return 2 * prod(out_shape) * x[-1]


def _attention_flops(q: Any, k: Any, v: Any, *_: Any, **__: Any) -> int:
    """Both products of (..., T, d) queries with (..., S, d) keys and values, of shapes."""
    return 2 * prod(q[:-1]) * k[-2] * (q[-1] + v[-1])
