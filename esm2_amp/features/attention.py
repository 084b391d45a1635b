"""Self-attention of proteins that lie packed one behind another: nobody attends across a border.

Every function takes ``qkv`` (N, 3, H, d), N the positions of all proteins, H heads of d dimensions, the queries scaled
already, and ``lengths``, the positions of each protein; it returns (N, H d).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence

from esm2_amp.features.linear import has_onednn, onednn_product

Attention = Callable[[Tensor, Sequence[int]], Tensor]

_CACHE = 1 << 20
"""Bytes of scores computed at a time: about a processor's own cache."""
_SHORT = 256
"""Positions below which torch's fused attention is faster than whole products head by head."""


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
    return functional.scaled_dot_product_attention(query[None], key[None], value[None], scale=1.0)[0]


def head_by_head(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """float32 where oneDNN multiplies: larger products that stay in the cache.

    This pays for long proteins, and not for heads of fewer than 32 dimensions: they are all softmax.
    """
    if query.shape[1] < _SHORT or query.shape[2] < 32:
        return fused(query, key, value)
    out, value = torch.empty_like(query), value.transpose(1, 2).contiguous()
    size = max(_SHORT, _CACHE // (4 * query.shape[1]))
    for head in range(len(query)):
        for rows, states in zip(torch.split(query[head], size), torch.split(out[head], size), strict=True):
            scores = onednn_product(rows, key[head])
            states.copy_(onednn_product(torch.softmax(scores, -1, out=scores), value[head]))
    return out


def all_heads_in_blocks(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """bfloat16: torch's fused attention would multiply in float32."""
    out, key = torch.empty_like(query), key.transpose(1, 2)
    size = max(16, _CACHE // (2 * len(query) * query.shape[1]))
    for rows, states in zip(torch.split(query, size, 1), torch.split(out, size, 1), strict=True):
        scores = torch.bmm(rows, key)
        states.copy_(torch.bmm(torch.softmax(scores, -1, out=scores), value))
    return out


def padded(qkv: Tensor, lengths: Sequence[int]) -> Tensor:
    """For any device: proteins side by side, filled up to the longest and masked; good where lengths are similar."""
    query, key, value = (
        pad_sequence(list(torch.split(part, list(lengths))), batch_first=True).transpose(1, 2) for part in qkv.unbind(1)
    )  # (B, H, S, d) each
    inside = torch.arange(query.shape[2], device=qkv.device) < torch.tensor(lengths, device=qkv.device)[:, None]
    mask = None if min(lengths) == max(lengths) else inside[:, None, None]
    states = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=1.0)
    return states.transpose(1, 2)[inside].flatten(1)


def variable_length(qkv: Tensor, lengths: Sequence[int]) -> Tensor:
    """For an NVIDIA GPU in half precision: FlashAttention over the packed proteins (Dao 2024, arXiv 2307.08691)."""
    from torch.nn.attention.varlen import varlen_attn

    border = torch.tensor([0, *lengths], device=qkv.device).cumsum(0).to(torch.int32)
    query, key, value = qkv.unbind(1)
    states = varlen_attn(query, key, value, border, border, max(lengths), max(lengths), scale=1.0)
    return states.flatten(1)  # type: ignore[union-attr]


def _has_flash(device: torch.device) -> bool:
    """Tried on two positions, as it depends on the card and on how torch was built."""
    try:
        variable_length(torch.ones(3, 3, 1, 16, dtype=torch.float16, device=device), [1, 2])
    except (ImportError, RuntimeError):
        return False
    return True
