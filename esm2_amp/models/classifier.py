"""Training of any network: binary cross-entropy, AdamW, the rate lowered where validation stalls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.nn import functional
from torchmetrics.classification import BinaryAUROC, BinaryAveragePrecision

from esm2_amp.data.batch import PairBatch
from esm2_amp.errors import InputError
from esm2_amp.models.network import PairNetwork


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


class PairClassifier(pl.LightningModule):
    """Trains a :class:`~esm2_amp.models.network.PairNetwork`; logs train/loss, val/loss, val/auroc and val/aupr."""

    def __init__(self, network: PairNetwork, optimisation: Optimisation) -> None:
        super().__init__()
        self.network, self.optimisation = network, optimisation
        self.auroc, self.aupr = BinaryAUROC(), BinaryAveragePrecision()

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Logits (B,)."""
        return self.network(a, b)

    def training_step(self, batch: PairBatch, index: int) -> Tensor:
        """Mean binary cross-entropy of the batch."""
        loss = functional.binary_cross_entropy_with_logits(self(batch.a, batch.b), batch.label)
        if not torch.isfinite(loss):
            raise InputError(
                f"training diverged: the loss is {float(loss)} in epoch {self.current_epoch}",
                remedy="Lower model.optimizer.lr, set trainer.gradient_clip_val=1, or use full precision.",
            )
        self.log("train/loss", loss, on_step=False, on_epoch=True, prog_bar=True, batch_size=len(batch.row))
        return loss

    def validation_step(self, batch: PairBatch, index: int) -> None:
        """Loss and ranking over the whole validation set, gathered from every process."""
        logits = self(batch.a, batch.b).float()
        loss = functional.binary_cross_entropy_with_logits(logits, batch.label)
        self.log("val/loss", loss, on_epoch=True, sync_dist=True, batch_size=len(batch.row))
        self.auroc.update(logits, batch.label.int())
        self.aupr.update(logits, batch.label.int())
        self.log("val/auroc", self.auroc, on_epoch=True, prog_bar=True)
        self.log("val/aupr", self.aupr, on_epoch=True, prog_bar=True)

    def configure_optimizers(self) -> Any:
        """AdamW over all weights; the rate falls by ``plateau_factor`` when val/loss stalls."""
        o = self.optimisation
        optimizer = torch.optim.AdamW(self.parameters(), lr=o.lr, weight_decay=o.weight_decay)
        plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(
            optimizer, mode="min", factor=o.plateau_factor, patience=o.plateau_patience, min_lr=o.min_lr
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": plateau, "monitor": "val/loss"}}
