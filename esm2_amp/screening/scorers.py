"""The fastest scorer of a network."""

from __future__ import annotations

import torch
from torch import Tensor
from torch._dynamo.exc import BackendCompilerFailed

from esm2_amp.errors import InputError
from esm2_amp.models.amp_cse import AMPCSE
from esm2_amp.models.amps import AMPS
from esm2_amp.models.ampx import AMPX
from esm2_amp.models.dpm import DPM
from esm2_amp.models.gru import GRU
from esm2_amp.models.network import PairNetwork
from esm2_amp.screening.amps_scorer import AMPSScorer
from esm2_amp.screening.ampx_scorer import AMPXScorer
from esm2_amp.screening.dpm_scorer import DPMScorer
from esm2_amp.screening.gru_scorer import GRUScorer
from esm2_amp.screening.scorer import Prepared, Scorer

SCORERS: dict[type[PairNetwork], type[Scorer]] = {
    AMPS: AMPSScorer, AMPCSE: AMPSScorer, AMPX: AMPXScorer, DPM: DPMScorer, GRU: GRUScorer,
}  # fmt: skip
PRECISIONS = {"float32": torch.float32, "bf16": torch.bfloat16}


class Compiled(Scorer):
    """Another scorer whose pair function torch.compile has fused, for blocks of any size."""

    def __init__(self, scorer: Scorer) -> None:
        super().__init__(scorer.network, scorer.device, scorer.dtype)
        self.scorer, self.chunk = scorer, scorer.chunk
        self.fused = torch.compile(scorer.logits, dynamic=True)

    def prepare(self, tokens: Tensor) -> Prepared:
        """See :meth:`Scorer.prepare`."""
        return self.scorer.prepare(tokens)

    def logits(self, a: Prepared, b: Prepared) -> Tensor:
        """Logits of pairs, see :meth:`Scorer.logits`."""
        return self.fused(a, b)


def scorer_for(network: PairNetwork, device: torch.device, precision: str, compiled: bool) -> Scorer:
    """The scorer made for a network, or the one that works for all.

    Args:
        network: trained.
        device: where it computes.
        precision: "float32", or "bf16" for the large matrix products.
        compiled: whether torch.compile fuses what lies between the matrix products. That takes up to a minute;
            benchmarks/screen.py measures whether it pays.

    Raises:
        InputError: another precision, or there is no compiler on this machine.
    """
    if precision not in PRECISIONS:
        raise InputError(f"precision {precision!r} is unknown", remedy=f"Give one of {', '.join(PRECISIONS)}.")
    scorer = SCORERS.get(type(network), Scorer)(network, device, PRECISIONS[precision])
    if compiled:
        _check_compiler(device)
        return Compiled(scorer)
    return scorer


def _check_compiler(device: torch.device) -> None:
    try:
        torch.compile(_trial)(torch.zeros(2, device=device))
    except BackendCompilerFailed as error:
        raise InputError(
            f"torch.compile does not work here: {str(error).splitlines()[0]}",
            remedy="Install a C++ compiler (g++), or do without compilation.",
        ) from error


def _trial(x: torch.Tensor) -> torch.Tensor:
    return x.sin() + 1
