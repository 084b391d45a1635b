"""ESM2-AMP: from two protein sequences to an interaction probability, and the reason why.

``load_model(folder).predict(pairs, fasta)`` scores pairs; everything else is a task of the command line
(``esm2-amp --help``) or a room of the package (see CONTRIBUTING.md).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from esm2_amp.models.predictor import TrainedModel

__version__ = "0.1.0"
__all__ = ["__version__", "load_model"]


def load_model(folder: str | Path) -> TrainedModel:
    """Load a model folder, as training writes it; see :class:`esm2_amp.models.predictor.TrainedModel`."""
    from esm2_amp.models.predictor import TrainedModel  # torch takes seconds to import

    return TrainedModel(folder)
