"""AMPX: perceptrons on principal components of each protein's tokens, several views averaged."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from esm2_amp.errors import InputError
from esm2_amp.layout import ALL_TOKENS, SEGMENT_NAMES, TokenLayout
from esm2_amp.models.components import PrincipalComponents
from esm2_amp.models.network import Hyperparameters, PairNetwork

_SEGMENTS = [i for i, name in enumerate(ALL_TOKENS) if name in SEGMENT_NAMES]
_WHOLE = [i for i, name in enumerate(ALL_TOKENS) if name not in SEGMENT_NAMES]
_TINY = 1e-37
"""Below any variance that matters; the gradient of a root is infinite at 0, where all segments of a protein agree."""


@dataclass(frozen=True)
class AMPXHyper(Hyperparameters):
    """Hyperparameters of AMPX."""

    views: int
    components: int
    whitening: float
    input_dropout: float
    dropout: float
    hidden1: int
    hidden2: int

    def __post_init__(self) -> None:
        super().__post_init__()
        self.positive(views=self.views, components=self.components, hidden1=self.hidden1, hidden2=self.hidden2)
        self.rate(input_dropout=self.input_dropout, dropout=self.dropout)
        if not 0 <= self.whitening <= 1:
            raise InputError(f"model.network.whitening is {self.whitening}", remedy="Give a number from 0 to 1.")
        if self.components >> (self.views - 1) == 0:
            raise InputError(
                f"model.network.views is {self.views}: halved so often, {self.components} components leave none",
                remedy="Give fewer views or more model.network.components.",
            )


class AMPX(PairNetwork):
    """logit = mean over views v of MLP_v([u * w, u + w, |u - w|]), u = f_v(x_A) and w = f_v(x_B), f_v shared by both.

    x: the first K / 2^v principal components, partly whitened, of a protein's cls, mean and eos tokens and of the
    deviation, the largest and the smallest value over its ten segments. f: dropout, Linear, GELU, LayerNorm, dropout.
    Each view learns from its own loss. A, B = B, A by construction. What the parts are worth on proteins never seen:
    benchmarks/ampx_ablation.py.

    Source: this project; the symmetric pair features are those of InferSent (Conneau et al. 2017, arXiv 1705.02364).
    """

    layout: ClassVar[TokenLayout] = ALL_TOKENS
    Hyper = AMPXHyper
    hyper: AMPXHyper

    def __init__(self, width: int, hyper: AMPXHyper) -> None:
        super().__init__(width, hyper)
        self.components = PrincipalComponents((len(_WHOLE) + 3) * width, hyper.components)
        sizes = (hyper.size(hyper.hidden1, width), hyper.size(hyper.hidden2, width))
        self.views = nn.ModuleList(
            View(hyper.components >> view, *sizes, hyper.input_dropout, hyper.dropout) for view in range(hyper.views)
        )

    def fit_inputs(self, batches: Callable[[], Iterable[Tensor]]) -> None:
        """Find the principal components of the training proteins."""
        self.components.fit(lambda: map(protein_statistics, batches()), self.hyper.whitening)

    def logit(self, a: Tensor, b: Tensor) -> Tensor:
        """Logits (B,)."""
        return self._view_logits(a, b).mean(dim=1)

    def training_logits(self, a: Tensor, b: Tensor) -> Tensor:
        """Logits (B, views): each view learns by itself."""
        return self._view_logits(self.standardise(a), self.standardise(b))

    def _view_logits(self, a: Tensor, b: Tensor) -> Tensor:
        x, y = self.components(protein_statistics(a)), self.components(protein_statistics(b))
        return torch.stack([view(x, y) for view in self.views], dim=1)


class View(nn.Module):
    """One perceptron on the first ``components``."""

    def __init__(self, components: int, hidden1: int, hidden2: int, input_dropout: float, dropout: float) -> None:
        super().__init__()
        self.components = components
        self.protein = nn.Sequential(
            nn.Dropout(input_dropout), nn.Linear(components, hidden1), nn.GELU(), nn.LayerNorm(hidden1),
            nn.Dropout(dropout),
        )  # fmt: skip
        self.pair = nn.Sequential(
            nn.Linear(3 * hidden1, hidden2), nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden2, 1)
        )

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Logits (B,) of components (B, K)."""
        u, w = self.protein(x[:, : self.components]), self.protein(y[:, : self.components])
        logit: Tensor = self.pair(torch.cat((u * w, u + w, (u - w).abs()), dim=-1)).squeeze(-1)
        return logit


def protein_statistics(tokens: Tensor) -> Tensor:
    """(B, 13, D) to (B, 6 D): cls, eos, mean; deviation, largest and smallest over the segments."""
    segments = tokens[:, _SEGMENTS]
    # torch's own std over a middle dimension is several times slower
    variance = (segments - segments.mean(dim=1, keepdim=True)).square().mean(dim=1)
    deviation = variance.clamp_min(_TINY).sqrt()
    return torch.cat((tokens[:, _WHOLE].flatten(1), deviation, segments.amax(dim=1), segments.amin(dim=1)), dim=1)
