"""The networks by name: the one list that training, loading and tests read."""

from __future__ import annotations

from esm2_amp.errors import InputError
from esm2_amp.models.amp_cse import AMPCSE
from esm2_amp.models.amps import AMPS
from esm2_amp.models.ampx import AMPX
from esm2_amp.models.dpm import DPM
from esm2_amp.models.gru import GRU
from esm2_amp.models.network import PairNetwork

NETWORKS: dict[str, type[PairNetwork]] = {"amps": AMPS, "amp_cse": AMPCSE, "ampx": AMPX, "dpm": DPM, "gru": GRU}


def network_class(name: str) -> type[PairNetwork]:
    """The class of a network.

    Raises:
        InputError: there is none of that name.
    """
    if name not in NETWORKS:
        raise InputError(f"model {name!r} is unknown", remedy=f"The models are {', '.join(NETWORKS)}.")
    return NETWORKS[name]
