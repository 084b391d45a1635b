"""Pictures of a training run, drawn without a display."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.metrics import precision_recall_curve, roc_curve


def draw_history(history: Sequence[Mapping[str, float]], path: Path) -> None:
    """Losses and validation ranking by epoch; ``history`` has ``epoch`` and the logged metrics."""
    epochs = [row["epoch"] for row in history]
    with mpl.rc_context({"axes.grid": True, "grid.alpha": 0.3}):
        figure = Figure(figsize=(9, 3.5), layout="constrained")
        left, right = figure.subplots(1, 2)
        for axis, names in ((left, ("train/loss", "val/loss")), (right, ("val/aupr", "val/auroc"))):
            for name in names:
                axis.plot(epochs, [row[name] for row in history], marker=".", label=name)
            axis.set_xlabel("epoch")
            axis.legend()
        figure.savefig(path, dpi=120, metadata={"Software": None})


def draw_curves(curves: Mapping[str, tuple[NDArray[np.int8], NDArray[np.float64]]], path: Path) -> None:
    """ROC and precision-recall curves of named sets of (labels, probabilities)."""
    with mpl.rc_context({"axes.grid": True, "grid.alpha": 0.3}):
        figure = Figure(figsize=(9, 4.2), layout="constrained")
        left, right = figure.subplots(1, 2)
        for name, (label, probability) in curves.items():
            false, true, _ = roc_curve(label, probability)
            left.plot(false, true, label=name)
            precision, recall, _ = precision_recall_curve(label, probability)
            right.plot(recall, precision, label=name)
        left.plot([0, 1], [0, 1], color="grey", linestyle=":")
        left.set(xlabel="false positive rate", ylabel="true positive rate", title="ROC")
        right.set(xlabel="recall", ylabel="precision", title="precision-recall", ylim=(0, 1.02))
        left.legend()
        figure.savefig(path, dpi=120, metadata={"Software": None})
