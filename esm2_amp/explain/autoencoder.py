"""The autoencoder that shortens tokens before a forest or a perceptron reads them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from esm2_amp.errors import InputError
from esm2_amp.features.store import FeatureStore
from esm2_amp.layout import TokenLayout
from esm2_amp.models.blocks import Standardise

FEWEST = 8
"""Proteins without which there is nothing to train on and nothing to hold out."""


@dataclass(frozen=True)
class AutoencoderSettings:
    """Sizes and training of an :class:`Autoencoder`.

    ``hidden`` and ``code`` are meant for tokens of width ``scale_from`` (published: 512, 256 and 150 at 1280) and
    scaled in proportion to the width at hand; with ``scale_from=None`` they are taken as they are. ``held_out`` is the
    share of proteins that decide when to stop, ``batch_size`` counts proteins.
    """

    hidden: tuple[int, ...]
    code: int
    scale_from: int | None
    epochs: int
    patience: int
    batch_size: int
    lr: float
    held_out: float

    def __post_init__(self) -> None:
        counts = {"code": self.code, "epochs": self.epochs, "patience": self.patience, "batch_size": self.batch_size}
        counts |= {f"hidden {i}": size for i, size in enumerate(self.hidden)}
        counts |= {} if self.scale_from is None else {"scale_from": self.scale_from}
        for name, value in counts.items():
            if value < 1:
                raise InputError(f"autoencoder {name} is {value}", remedy="Give 1 or more.")
        if not 0 < self.lr <= 1:
            raise InputError(f"autoencoder lr is {self.lr}", remedy="Give a learning rate above 0, at most 1.")
        if not 0 < self.held_out < 1:
            raise InputError(f"autoencoder held_out is {self.held_out}", remedy="Give a share between 0 and 1.")

    def sizes(self, width: int) -> tuple[int, ...]:
        """Hidden sizes and code size for tokens of this width, each at least 1."""
        sizes = (*self.hidden, self.code)
        return sizes if self.scale_from is None else tuple(max(1, round(n * width / self.scale_from)) for n in sizes)


class ResidualBlock(nn.Module):
    """y = SiLU(batchnorm(W x)) + V x, both matrices divided by their largest singular value."""

    def __init__(self, fan_in: int, fan_out: int) -> None:
        super().__init__()
        self.inner = spectral_norm(nn.Linear(fan_in, fan_out), n_power_iterations=3)
        self.norm = nn.BatchNorm1d(fan_out)
        self.skip = spectral_norm(nn.Linear(fan_in, fan_out), n_power_iterations=3)

    def forward(self, x: Tensor) -> Tensor:
        """(N, fan_in) to (N, fan_out)."""
        return nn.functional.silu(self.norm(self.inner(x))) + self.skip(x)


class Autoencoder(nn.Module):
    """Code = linear(block(block(x))) of a standardised token x, and back the same way; one for all tokens.

    Source: Sun et al. 2025 (doi 10.1093/bib/bbaf434), 1280-512-256-150, there with a trainable Swish for SiLU.

    Args:
        tokens: T, tokens of a protein; each is standardised by its own mean and deviation.
        width: D.
        sizes: of the hidden layers, then of the code.
    """

    def __init__(self, tokens: int, width: int, sizes: tuple[int, ...]) -> None:
        super().__init__()
        self.sizes = sizes
        self.standardise = Standardise(tokens, width)
        self.encoder = _stack((width, *sizes))
        self.decoder = _stack((*sizes[::-1], width))

    def encode(self, tokens: Tensor) -> Tensor:
        """Codes (n, T, C) of tokens (n, T, D)."""
        return self.encoder(self.standardise(tokens).flatten(0, 1)).unflatten(0, tokens.shape[:2])

    def forward(self, standardised: Tensor) -> Tensor:
        """Reconstruct standardised tokens (N, D)."""
        return self.decoder(self.encoder(standardised))


def _stack(sizes: tuple[int, ...]) -> nn.Sequential:
    """Residual blocks, and a linear layer at the end."""
    blocks = [ResidualBlock(fan_in, fan_out) for fan_in, fan_out in pairwise(sizes[:-1])]
    return nn.Sequential(*blocks, spectral_norm(nn.Linear(sizes[-2], sizes[-1]), n_power_iterations=3))


@dataclass(frozen=True)
class Reconstruction:
    """How well held-out proteins are reconstructed, and after how many epochs.

    ``explained_variance`` is 1 - |x - x'|^2 / |x|^2 over their standardised tokens. They also chose the epoch, so it
    is a little too good.
    """

    explained_variance: float
    held_out: int
    epochs: int


def fit_autoencoder(
    store: FeatureStore,
    layout: TokenLayout,
    rows: NDArray[np.int64],
    settings: AutoencoderSettings,
    seed: int,
    device: torch.device,
    advance: Callable[[int], None],
) -> tuple[Autoencoder, Reconstruction]:
    """Train on the tokens of some proteins, read batch by batch, until held-out ones are no longer told better.

    Args:
        store: where the tokens are.
        layout: which tokens.
        rows: proteins; each counts once.
        settings: sizes and training.
        seed: of the weights, of who is held out and of the order.
        device: to train on.
        advance: told the epochs done, ``settings.epochs`` in all even where it stops early.

    Returns:
        the network of the best epoch, in evaluation mode on the CPU, and what it is worth.

    Raises:
        InputError: fewer than :data:`FEWEST` proteins; training diverged.
    """
    rows = np.unique(rows)
    if len(rows) < FEWEST:
        raise InputError(f"{len(rows)} proteins to train an autoencoder on", remedy=f"Give {FEWEST} or more.")
    rng = np.random.default_rng(seed)
    shuffled = rng.permutation(rows)
    held, train = np.split(shuffled, [max(1, round(settings.held_out * len(rows)))])
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = Autoencoder(len(layout), store.width, settings.sizes(store.width))
    _standardise(network, store, layout, train)
    network.to(device)

    def batches(chosen: NDArray[np.int64]) -> Iterator[Tensor]:
        for part in np.array_split(chosen, -(-len(chosen) // settings.batch_size)):
            yield network.standardise(_tokens(store, layout, part).to(device)).flatten(0, 1)

    best, epochs = _train(network, lambda: batches(rng.permutation(train)), lambda: batches(held), settings, advance)
    return network.eval().cpu(), Reconstruction(best, len(held), epochs)


def _train(
    network: Autoencoder,
    train: Callable[[], Iterator[Tensor]],
    held: Callable[[], Iterator[Tensor]],
    settings: AutoencoderSettings,
    advance: Callable[[int], None],
) -> tuple[float, int]:
    """Leave the network with the weights of its best epoch; returns what that explained, and its number."""
    optimizer = torch.optim.Adam(network.parameters(), lr=settings.lr)
    best, best_epoch, weights = -np.inf, 0, copy.deepcopy(network.state_dict())
    for epoch in range(1, settings.epochs + 1):
        network.train()
        for x in train():
            optimizer.zero_grad()
            torch.autograd.backward(nn.functional.mse_loss(network(x), x))
            optimizer.step()
        explained = explained_variance(network, held())
        advance(1)
        if explained > best:
            best, best_epoch, weights = explained, epoch, copy.deepcopy(network.state_dict())
        elif epoch - best_epoch >= settings.patience:
            advance(settings.epochs - epoch)
            break
    if not np.isfinite(best):
        raise InputError("training of the autoencoder diverged", remedy="Lower its learning rate.")
    network.load_state_dict(weights)
    return best, best_epoch


def explained_variance(network: Autoencoder, batches: Iterator[Tensor]) -> float:
    """1 - squared error over squared length, of standardised tokens; see :class:`Reconstruction`."""
    network.eval()
    error = length = 0.0
    with torch.inference_mode():
        for x in batches:
            error += float((network(x) - x).square().sum(dtype=torch.float64))
            length += float(x.square().sum(dtype=torch.float64))
    return 1 - error / length if length else 0.0


def _standardise(network: Autoencoder, store: FeatureStore, layout: TokenLayout, rows: NDArray[np.int64]) -> None:
    total = square = np.zeros((len(layout), store.width))
    for part in np.array_split(rows, -(-len(rows) // 1024)):
        tokens = store.gather(part, layout.stored).astype(np.float64)
        total, square = total + tokens.sum(0), square + (tokens**2).sum(0)
    mean = total / len(rows)
    std = np.sqrt(np.maximum(square / len(rows) - mean**2, 0))
    network.standardise.fit(torch.from_numpy(mean).float(), torch.from_numpy(std).float())


def _tokens(store: FeatureStore, layout: TokenLayout, rows: NDArray[np.int64]) -> Tensor:
    return torch.from_numpy(store.gather(rows, layout.stored)).float()
