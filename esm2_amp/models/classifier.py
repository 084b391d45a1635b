"""Training of any network: binary cross-entropy, AdamW, the rate lowered where validation stalls."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.nn import functional
from torchmetrics import MeanMetric
from torchmetrics.classification import BinaryAUROC, BinaryAveragePrecision

from esm2_amp.data.batch import PairBatch
from esm2_amp.errors import InputError
from esm2_amp.models.network import PairNetwork
from esm2_amp.models.optimisation import Optimisation


class PairClassifier(pl.LightningModule):
    """Trains a :class:`~esm2_amp.models.network.PairNetwork`; logs train/loss, val/loss, val/auroc and val/aupr."""

    def __init__(self, network: PairNetwork, optimisation: Optimisation) -> None:
        super().__init__()
        self.network, self.optimisation = network, optimisation
        self.loss, self.auroc, self.aupr = MeanMetric(), BinaryAUROC(), BinaryAveragePrecision()
        self.plateau: torch.optim.lr_scheduler.ReduceLROnPlateau | None = None
        self._plateau_state: dict[str, Any] | None = None

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Logits (B,)."""
        return self.network(a, b)

    def training_step(self, batch: PairBatch, index: int) -> Tensor:
        """Mean binary cross-entropy of the batch, over the network's members where they learn each by itself."""
        logits = self.network.training_logits(batch.a, batch.b)
        label = batch.label.unsqueeze(-1).expand_as(logits) if logits.ndim == 2 else batch.label
        loss = functional.binary_cross_entropy_with_logits(logits, label)
        if not torch.isfinite(loss):
            raise InputError(
                f"training diverged: the loss is {loss.item()} in epoch {self.current_epoch}",
                remedy="Lower model.optimizer.lr, set trainer.gradient_clip_val=1, or use full precision.",
            )
        self.log("train/loss", loss, on_step=False, on_epoch=True, prog_bar=True, batch_size=len(batch.row))
        return loss

    def validation_step(self, batch: PairBatch, index: int) -> Tensor:
        """Loss and ranking over the whole validation set, gathered from every process; returns the logits (B,)."""
        logits = self(batch.a, batch.b).float()
        loss = functional.binary_cross_entropy_with_logits(logits, batch.label)
        self.loss.update(loss, weight=len(batch.row))
        # probabilities: of logits torchmetrics takes the sigmoid only in batches that leave 0..1
        self.auroc.update(logits.sigmoid(), batch.label.int())
        self.aupr.update(logits.sigmoid(), batch.label.int())
        self.log("val/loss", self.loss, on_epoch=True)
        self.log("val/auroc", self.auroc, on_epoch=True, prog_bar=True)
        self.log("val/aupr", self.aupr, on_epoch=True, prog_bar=True)
        return logits

    def on_validation_epoch_end(self) -> None:
        """Lower the rate if the validation loss stalls.

        Here and not by Lightning, which steps such a scheduler after it has saved the checkpoint: a resumed run
        would miss that step.
        """
        if self.plateau is not None:
            self.plateau.step(self.loss.compute())

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the scheduler's counters, as plain numbers."""
        if self.plateau is not None:
            state = self.plateau.state_dict()
            checkpoint["plateau"] = {k: float(v) for k, v in state.items() if k in ("best", "num_bad_epochs")}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Remember the counters until the optimiser is made."""
        self._plateau_state = checkpoint["plateau"]

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW over all weights; the rate falls by ``plateau_factor`` when val/loss stalls."""
        o = self.optimisation
        optimizer = torch.optim.AdamW(self.parameters(), lr=o.lr, weight_decay=o.weight_decay)
        self.plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(
            optimizer, mode="min", factor=o.plateau_factor, patience=o.plateau_patience, min_lr=o.min_lr
        )
        if self._plateau_state is not None:
            self.plateau.best = self._plateau_state["best"]
            self.plateau.num_bad_epochs = int(self._plateau_state["num_bad_epochs"])
        return optimizer
