"""Teach a student: pairs with the full model's logits in, a student that puts the best of them first out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.optim.lr_scheduler import OneCycleLR

from esm2_amp.errors import InputError
from esm2_amp.screening.student import Student
from esm2_amp.screening.work import Rows

_BATCH = 4096
"""Pairs of a step: of few thousand proteins, each of which goes through the towers once."""
_WARM_UP = 0.1
"""Part of the steps in which the rate rises; then it falls to nothing."""
_FEWEST = 20
_WEIGHT_DECAY = 0.01


@dataclass(frozen=True)
class Lessons:
    """How a student learns.

    Attributes:
        steps: of so many batches of 4,096 pairs.
        rate: the highest learning rate.
        seed: of the order of the pairs.
    """

    steps: int
    rate: float
    seed: int

    def __post_init__(self) -> None:
        if self.steps < _FEWEST:
            raise InputError(f"the student learns in {self.steps} steps", remedy=f"Give {_FEWEST} or more.")


def teach(
    student: Student,
    inputs: Tensor,
    pairs: tuple[Rows, Rows],
    logits: NDArray[np.float32],
    lessons: Lessons,
    advance: Callable[[int], None],
) -> None:
    """Fit a student to logits by their mean squared error; the same lessons make the same student.

    Weighing the best pairs more, or ranking, finds no more of them.

    Args:
        student: new, or taught before.
        inputs: (n, K) components of all proteins.
        pairs: (m,) and (m,) protein numbers.
        logits: (m,) of the full model.
        lessons: how.
        advance: told the steps done.
    """
    student.centre.fill_(float(logits.mean(dtype=np.float64)))
    student.scale.fill_(max(float(logits.std(dtype=np.float64)), 1e-6))
    a, b = (torch.from_numpy(np.ascontiguousarray(rows)) for rows in pairs)
    wanted = (torch.from_numpy(np.asarray(logits, np.float32)) - student.centre) / student.scale
    optimizer = torch.optim.AdamW(student.parameters(), lessons.rate, weight_decay=_WEIGHT_DECAY)
    schedule = OneCycleLR(optimizer, lessons.rate, total_steps=lessons.steps, pct_start=_WARM_UP)
    order = torch.Generator().manual_seed(lessons.seed)
    student.train()
    left = torch.empty(0, dtype=torch.int64)
    for _ in range(lessons.steps):
        if not len(left):
            left = torch.randperm(len(wanted), generator=order)
        batch, left = left[:_BATCH], left[_BATCH:]
        proteins, places = torch.unique(torch.cat((a[batch], b[batch])), return_inverse=True)
        towers, (i, j) = student.towers(inputs[proteins]), places.view(2, -1)
        score = student.score(towers, i, j)
        loss = (score - wanted[batch]).square().mean()
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        optimizer.step()
        schedule.step()
        advance(1)
    student.eval()
