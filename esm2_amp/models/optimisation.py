"""Settings of the optimiser."""

from __future__ import annotations

from dataclasses import dataclass

from esm2_amp.errors import InputError


@dataclass(frozen=True)
class Optimisation:
    """AdamW's settings, and ReduceLROnPlateau's on the validation loss, as Sun et al. 2025 use them.

    With ``ema_decay`` d, validation sees and the model keeps the average d * average + (1 - d) * weights, formed after
    each step (Polyak & Juditsky 1992, doi 10.1137/0330046; exponential form); None keeps the weights themselves.
    """

    lr: float
    weight_decay: float
    plateau_factor: float
    plateau_patience: int
    min_lr: float
    ema_decay: float | None

    def __post_init__(self) -> None:
        if not 0 < self.lr <= 1:
            raise InputError(f"model.optimizer.lr is {self.lr}", remedy="Give a learning rate above 0, at most 1.")
        for name, value in (("weight_decay", self.weight_decay), ("min_lr", self.min_lr)):
            if not 0 <= value < float("inf"):
                raise InputError(f"model.optimizer.{name} is {value}", remedy="Give a number of 0 or more.")
        if self.ema_decay is not None and not 0 < self.ema_decay < 1:
            raise InputError(f"model.optimizer.ema_decay is {self.ema_decay}", remedy="Give 0 < decay < 1, or null.")
        if self.plateau_patience < 0:
            raise InputError(f"model.optimizer.plateau_patience is {self.plateau_patience}", remedy="Give 0 or more.")
        if not 0 < self.plateau_factor < 1:
            raise InputError(f"model.optimizer.plateau_factor is {self.plateau_factor}", remedy="Give 0 < factor < 1.")
