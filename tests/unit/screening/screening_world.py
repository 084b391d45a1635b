"""A tiny screening that several test files run, also as a process of its own: everything from fixed seeds."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from esm2_amp.layout import MEAN, TokenLayout
from esm2_amp.models.network import Hyperparameters, PairNetwork
from esm2_amp.screening.background import edges_around
from esm2_amp.screening.engine import sample, screen
from esm2_amp.screening.finish import ProteinSummary, finish
from esm2_amp.screening.grid import Grid
from esm2_amp.screening.keep import Keep
from esm2_amp.screening.parts import Parts, open_parts
from esm2_amp.screening.scorer import Scorer
from esm2_amp.screening.work import Rows, Work

WIDTH = 8


class Tiny(PairNetwork):
    """logit = w . tanh(V (a + b)) - a . b"""

    layout: ClassVar[TokenLayout] = MEAN
    Hyper = Hyperparameters

    def __init__(self) -> None:
        super().__init__(WIDTH, Hyperparameters(None))
        torch.manual_seed(0)
        self.first, self.last = torch.nn.Linear(WIDTH, 16), torch.nn.Linear(16, 1)

    def logit(self, a: Tensor, b: Tensor) -> Tensor:
        both = torch.tanh(self.first((a + b).mean(dim=1)))
        return self.last(both).squeeze(-1) - (a * b).sum(dim=(1, 2))


def ids(n: int) -> list[str]:
    return [f"P{k:05d}" for k in range(n)]


def tokens(n: int) -> Tensor:
    return torch.tensor(np.random.default_rng(1).normal(size=(n, 1, WIDTH)), dtype=torch.float32)


def of_rows(table: Tensor) -> Callable[[Rows], Tensor]:
    return lambda numbers: table[torch.from_numpy(numbers)]


def scorer() -> Scorer:
    return Scorer(Tiny(), torch.device("cpu"))


def probability(logits: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logits.astype(np.float64)))


def at_prevalence(logits: np.ndarray) -> np.ndarray:
    return probability(logits.astype(np.float64) - np.log(99))


def parts_of(folder: Path, work: Work, n: int, keep: Keep, seconds: float) -> Parts:
    features = of_rows(tokens(n))
    fingerprint = {"proteins": n, "units": len(work), "threshold": keep.threshold, "top": keep.top}
    return open_parts(folder, ids(n), fingerprint, lambda: edges_around(sample(work, features, scorer(), 500)), seconds)


def run(
    folder: Path,
    work: Work,
    n: int,
    keep: Keep,
    *,
    share: tuple[int, int] = (0, 1),
    pause: float = 0.0,
    seconds: float = 0.0,
    advance: Callable[[int], None] = lambda pairs: None,
) -> Parts:
    """Score what is left of one process's share."""
    parts = parts_of(folder, work, n, keep, seconds)
    pausing = lambda: time.sleep(pause)  # noqa: E731
    screen(
        work, of_rows(tokens(n)), scorer(), keep, probability, parts, share=share, advance=advance, check=pausing
    )  # fmt: skip
    return parts


def result(parts: Parts, work: Work, keep: Keep, output: Path) -> ProteinSummary:
    return finish(parts, len(work), keep, at_prevalence, None, output)


def process(folder: str, n: int, edge: int, top: int, share: tuple[int, int], pause: float) -> None:
    """An all-against-all screening in a process of its own; ready to be killed."""
    torch.set_num_threads(1)
    run(Path(folder), Grid(n, n, 0, edge, False), n, Keep(None, top), share=share, pause=pause, seconds=0.05)
