"""Parts that several networks share: the Transformer encoder, the classifier head, input standardisation."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional


class SelfAttention(nn.Module):
    """Multi-head self-attention, softmax(Q K^T / sqrt(d)) V, without positions or masks.

    Fused where nobody asks for the weights. With a list in ``weights`` they are computed explicitly and appended to
    it, (B, heads, T, T): torch's own layer hides them behind its fast path without a word.
    """

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.project_in = nn.Linear(width, 3 * width)
        self.project_out = nn.Linear(width, width)
        nn.init.xavier_uniform_(self.project_in.weight)
        nn.init.zeros_(self.project_in.bias)
        nn.init.zeros_(self.project_out.bias)

    def forward(self, x: Tensor, weights: list[Tensor] | None = None) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        q, k, v = self.project_in(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)  # each (B, H, T, D/H)
        rate = self.dropout if self.training else 0.0
        if weights is None:
            mixed = functional.scaled_dot_product_attention(q, k, v, dropout_p=rate)
        else:
            attention = (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).softmax(-1)
            weights.append(attention)
            mixed = functional.dropout(attention, rate) @ v
        return self.project_out(mixed.transpose(1, 2).flatten(2))


class EncoderLayer(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x)): the pre-norm Transformer layer as torch initialises it."""

    def __init__(self, width: int, heads: int, feedforward: int, dropout: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = SelfAttention(width, heads, dropout)
        self.norm2 = nn.LayerNorm(width)
        self.expand = nn.Linear(width, feedforward)
        self.contract = nn.Linear(feedforward, width)
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor, weights: list[Tensor] | None = None) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        x = x + self.drop(self.attention(self.norm1(x), weights))
        hidden = self.drop(functional.relu(self.expand(self.norm2(x))))
        return x + self.drop(self.contract(hidden))


class TransformerEncoder(nn.Module):
    """Encoder layers one after another, each with fresh weights of its own, and no norm behind the last."""

    def __init__(self, width: int, layers: int, heads: int, feedforward: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList(EncoderLayer(width, heads, feedforward, dropout) for _ in range(layers))

    def forward(self, x: Tensor, weights: list[Tensor] | None = None) -> Tensor:
        """(B, T, D) to (B, T, D); see :class:`SelfAttention` for ``weights``."""
        for layer in self.layers:
            x = layer(x, weights)
        return x


def mlp(sizes: tuple[int, ...], *, norm: bool) -> nn.Sequential:
    """Linear layers with ReLU (and LayerNorm before it) between them, He-initialised (He et al. 2015)."""
    parts: list[nn.Module] = []
    for i, (fan_in, fan_out) in enumerate(pairwise(sizes)):
        linear = nn.Linear(fan_in, fan_out)
        nn.init.kaiming_normal_(linear.weight, mode="fan_in", nonlinearity="relu")
        if not norm:  # the published DPM, the one with norms, keeps torch's initial biases
            nn.init.zeros_(linear.bias)
        parts.append(linear)
        if i < len(sizes) - 2:
            parts += [nn.LayerNorm(fan_out), nn.ReLU()] if norm else [nn.ReLU()]
    return nn.Sequential(*parts)


class Standardise(nn.Module):
    """(x - mean) / std for each token and dimension over the training proteins; the identity until fitted."""

    mean: Tensor
    std: Tensor

    def __init__(self, tokens: int, width: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(tokens, width))
        self.register_buffer("std", torch.ones(tokens, width))

    def fit(self, mean: Tensor, std: Tensor) -> None:
        """Set both (T, D); a dimension that does not vary is only centred."""
        self.mean.copy_(mean)
        self.std.copy_(torch.where(std > 1e-6, std, torch.ones_like(std)))

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        return (x - self.mean) / self.std

    def distance(self, x: Tensor) -> Tensor:
        """How far proteins with the tokens (B, T, D) are from the training proteins, (B,).

        Root mean square of the standardised values: 1 on average (quadratic mean) over the training proteins.
        """
        return self(x).square().mean(dim=(1, 2)).sqrt()
