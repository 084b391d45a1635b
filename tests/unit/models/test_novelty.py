"""Distance from the training proteins: 1 on their average, larger for what is unlike them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from esm2_amp.models.blocks import Standardise
from esm2_amp.models.novelty import TrainingDistances


def test_the_training_proteins_are_at_distance_one_in_quadratic_mean() -> None:
    tokens = torch.randn(200, 3, 8, generator=torch.Generator().manual_seed(0)) * 5 + 3
    layer = Standardise(3, 8)
    layer.fit(tokens.mean(dim=0), tokens.std(dim=0, correction=0))
    distances = layer.distance(tokens).double()
    assert distances.square().mean().item() == pytest.approx(1, abs=1e-5)
    assert layer.distance(tokens + 20).min() > 2 * distances.max()


def test_a_card_without_them_or_with_others_has_none() -> None:
    known = TrainingDistances.of(np.arange(101.0))
    assert known == (50.0, 99.0, 100.0)
    assert TrainingDistances.from_metrics({"distance": known._asdict()}) == known
    assert TrainingDistances.from_metrics({}) is None
    assert TrainingDistances.from_metrics({"distance": {"median": 1.0}}) is None
