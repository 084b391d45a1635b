"""AMPS: attention over the ten segments of both proteins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from esm2_amp.errors import InputError
from esm2_amp.layout import SEGMENTS, TokenLayout
from esm2_amp.models.blocks import TransformerEncoder, mlp
from esm2_amp.models.network import Hyperparameters, PairNetwork


@dataclass(frozen=True)
class AMPSHyper(Hyperparameters):
    """Hyperparameters of AMPS and AMP_CSE."""

    layers: int
    heads: int
    dropout: float
    feedforward: int
    hidden1: int
    hidden2: int

    def __post_init__(self) -> None:
        super().__post_init__()
        self.positive(
            layers=self.layers,
            heads=self.heads,
            feedforward=self.feedforward,
            hidden1=self.hidden1,
            hidden2=self.hidden2,
        )
        self.rate(dropout=self.dropout)


class AMPS(PairNetwork):
    """logit = MLP(mean over tokens(TransformerEncoder([A_segment0..9, B_segment0..9]))).

    Six pre-norm layers of eight heads, dropout 0.3, feed-forward 2048, head D-640-240-1 with ReLU and He
    initialisation at the published D = 1280. There is no position or chain encoding, so the logit does not depend on
    the order of the twenty tokens and A, B = B, A by construction.

    Source: Sun et al. 2025 (doi 10.1093/bib/bbaf434), ESM2_AMPS.
    """

    layout: ClassVar[TokenLayout] = SEGMENTS
    Hyper = AMPSHyper
    hyper: AMPSHyper

    def __init__(self, width: int, hyper: AMPSHyper) -> None:
        super().__init__(width, hyper)
        if width % hyper.heads:
            raise InputError(
                f"model.network.heads is {hyper.heads}, which does not divide the feature width {width}",
                remedy="Choose a divisor of the width.",
            )
        feedforward = hyper.size(hyper.feedforward, width)
        self.encoder = TransformerEncoder(width, hyper.layers, hyper.heads, feedforward, hyper.dropout)
        self.head = mlp((width, hyper.size(hyper.hidden1, width), hyper.size(hyper.hidden2, width), 1), norm=False)

    def logit(self, a: Tensor, b: Tensor, weights: list[Tensor] | None = None) -> Tensor:
        """Logits (B,); attention weights of each layer, (B, heads, 2T, 2T), are appended to ``weights`` if given."""
        encoded = self.encoder(torch.cat((a, b), dim=1), weights)
        return self.head(encoded.mean(dim=1)).squeeze(-1)
