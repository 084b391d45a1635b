"""A perceptron on coded pairs, and its attributions by DeepLIFT SHAP and integrated gradients."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from captum.attr import DeepLiftShap, IntegratedGradients
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score, roc_auc_score
from torch import Tensor, nn

from esm2_amp.data.folds import Fold
from esm2_amp.errors import InputError
from esm2_amp.explain.codes import CodedPairs, mean_of_orders
from esm2_amp.explain.forest_fit import HeldOut
from esm2_amp.models.blocks import Standardise, mlp

_PASS = 1 << 20
"""Numbers that go into the network at once, so that memory does not depend on the number of pairs."""
IG_TOLERANCE = 0.01
"""Integrated gradients may miss what they should add up to by this share of the logit."""


@dataclass(frozen=True)
class DnnSettings:
    """Sizes and training of a :class:`CodeMlp`, and how it is explained.

    ``background`` pairs, in both orders, are what SHAP values compare with, and their mean vector is the baseline of
    integrated gradients, which take at most ``ig_steps`` steps from it.
    """

    hidden: tuple[int, ...]
    epochs: int
    patience: int
    batch_size: int
    lr: float
    weight_decay: float
    background: int
    ig_steps: int

    def __post_init__(self) -> None:
        counts = {name: getattr(self, name) for name in ("epochs", "patience", "batch_size", "background", "ig_steps")}
        for name, value in (counts | {f"hidden {i}": size for i, size in enumerate(self.hidden)}).items():
            if value < 1:
                raise InputError(f"dnn {name} is {value}", remedy="Give 1 or more.")
        if not 0 < self.lr <= 1:
            raise InputError(f"dnn lr is {self.lr}", remedy="Give a learning rate above 0, at most 1.")
        if not 0 <= self.weight_decay < float("inf"):
            raise InputError(f"dnn weight_decay is {self.weight_decay}", remedy="Give a number of 0 or more.")


class CodeMlp(nn.Module):
    """Logit = mlp(standardise(vector of a pair)), with ReLU between the layers.

    Args:
        tokens: 2T, tokens of a pair.
        code: C, numbers of a token.
        hidden: sizes of the layers between.
    """

    def __init__(self, tokens: int, code: int, hidden: tuple[int, ...]) -> None:
        super().__init__()
        self.standardise = Standardise(tokens, code)
        self.layers = mlp((tokens * code, *hidden, 1), norm=False)

    def forward(self, vectors: Tensor) -> Tensor:
        """Logits (n,) of vectors (n, 2TC) in the order given; the logit of a pair is the mean of both."""
        tokens = vectors.reshape(-1, *self.standardise.mean.shape)
        return self.layers(self.standardise(tokens).flatten(1)).squeeze(1)


def tune_dnn(
    pairs: CodedPairs,
    folds: Sequence[Fold],
    settings: DnnSettings,
    seed: int,
    device: torch.device,
    advance: Callable[[int], None],
) -> HeldOut:
    """Find the number of epochs with the least log loss on held pairs, averaged over folds, stopping early.

    Args:
        pairs: training pairs; a network learns both orders of each.
        folds: of these pairs; a network is trained in each, side by side.
        settings: sizes and training.
        seed: of the weights and of the order.
        device: to train on.
        advance: told the epochs done, ``settings.epochs`` in all even where it stops early.

    Raises:
        InputError: training diverged.
    """
    runs = [_Run(pairs, fold.train, settings, seed, device) for fold in folds]
    best, chosen = np.inf, HeldOut(0.5, 0.5, {"epochs": 0})
    for epoch in range(1, settings.epochs + 1):
        losses, aurocs, accuracies = np.array([_measure(run, fold) for run, fold in zip(runs, folds, strict=True)]).T
        advance(1)
        if not np.isfinite(losses).all():
            raise InputError("training of the DNN diverged", remedy="Lower its learning rate.")
        if losses.mean() < best:
            best = losses.mean()
            chosen = HeldOut(float(aurocs.mean()), float(accuracies.mean()), {"epochs": epoch})
        elif epoch - chosen.chosen["epochs"] >= settings.patience:
            advance(settings.epochs - epoch)
            break
    return chosen


def fit_dnn(
    pairs: CodedPairs, chosen: NDArray[np.int64], settings: DnnSettings, epochs: int, seed: int, device: torch.device
) -> CodeMlp:
    """Train on both orders of the chosen pairs for a number of epochs; in evaluation mode, on the CPU."""
    run = _Run(pairs, chosen, settings, seed, device)
    for _ in range(epochs):
        run.epoch()
    return run.network.eval().cpu()


class _Run:
    """A network in training on some pairs."""

    def __init__(
        self, pairs: CodedPairs, chosen: NDArray[np.int64], settings: DnnSettings, seed: int, device: torch.device
    ) -> None:
        self.pairs, self.chosen, self.settings, self.device = pairs, chosen, settings, device
        self.rng = np.random.default_rng(seed)
        values = pairs.codes.values
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.network = CodeMlp(2 * values.shape[1], values.shape[2], settings.hidden)
        mean, std = (np.tile(moment, (2, 1)) for moment in (values.mean(0), values.std(0)))
        self.network.standardise.fit(torch.from_numpy(mean), torch.from_numpy(std))
        self.network.to(device)
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=settings.lr, weight_decay=settings.weight_decay
        )

    def epoch(self) -> None:
        """One pass over both orders of every pair."""
        order = self.rng.permutation(self.chosen)
        for part in np.array_split(order, -(-len(order) // self.settings.batch_size)):
            vectors, label = self.pairs.both_orders(part)
            self.optimizer.zero_grad()
            logits = self.network(torch.from_numpy(vectors).to(self.device))
            target = torch.from_numpy(label.astype(np.float32)).to(self.device)
            torch.autograd.backward(nn.functional.binary_cross_entropy_with_logits(logits, target))
            self.optimizer.step()


def _measure(run: _Run, fold: Fold) -> tuple[float, float, float]:
    """Train one epoch; log loss, AUROC and accuracy on the held pairs."""
    run.epoch()
    parts = np.array_split(fold.held, -(-len(fold.held) // run.settings.batch_size))
    logits = np.concatenate([_logits(run.network, run.pairs.both_orders(part)[0]) for part in parts])
    label = run.pairs.label[fold.held]
    if not np.isfinite(logits).all():
        return np.inf, 0.5, 0.5
    loss = np.logaddexp(0, np.where(label == 1, -logits, logits)).mean()
    return float(loss), float(roc_auc_score(label, logits)), float(accuracy_score(label, logits >= 0))


def _logits(network: CodeMlp, both_orders: NDArray[np.float32]) -> NDArray[np.float64]:
    mean = network.standardise.mean
    with torch.inference_mode():
        return mean_of_orders(network(torch.from_numpy(both_orders).to(mean)).double().cpu().numpy())


class DnnExplainer:
    """Attributions of a network's logits, in double precision, so that they add up.

    Args:
        network: the explained one.
        background: (m, 2TC) vectors; both orders of some pairs, so that neither order of a pair has another baseline.
        ig_steps: steps of integrated gradients.
    """

    def __init__(self, network: CodeMlp, background: NDArray[np.float32], ig_steps: int) -> None:
        self.network = copy.deepcopy(network).double().eval()
        self.background = torch.from_numpy(background).double()
        self.ig_steps = ig_steps

    def shap(self, vectors: NDArray[np.float32]) -> tuple[NDArray[np.float64], float]:
        """SHAP values by DeepLIFT (Lundberg & Lee 2017, DeepSHAP): the mean over the background of DeepLIFT's.

        Returns:
            values (n, 2TC), and the mean logit of the background: both add up to the logit of each vector.
        """
        explainer = DeepLiftShap(self.network)
        parts = torch.split(torch.from_numpy(vectors).double(), max(1, _PASS // self.background.numel()))
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Setting forward, backward hooks", UserWarning)  # captum, every time
            values = [explainer.attribute(part, baselines=self.background).detach().numpy() for part in parts]
        return np.concatenate(values), float(self._run(self.background).mean())

    def integrated_gradients(self, both_orders: NDArray[np.float32]) -> tuple[NDArray[np.float64], float]:
        """Integrated gradients (Sundararajan et al. 2017) from the background's mean vector, by Gauss-Legendre.

        Steps are doubled for those pairs whose values miss what they should add up to by more than
        :data:`IG_TOLERANCE` of the pair's logit, up to the steps of the settings.

        Args:
            both_orders: (2m, 2TC) vectors of m pairs as listed, then swapped.

        Returns:
            values (2m, 2TC), and the logit of the baseline: both add up to about the logit of each vector.
        """
        x, baseline = torch.from_numpy(both_orders).double(), self.background.mean(0, keepdim=True)
        base, logit, pairs = float(self._run(baseline)), self._run(x), len(x) // 2
        values, open_, steps = torch.zeros_like(x), torch.arange(pairs), min(32, self.ig_steps)
        while len(open_):
            both = torch.cat((open_, open_ + pairs))
            values[both] = IntegratedGradients(self.network).attribute(
                x[both],
                baselines=baseline,
                n_steps=steps,
                method="gausslegendre",
                internal_batch_size=max(steps, _PASS // x.shape[1]),
            )
            score = logit[both].reshape(2, -1).mean(0)
            error = ((values[both].sum(1) + base).reshape(2, -1).mean(0) - score).abs()
            open_ = open_[error > IG_TOLERANCE * score.abs()] if steps < self.ig_steps else open_[:0]
            steps = min(2 * steps, self.ig_steps)
        return values.detach().numpy(), base

    def logits(self, both_orders: NDArray[np.float32]) -> NDArray[np.float64]:
        """Logits (m,) of pairs, from the vectors (2m, 2TC) of both orders."""
        return mean_of_orders(self._run(torch.from_numpy(both_orders).double()).numpy())

    def _run(self, vectors: Tensor) -> Tensor:
        with torch.no_grad():
            return self.network(vectors)
