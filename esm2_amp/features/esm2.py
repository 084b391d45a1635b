"""ESM-2's forward pass for inference, over proteins packed one behind another without padding.

    h = E[tokens];  h += W_o attention(rotate(W_qkv LN(h)));  h += W_2 gelu(W_1 LN(h));  states = LN(h)

(Lin et al. 2023, doi 10.1126/science.ade2574; rotary positions: Su et al. 2021, arXiv 2104.09864.) Weights come from
transformers' ``EsmModel``; what is constant is multiplied into them once. The sum h stays float32 in every precision.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from esm2_amp.features.attention import QUERY_SCALE, choose_attention
from esm2_amp.features.linear import linear

MASK_RATE = 0.15 * 0.8
"""Share of ``<mask>`` in ESM-2's training; without any, its token dropout scales embeddings by 1 - MASK_RATE."""


class Norm:
    """Layer norm of float32 rows, handed on in the dtype of the computation."""

    def __init__(self, norm: torch.nn.LayerNorm, device: torch.device, dtype: torch.dtype) -> None:
        self.weight, self.bias, self.eps = norm.weight.float().to(device), norm.bias.float().to(device), norm.eps
        self.dtype = dtype

    def __call__(self, x: Tensor) -> Tensor:
        """(N, D)."""
        return functional.layer_norm(x, self.weight.shape, self.weight, self.bias, self.eps).to(self.dtype)


class Layer:
    """One Transformer layer of ``EsmModel``."""

    def __init__(self, layer: Any, heads: int, device: torch.device, dtype: torch.dtype) -> None:
        attention, this = layer.attention, layer.attention.self

        def prepared(*tensors: Tensor) -> tuple[Tensor, ...]:
            return tuple(tensor.to(device, dtype) for tensor in tensors)

        width = this.query.weight.shape[1]
        scale = QUERY_SCALE * (width // heads) ** -0.5
        query = [_interleave(part.float() * scale, heads) for part in (this.query.weight, this.query.bias)]
        key = [_interleave(part.float(), heads) for part in (this.key.weight, this.key.bias)]
        value = [this.value.weight.float(), this.value.bias.float()]
        self.before_attention = Norm(attention.LayerNorm, device, dtype)
        self.qkv = linear(*prepared(*(torch.cat(parts) for parts in zip(query, key, value, strict=True))))
        self.out = linear(*prepared(attention.output.dense.weight, attention.output.dense.bias))
        self.before_feedforward = Norm(layer.LayerNorm, device, dtype)
        self.up = linear(*prepared(layer.intermediate.dense.weight, layer.intermediate.dense.bias))
        self.down = linear(*prepared(layer.output.dense.weight, layer.output.dense.bias))


class PackedEsm2:
    """An ESM-2 ready for inference; takes ``model`` apart, which is of no use afterwards.

    Args:
        model: an ``EsmModel``, float32, on the CPU.
        device: where to compute.
        dtype: of weights and products.
    """

    def __init__(self, model: Any, device: torch.device, dtype: torch.dtype) -> None:
        config, embeddings = model.config, model.embeddings
        self.heads, self.dtype = int(config.num_attention_heads), dtype
        scale = 1 - MASK_RATE if config.token_dropout else 1.0
        self.embedding = (embeddings.word_embeddings.weight.float() * scale).to(device)
        first = embeddings.layer_norm
        self.after_embedding = None if first is None else Norm(first, device, torch.float32)
        # as loaded: recomputed frequencies would differ from those the model was trained with
        self.frequencies = model.rotary_embeddings.inv_freq.float().to(device)
        self.layers = []
        while len(model.encoder.layer):  # one at a time: never two copies of a large model
            self.layers.append(Layer(model.encoder.layer.pop(0), self.heads, device, dtype))
        self.last = Norm(model.encoder.emb_layer_norm_after, device, torch.float32)
        self.attention = choose_attention(device, dtype)

    @torch.inference_mode()
    def __call__(self, tokens: Tensor, lengths: Sequence[int]) -> Tensor:
        """Last hidden states.

        Args:
            tokens: (N,) token numbers on the device, protein behind protein, none of them ``<mask>`` or padding.
            lengths: tokens of each protein; sums to N.

        Returns:
            (N, D) float32.
        """
        hidden = self.embedding[tokens]
        if self.after_embedding is not None:
            hidden = self.after_embedding(hidden)
        angles = self._angles(lengths)
        for layer in self.layers:
            qkv = layer.qkv(layer.before_attention(hidden)).view(len(tokens), 3, self.heads, -1)
            rotate(qkv[:, :2], angles)
            hidden = layer.out.add(self.attention(qkv, lengths), hidden)
            hidden = layer.down.add(layer.up.gelu(layer.before_feedforward(hidden)), hidden)
        return self.last(hidden)

    def _angles(self, lengths: Sequence[int]) -> Tensor:
        """Cos + i sin of position times frequency; (N, 1, 1, d / 2) complex64."""
        longest = torch.arange(max(lengths), device=self.frequencies.device, dtype=torch.float32)
        table = torch.outer(longest, self.frequencies)
        table = torch.polar(torch.ones_like(table), table)
        return torch.cat([table[:length] for length in lengths])[:, None, None]


def rotate(vectors: Tensor, angles: Tensor) -> None:
    """Turn pairs of neighbouring dimensions by their angles, in place and in float32.

    Args:
        vectors: (N, 2, H, d), from weights prepared by :func:`_interleave`.
        angles: (N, 1, 1, d / 2) complex.
    """
    pairs = torch.view_as_complex(vectors.float().view(*vectors.shape[:-1], -1, 2))
    pairs.mul_(angles)
    if vectors.dtype != torch.float32:
        vectors.copy_(torch.view_as_real(pairs).flatten(-2))


def _interleave(rows: Tensor, heads: int) -> Tensor:
    """Reorder the outputs of each head, so that dimensions i and i + d / 2, turned together, become neighbours.

    Queries and keys are reordered alike, which leaves their products as they are.
    """
    return rows.view(heads, 2, -1, *rows.shape[1:]).transpose(1, 2).reshape(rows.shape)
