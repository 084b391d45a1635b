"""Settings of the optimiser."""

from __future__ import annotations

from dataclasses import dataclass

from esm2_amp.errors import InputError


@dataclass(frozen=True)
class Optimisation:
    """AdamW's settings, and ReduceLROnPlateau's on the validation loss, as Sun et al. 2025 use them."""

    lr: float
    weight_decay: float
    plateau_factor: float
    plateau_patience: int
    min_lr: float

    def __post_init__(self) -> None:
        if not self.lr > 0:
            raise InputError(f"model.optimizer.lr is {self.lr}", remedy="Give a learning rate above zero.")
        if self.weight_decay < 0 or self.min_lr < 0 or self.plateau_patience < 0:
            raise InputError("model.optimizer.weight_decay, min_lr and plateau_patience cannot be negative")
        if not 0 < self.plateau_factor < 1:
            raise InputError(f"model.optimizer.plateau_factor is {self.plateau_factor}", remedy="Give 0 < factor < 1.")
