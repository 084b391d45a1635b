"""One training step and one validation pass, against plain torch and scikit-learn."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from sklearn.metrics import average_precision_score, roc_auc_score
from torch.nn import functional

from esm2_amp.data.batch import PairBatch
from esm2_amp.errors import InputError
from esm2_amp.models.classifier import PairClassifier
from esm2_amp.models.network import PairNetwork
from esm2_amp.models.optimisation import Optimisation

VALUES: dict[str, Any] = {
    "lr": 1e-3, "weight_decay": 0.01, "plateau_factor": 0.1, "plateau_patience": 2, "min_lr": 2e-5,
    "ema_decay": None,
}  # fmt: skip

pytestmark = pytest.mark.filterwarnings("ignore:You are trying to `self.log")  # no trainer here


@pytest.fixture
def module(make_network: Callable[..., PairNetwork]) -> PairClassifier:
    return PairClassifier(make_network("dpm"), Optimisation(**VALUES))


def batch(count: int, seed: int) -> PairBatch:
    generator = torch.Generator().manual_seed(seed)
    a, b = torch.randn(2, count, 1, 32, generator=generator)
    return PairBatch(a, b, (torch.arange(count) % 3 == 0).float(), torch.arange(count))


def test_the_loss_is_binary_cross_entropy(module: PairClassifier) -> None:
    pairs = batch(9, 0)
    p = torch.sigmoid(module.network(pairs.a, pairs.b))
    expected = -(pairs.label * p.log() + (1 - pairs.label) * (1 - p).log()).mean()
    torch.testing.assert_close(module.training_step(pairs, 0), expected)


def test_validation_measures_all_batches_as_one(module: PairClassifier) -> None:
    batches = [batch(9, 1), batch(30, 2), batch(2, 3)]
    module.eval()
    with torch.no_grad():
        for i, pairs in enumerate(batches):
            module.validation_step(pairs, i)
        logits = torch.cat([module.network(pairs.a, pairs.b) for pairs in batches])
    labels = torch.cat([pairs.label for pairs in batches])
    assert float(module.loss.compute()) == pytest.approx(
        functional.binary_cross_entropy_with_logits(logits, labels).item(), rel=1e-5
    )
    assert float(module.auroc.compute()) == pytest.approx(roc_auc_score(labels, logits), abs=1e-6)
    assert float(module.aupr.compute()) == pytest.approx(average_precision_score(labels, logits), abs=1e-6)


def test_divergence_is_told_with_a_remedy(module: PairClassifier) -> None:
    pairs = batch(4, 0)
    with pytest.raises(InputError, match=r"training diverged: the loss is nan .*Lower model\.optimizer\.lr"):
        module.training_step(pairs._replace(a=pairs.a * math.nan), 0)


def test_the_rate_falls_where_validation_stalls_and_not_below_its_floor(module: PairClassifier) -> None:
    optimizer = module.configure_optimizers()
    rates = []
    for loss in (1.0, 0.5, 0.5, 0.6, 0.7, 0.4, *[0.9] * 9):
        module.loss.reset()
        module.loss.update(loss)
        module.on_validation_epoch_end()
        rates.append(optimizer.param_groups[0]["lr"])
    # after the third epoch in a row without a better loss, and again after three more, down to min_lr
    assert rates == pytest.approx([1e-3] * 4 + [1e-4] * 4 + [2e-5] * 7)


def test_counters_of_a_resumed_run_go_on(module: PairClassifier, make_network: Callable[..., PairNetwork]) -> None:
    module.configure_optimizers()
    assert module.plateau is not None
    for loss in (0.5, 0.6, 0.7):
        module.plateau.step(loss)
    checkpoint: dict[str, Any] = {}
    module.on_save_checkpoint(checkpoint)
    resumed = PairClassifier(make_network("dpm"), Optimisation(**VALUES))
    resumed.on_load_checkpoint(checkpoint)
    optimizer = resumed.configure_optimizers()
    assert resumed.plateau is not None
    resumed.plateau.step(0.8)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(1e-4)


def test_the_optimiser_is_adamw_over_all_weights(module: PairClassifier) -> None:
    optimizer = module.configure_optimizers()
    assert type(optimizer) is torch.optim.AdamW
    (group,) = optimizer.param_groups
    assert (group["lr"], group["weight_decay"]) == (1e-3, 0.01)
    assert {id(p) for p in group["params"]} == {id(p) for p in module.network.parameters()}


@pytest.mark.parametrize(
    ("name", "value"),
    [("lr", 0.0), ("lr", -1.0), ("lr", math.nan), ("weight_decay", -0.1), ("min_lr", -1e-9), ("plateau_patience", -1),
     ("plateau_factor", 0.0), ("plateau_factor", 1.0), ("plateau_factor", math.nan)],
)  # fmt: skip
def test_impossible_settings_are_named(name: str, value: float) -> None:
    with pytest.raises(InputError, match=rf"model\.optimizer\..*{name}"):
        Optimisation(**{**VALUES, name: value})
