"""Self-attention of proteins that lie packed one behind another: nobody attends across a border.

Every function takes ``qkv`` (N, 3, H, d), N the positions of all proteins, H heads of d dimensions, and ``lengths``,
the positions of each protein; it returns (N, H d). Scores are powers of two, softmax(ln 2 Q K^T) V: whoever makes the
queries has multiplied them by log2(e) / sqrt(d), because 2^x takes a processor a third of the time of e^x.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence

from esm2_amp.features.linear import has_onednn, onednn_product

Attention = Callable[[Tensor, Sequence[int]], Tensor]

QUERY_SCALE = math.log2(math.e)
_LN2 = math.log(2)
_CACHE, _FEWEST_ROWS = 1 << 22, 64
"""Bytes of scores computed at a time, so that they stay in a processor's cache; and queries, so that it pays."""
_SHORT = 300
"""Positions below which torch's fused attention is faster than whole products head by head."""
_LARGEST_SCORE = 100.0
"""2^100 times 32,768 positions is within float32 and bfloat16, as is 2^-100."""


def choose_attention(device: torch.device, dtype: torch.dtype) -> Attention:
    """The fastest of this page for a device and dtype."""
    if device.type == "cpu":
        if dtype == torch.bfloat16:
            return OneByOne(all_heads_in_blocks)
        return OneByOne(head_by_head if has_onednn(device, dtype) else fused)
    if device.type == "cuda" and dtype in (torch.float16, torch.bfloat16) and _has_flash(device):
        return variable_length
    return padded


class OneByOne:
    """For a CPU: each protein by itself, so that nothing is computed on padding.

    Args:
        attend: (H, L, d) queries, keys and values of one protein to (H, L, d).
    """

    def __init__(self, attend: Callable[[Tensor, Tensor, Tensor], Tensor]) -> None:
        self.attend = attend

    def __call__(self, qkv: Tensor, lengths: Sequence[int]) -> Tensor:
        """(N, H d)."""
        out = qkv.new_empty(len(qkv), *qkv.shape[2:])
        for part, states in zip(torch.split(qkv, list(lengths)), torch.split(out, list(lengths)), strict=True):
            query, key, value = part.permute(1, 2, 0, 3).contiguous()
            states.copy_(self.attend(query, key, value).transpose(0, 1))
        return out.flatten(1)


def fused(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Torch's fused attention, which multiplies small tiles."""
    return functional.scaled_dot_product_attention(query[None], key[None], value[None], scale=_LN2)[0]


def head_by_head(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """float32 where oneDNN multiplies: for long proteins, larger products that stay in the cache."""
    key = key - key.mean(1, keepdim=True)
    if query.shape[1] < _SHORT or largest_score(query, key) > _LARGEST_SCORE:
        return fused(query, key, value)
    out, value = torch.empty_like(query), _with_ones(value).transpose(1, 2).contiguous()
    size = max(_FEWEST_ROWS, _CACHE // (4 * query.shape[1]))
    for head in range(len(query)):
        for rows, states in zip(torch.split(query[head], size), torch.split(out[head], size), strict=True):
            sums = onednn_product(onednn_product(rows, key[head]).exp2_(), value[head])
            torch.div(sums[:, :-1], sums[:, -1:], out=states)
    return out


def all_heads_in_blocks(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """bfloat16, in which torch's fused attention does not multiply."""
    key = key - key.mean(1, keepdim=True)
    if largest_score(query, key) > _LARGEST_SCORE:
        return fused(query, key, value)
    out, key, value = torch.empty_like(query), key.transpose(1, 2), _with_ones(value)
    size = max(_FEWEST_ROWS, _CACHE // (2 * len(query) * query.shape[1]))
    for rows, states in zip(torch.split(query, size, 1), torch.split(out, size, 1), strict=True):
        sums = torch.bmm(torch.bmm(rows, key).exp2_(), value)
        torch.div(sums[..., :-1], sums[..., -1:], out=states)
    return out


def largest_score(query: Tensor, key: Tensor) -> float:
    """A bound on every score of a protein, by Cauchy and Schwarz.

    Softmax subtracts the largest score of each row so that no power overflows. Below :data:`_LARGEST_SCORE` none does,
    and the pass over the scores is saved. Subtracting the mean key, which changes every score of a row by the same
    and so leaves the attention as it is, makes the bound small enough for ESM-2.
    """
    lengths = [torch.linalg.vector_norm(vectors, dim=2, dtype=torch.float32).amax(1) for vectors in (query, key)]
    return float((lengths[0] * lengths[1]).max())


def _with_ones(value: Tensor) -> Tensor:
    """A last dimension of ones: its weighted sum is what the others are divided by."""
    return torch.cat([value, torch.ones_like(value[..., :1])], -1)


def padded(qkv: Tensor, lengths: Sequence[int]) -> Tensor:
    """For any device: proteins side by side, filled up to the longest and masked; good where lengths are similar."""
    query, key, value = (
        pad_sequence(list(torch.split(part, list(lengths))), batch_first=True).transpose(1, 2) for part in qkv.unbind(1)
    )  # (B, H, S, d) each
    inside = torch.arange(query.shape[2], device=qkv.device) < torch.tensor(lengths, device=qkv.device)[:, None]
    mask = None if min(lengths) == max(lengths) else inside[:, None, None]
    states = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=_LN2)
    return states.transpose(1, 2)[inside].flatten(1)


def variable_length(qkv: Tensor, lengths: Sequence[int]) -> Tensor:
    """For an NVIDIA GPU in half precision: FlashAttention over the packed proteins (Dao 2024, arXiv 2307.08691)."""
    from torch.nn.attention.varlen import varlen_attn

    border = torch.tensor([0, *lengths], device=qkv.device).cumsum(0).to(torch.int32)
    query, key, value = qkv.unbind(1)
    states = varlen_attn(query, key, value, border, border, max(lengths), max(lengths), scale=_LN2)
    return states.flatten(1)  # type: ignore[union-attr]


def _has_flash(device: torch.device) -> bool:
    """Tried on two positions, as it depends on the card and on how torch was built."""
    try:
        variable_length(torch.ones(3, 3, 1, 16, dtype=torch.float16, device=device), [1, 2])
    except (ImportError, RuntimeError):
        return False
    return True
