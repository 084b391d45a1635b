"""DPM: a multilayer perceptron on the mean vectors of both proteins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from esm2_amp.layout import MEAN, TokenLayout
from esm2_amp.models.blocks import mlp
from esm2_amp.models.network import Hyperparameters, PairNetwork


@dataclass(frozen=True)
class DPMHyper(Hyperparameters):
    """Hidden sizes of DPM."""

    hidden1: int
    hidden2: int
    hidden3: int

    def __post_init__(self) -> None:
        super().__post_init__()
        self.positive(hidden1=self.hidden1, hidden2=self.hidden2, hidden3=self.hidden3)


class DPM(PairNetwork):
    """logit = (f([A_mean, B_mean]) + f([B_mean, A_mean])) / 2, with f an MLP 2D-1280-480-100-1 at D = 1280.

    LayerNorm and ReLU behind each hidden layer, He initialisation. The published network is f alone and depends on
    the order of the proteins; the mean of both orders does not.

    Source: Sun et al. 2025 (doi 10.1093/bib/bbaf434), ESM2_DPM.
    """

    layout: ClassVar[TokenLayout] = MEAN
    Hyper = DPMHyper

    def __init__(self, width: int, hyper: DPMHyper) -> None:
        super().__init__(width, hyper)
        hidden = (hyper.size(size, width) for size in (hyper.hidden1, hyper.hidden2, hyper.hidden3))
        self.mlp = mlp((2 * width, *hidden, 1), norm=True)

    def logit(self, a: Tensor, b: Tensor) -> Tensor:
        """Logits (B,)."""
        a, b = a.squeeze(1), b.squeeze(1)
        both = self.mlp(torch.cat((torch.cat((a, b), dim=-1), torch.cat((b, a), dim=-1))))
        return both.squeeze(-1).unflatten(0, (2, -1)).mean(dim=0)
