"""GRU: a recurrent network over the ten segments of both proteins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from esm2_amp.layout import SEGMENTS, TokenLayout
from esm2_amp.models.blocks import mlp
from esm2_amp.models.network import Hyperparameters, PairNetwork


@dataclass(frozen=True)
class GRUHyper(Hyperparameters):
    """Number of recurrent layers, and hidden sizes of the head."""

    layers: int
    hidden1: int
    hidden2: int

    def __post_init__(self) -> None:
        super().__post_init__()
        self.positive(layers=self.layers, hidden1=self.hidden1, hidden2=self.hidden2)


class GRU(PairNetwork):
    """logit = (f([A, B]) + f([B, A])) / 2, f(x) = MLP(mean over tokens(GRU(x))) on [segment0..9, segment0..9].

    Six unidirectional layers of the feature width; input weights He-initialised, recurrent weights orthogonal, biases
    zero. The published network is f alone and depends on the order of the proteins; the mean of both does not.

    Source: Sun et al. 2025 (doi 10.1093/bib/bbaf434), ESM2_GRU.
    """

    layout: ClassVar[TokenLayout] = SEGMENTS
    Hyper = GRUHyper

    def __init__(self, width: int, hyper: GRUHyper) -> None:
        super().__init__(width, hyper)
        self.gru = nn.GRU(width, width, num_layers=hyper.layers, batch_first=True)
        for name, parameter in self.gru.named_parameters():
            if "weight_ih" in name:
                nn.init.kaiming_normal_(parameter, mode="fan_in", nonlinearity="relu")
            elif "weight_hh" in name:
                nn.init.orthogonal_(parameter)
            else:
                nn.init.zeros_(parameter)
        self.head = mlp((width, hyper.size(hyper.hidden1, width), hyper.size(hyper.hidden2, width), 1), norm=False)

    def logit(self, a: Tensor, b: Tensor) -> Tensor:
        """Logits (B,)."""
        both_orders = torch.cat((torch.cat((a, b), dim=1), torch.cat((b, a), dim=1)))
        states, _ = self.gru(both_orders)
        return self.head(states.mean(dim=1)).squeeze(-1).unflatten(0, (2, -1)).mean(dim=0)
