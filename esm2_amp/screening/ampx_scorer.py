"""AMPX over many pairs: components and protein towers once a protein, one matrix product a pair and view."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from esm2_amp.models.ampx import AMPX, View, protein_statistics
from esm2_amp.screening.dense import Dense, linear_layers
from esm2_amp.screening.scorer import Prepared, Scorer, pairs_at_once


class AMPXScorer(Scorer):
    """The pair's first layer on [u * w, u + w, |u - w|]: with |u - w| = 2 max(u, w) - (u + w) the sums are a protein's.

    Once a protein and view: u, and (W_sum - W_difference) u + bias / 2. Per pair: W_product (u * w) + 2 W_difference
    max(u, w), the two proteins' parts, and the layers behind.
    """

    network: AMPX

    def __init__(self, network: AMPX, device: torch.device, dtype: torch.dtype = torch.float32) -> None:
        super().__init__(network, device, dtype)
        self.alone, self.joint, self.last = [], [], []
        self.towers = [view for view in network.views if isinstance(view, View)]
        for view in self.towers:
            first, second = linear_layers(view.pair)
            product, total, difference = first.weight.chunk(3, dim=1)
            self.alone.append(Dense(total - difference, first.bias / 2, torch.float32))
            self.joint.append(Dense(torch.cat((product, 2 * difference), dim=1), None, dtype))
            self.last.append(Dense.of(second, torch.float32))
        self.chunk = pairs_at_once(device, 1, 2 * self.joint[0].weight.shape[1])

    def prepare(self, tokens: Tensor) -> Prepared:
        """Towers (n, views, hidden1), and each protein's part of the pair's first layer (n, views, hidden2)."""
        x = self.network.components(protein_statistics(self.network.standardise(tokens.to(self.device))))
        towers = [view.protein(x[:, : view.components]) for view in self.towers]
        parts = [alone(u) for alone, u in zip(self.alone, towers, strict=True)]
        return torch.stack(towers, dim=1).to(self.dtype), torch.stack(parts, dim=1)

    def logits(self, a: Prepared, b: Prepared) -> Tensor:
        """Logits of pairs, see :meth:`Scorer.logits`."""
        (u, part_a), (w, part_b) = a, b
        views = [
            self._view(i, u[..., i, :], w[..., i, :], part_a[..., i, :], part_b[..., i, :])
            for i in range(len(self.joint))
        ]
        return torch.stack(views).mean(dim=0)

    def _view(self, i: int, u: Tensor, w: Tensor, part_a: Tensor, part_b: Tensor) -> Tensor:
        width = u.shape[-1]
        both = u.new_empty(*np.broadcast_shapes(u.shape[:-1], w.shape[:-1]), 2 * width)
        torch.mul(u, w, out=both[..., :width])
        torch.maximum(u, w, out=both[..., width:])
        hidden = self.joint[i](both).float()
        return self.last[i](functional.gelu(hidden.add_(part_a).add_(part_b))).squeeze(-1)
