"""DPM over many pairs: its first linear layer once a protein and place, so that one matrix product a pair remains."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from esm2_amp.models.dpm import DPM
from esm2_amp.screening.dense import Dense, linear_layers
from esm2_amp.screening.scorer import Prepared, Scorer, pairs_at_once

_FLAT = 1e-20
"""A norm's weight below which its dimension is constant: what varies is lost beside any other number."""


class DPMScorer(Scorer):
    """W [a, b] + bias = u_a + w_b, with u = W_left x and w = W_right x + bias once a protein.

    The mean that LayerNorm takes off is a sum of both proteins' means, so u and w are centred beforehand. Its weight g
    moves into the next layer, relu(g x + h) = |g| relu(sign(g) x + h / |g|), and the signs into u and w. Per pair and
    order: a sum, its length, relu(sum / deviation + h / |g|), and the layers behind.
    """

    network: DPM

    def __init__(self, network: DPM, device: torch.device, dtype: torch.dtype = torch.float32) -> None:
        super().__init__(network, device, dtype)
        first, second, *others = linear_layers(network.mlp)
        norm, *norms = (part for part in network.mlp if isinstance(part, nn.LayerNorm))
        size, sign = norm.weight.abs(), torch.where(norm.weight < 0, -1.0, 1.0)
        varies = size > _FLAT
        self.eps, self.offset = norm.eps, torch.where(varies, norm.bias / size.clamp_min(_FLAT), 0.0).detach()
        constant = second.weight @ torch.where(varies, 0.0, norm.bias.relu())
        self.second = Dense(second.weight * torch.where(varies, size, 0.0), second.bias + constant, dtype)
        left, right = (_centred(part) * sign[:, None] for part in first.weight.chunk(2, dim=1))
        bias = _centred(first.bias) * sign
        self.first = Dense(torch.cat((left, right)), torch.cat((torch.zeros_like(bias), bias)), torch.float32)
        self.tail = [(norm, Dense.of(linear, torch.float32)) for norm, linear in zip(norms, others, strict=True)]
        self.chunk = pairs_at_once(device, 2, 2 * len(size))

    def prepare(self, tokens: Tensor) -> Prepared:
        """The parts u and w of the first layer, (n, hidden1) each."""
        x = self.network.standardise(tokens.to(self.device)).squeeze(1)
        u, w = self.first(x).chunk(2, dim=-1)
        return u.contiguous(), w.contiguous()

    def logits(self, a: Prepared, b: Prepared) -> Tensor:
        """Logits of pairs, see :meth:`Scorer.logits`."""
        (u_a, w_a), (u_b, w_b) = a, b
        hidden = u_a.new_empty(2, *np.broadcast_shapes(u_a.shape, u_b.shape))
        torch.add(u_a, w_b, out=hidden[0])
        torch.add(u_b, w_a, out=hidden[1])
        return self.perceptron(hidden).mean(dim=0)

    def perceptron(self, hidden: Tensor) -> Tensor:
        """(..., hidden1) to (...): from what LayerNorm has centred to the logit of one order; overwrites its input."""
        width = hidden.shape[-1]
        variance = torch.linalg.vector_norm(hidden, dim=-1, keepdim=True).square_().div_(width)
        hidden = torch.addcmul(self.offset, hidden, variance.add_(self.eps).rsqrt_(), out=hidden).relu_()
        x = self.second(hidden.to(self.dtype)).float()
        for norm, linear in self.tail:
            x = linear(functional.layer_norm(x, x.shape[-1:], norm.weight, norm.bias, norm.eps).relu_())
        return x.squeeze(-1)


def _centred(part: Tensor) -> Tensor:
    """Without its mean over the outputs (their first dimension), by double precision: large means cost no digits."""
    exact = part.double()
    return (exact - exact.mean(dim=0)).float()
