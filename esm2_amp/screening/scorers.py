"""The fastest scorer of a network."""

from __future__ import annotations

import torch

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
from esm2_amp.screening.scorer import Scorer

SCORERS: dict[type[PairNetwork], type[Scorer]] = {
    AMPS: AMPSScorer, AMPCSE: AMPSScorer, AMPX: AMPXScorer, DPM: DPMScorer, GRU: GRUScorer,
}  # fmt: skip
PRECISIONS = {"float32": torch.float32, "bf16": torch.bfloat16}


def scorer_for(network: PairNetwork, device: torch.device, precision: str) -> Scorer:
    """The scorer made for a network, or the one that works for all.

    Args:
        network: trained.
        device: where it computes.
        precision: "float32", or "bf16" for the large matrix products.

    Raises:
        InputError: another precision.
    """
    if precision not in PRECISIONS:
        raise InputError(f"precision {precision!r} is unknown", remedy=f"Give one of {', '.join(PRECISIONS)}.")
    return SCORERS.get(type(network), Scorer)(network, device, PRECISIONS[precision])
