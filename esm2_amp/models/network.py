"""What every network is: two proteins' tokens in, one logit out, the same in both orders."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from esm2_amp.errors import InputError
from esm2_amp.layout import TokenLayout
from esm2_amp.models.blocks import Standardise


@dataclass(frozen=True)
class Hyperparameters:
    """Base of a network's hyperparameters: a frozen dataclass of plain numbers, checked when it is made.

    Layer sizes are meant for features of width ``scale_from`` (the published 1280) and scaled in proportion to the
    width at hand; with ``scale_from=None`` they are taken as they are.
    """

    scale_from: int | None

    def __post_init__(self) -> None:
        if self.scale_from is not None:
            self.positive(scale_from=self.scale_from)

    def size(self, published: int, width: int) -> int:
        """A layer's size at feature width ``width``, at least 1."""
        return published if self.scale_from is None else max(1, round(published * width / self.scale_from))

    def positive(self, **values: float) -> None:
        """Refuse values below or equal to zero by name."""
        for name, value in values.items():
            if value <= 0:
                raise InputError(f"model.network.{name} is {value}", remedy="Give a number above zero.")

    def rate(self, **values: float) -> None:
        """Refuse dropout rates outside 0..1 by name."""
        for name, value in values.items():
            if not 0 <= value < 1:
                raise InputError(f"model.network.{name} is {value}", remedy="Give a rate from 0 to below 1.")


class PairNetwork(nn.Module):
    """Base of the networks: standardises both proteins, then ``logit``.

    A subclass names its token ``layout`` and its ``Hyper`` class, and defines :meth:`logit`, which must satisfy
    ``logit(a, b) == logit(b, a)``.

    Args:
        width: D, dimensions of a token.
        hyper: the hyperparameters.
    """

    layout: ClassVar[TokenLayout]
    Hyper: ClassVar[type[Hyperparameters]]

    def __init__(self, width: int, hyper: Hyperparameters) -> None:
        super().__init__()
        self.width, self.hyper = width, hyper
        self.standardise = Standardise(len(self.layout), width)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Logits (B,) of pairs whose proteins have the tokens ``a`` and ``b``, (B, T, D) each."""
        return self.logit(self.standardise(a), self.standardise(b))

    def fit_inputs(self, batches: Callable[[], Iterable[Tensor]]) -> None:
        """Fit what a network takes from the training proteins without labels, after standardisation; most take nothing.

        Args:
            batches: gives the standardised tokens of all training proteins, (n, T, D) a batch, as often as called.
        """

    def training_logits(self, a: Tensor, b: Tensor) -> Tensor:
        """Logits (B,) or (B, members) to learn from, where members of a network learn each by itself."""
        logits: Tensor = self(a, b)
        return logits

    def logit(self, a: Tensor, b: Tensor) -> Tensor:
        """Logits (B,) from standardised tokens (B, T, D)."""
        raise TypeError(f"{type(self).__name__} defines no logit")
