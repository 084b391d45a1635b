"""AMPS and AMP_CSE over many pairs: the first layer's norm and projections once a protein, lean layers after that."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from esm2_amp.models.amps import AMPS
from esm2_amp.models.blocks import EncoderLayer
from esm2_amp.screening.dense import Dense, apply_head, head
from esm2_amp.screening.scorer import Prepared, Scorer, pairs_at_once


class _Layer:
    """An encoder layer without what evaluation does not need; the queries are scaled in their weights."""

    def __init__(self, layer: EncoderLayer, dtype: torch.dtype) -> None:
        self.layer, self.heads, self.dtype = layer, layer.attention.heads, dtype
        project = layer.attention.project_in
        width = project.in_features
        scale = torch.ones(3 * width, device=project.weight.device)
        scale[:width] = (width // self.heads) ** -0.5
        self.project_in = Dense(project.weight * scale[:, None], project.bias * scale, dtype)
        self.project_out = Dense.of(layer.attention.project_out, dtype)
        self.expand = Dense.of(layer.expand, dtype, relu=True)
        self.contract = Dense.of(layer.contract, dtype)

    def queries_keys_values(self, x: Tensor) -> Tensor:
        """(..., D) to (..., 3D)."""
        norm = self.layer.norm1
        return self.project_in(_normed(x, norm))

    def attend(self, x: Tensor, projected: Tensor) -> Tensor:
        """Tokens x (m, T, D) and their projections (m, T, 3D) to x + attention (m, T, D)."""
        pairs, tokens, width = x.shape
        parts = projected.view(pairs, tokens, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        q, k, v = (part.flatten(0, 1) for part in parts)  # copies: products of strided matrices are slower
        weights = torch.bmm(q, k.transpose(1, 2))
        mixed = torch.bmm(torch.softmax(weights, dim=-1), v)
        mixed = mixed.view(pairs, self.heads, tokens, -1).transpose(1, 2).reshape(pairs, tokens, width)
        return self.project_out.plus(mixed, x)

    def hidden(self, x: Tensor) -> Tensor:
        """(m, T, D) to (m, T, F): the feed-forward layer's inside."""
        return self.expand(_normed(x, self.layer.norm2))


class AMPSScorer(Scorer):
    """The network's own layers, of which the first projects once a protein and the last contracts once a pair.

    The mean over tokens and the last linear layer change places: mean(x + W h) = mean(x) + W mean(h).
    """

    network: AMPS

    def __init__(self, network: AMPS, device: torch.device, dtype: torch.dtype = torch.float32) -> None:
        super().__init__(network, device, dtype)
        layers = [layer for layer in network.encoder.layers if isinstance(layer, EncoderLayer)]
        self.layers = [_Layer(layer, dtype) for layer in layers]
        self.last = Dense.of(layers[-1].contract, torch.float32)
        self.head = head(network.head)
        rows = 2 * len(network.layout)
        self.chunk = pairs_at_once(device, rows, rows * max(3 * network.width, len(self.layers[0].expand.weight)))

    def prepare(self, tokens: Tensor) -> Prepared:
        """Standardised tokens (n, T, D), and the first layer's queries, keys and values (n, T, 3D)."""
        x = self.network.standardise(tokens.to(self.device)).to(self.dtype)
        return x, self.layers[0].queries_keys_values(x)

    def logits(self, a: Prepared, b: Prepared) -> Tensor:
        """Logits of pairs, see :meth:`Scorer.logits`."""
        x, projected = (side_by_side(one, other) for one, other in zip(a, b, strict=True))
        lead = np.broadcast_shapes(a[0].shape[:-2], b[0].shape[:-2])
        return self.encode(x, projected).view(lead)

    def encode(self, x: Tensor, projected: Tensor) -> Tensor:
        """Logits (m,) of pairs' tokens (m, 2T, D) with their first projections (m, 2T, 3D)."""
        for layer, following in pairwise(self.layers):
            x = layer.attend(x, projected)
            x = layer.contract.plus(layer.hidden(x), x)
            projected = following.queries_keys_values(x)
        last = self.layers[-1]
        x = last.attend(x, projected)
        mean = self.last.plus(last.hidden(x).float().mean(dim=1), x.float().mean(dim=1))
        return apply_head(self.head, mean)


def side_by_side(a: Tensor, b: Tensor) -> Tensor:
    """(..., T, F) and (..., T, F), broadcast, to (m, 2T, F)."""
    lead = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    return torch.cat([part.expand(*lead, *part.shape[-2:]) for part in (a, b)], dim=-2).flatten(0, -3)


def _normed(x: Tensor, norm: torch.nn.LayerNorm) -> Tensor:
    return functional.layer_norm(x, norm.normalized_shape, norm.weight.to(x.dtype), norm.bias.to(x.dtype), norm.eps)
