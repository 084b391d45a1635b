"""What every strategy of a screen gives: the result's file, and what is said of each protein."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch

from esm2_amp.screening.background import Background
from esm2_amp.screening.finish import ProteinSummary
from esm2_amp.tasks.screen_input import ScreenInputs
from esm2_amp.tasks.screen_plan import Plan
from esm2_amp.tasks.screen_worth import Prior

PAIRS = "pairs.parquet"
"""Name of the result's table."""


class Crew(Protocol):
    """The processes that share a screen, as one of them sees them; see :class:`~esm2_amp.tasks.team.Team`."""

    rank: int
    count: int
    device: torch.device

    def check(self) -> None:
        """Raise if another process is known to be gone."""
        ...

    def meet(self) -> None:
        """Wait until every process is here."""
        ...


@dataclass(frozen=True, eq=False)
class ScoredScreen:
    """A screen whose pairs are scored and kept in its folder.

    Attributes:
        inputs: what was screened.
        plan: what was planned.
        prior: how rare interacting pairs are taken to be.
        summary: of each protein.
        background: histograms of all scored pairs, or of a random sample of all pairs.
        scored: pairs the model scored.
        notes: what a reader must know of the way they were chosen, a sentence each.
    """

    inputs: ScreenInputs
    plan: Plan
    prior: Prior
    summary: ProteinSummary
    background: Background
    scored: int
    notes: Sequence[str]
