"""AMPX: what it reads of the tokens, its views, and what each of them learns from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict

import numpy as np
import pytest
import torch

from esm2_amp.data.batch import PairBatch
from esm2_amp.data.dataset import PairDataset
from esm2_amp.errors import InputError
from esm2_amp.layout import STORED_TOKENS, TokenLayout
from esm2_amp.models.ampx import AMPX, AMPXHyper
from esm2_amp.models.classifier import PairClassifier
from esm2_amp.models.optimisation import Optimisation
from esm2_amp.models.training import fit_inputs

WIDTH = 32
HYPER = AMPXHyper(
    scale_from=None, views=3, components=16, whitening=0.8, input_dropout=0.2, dropout=0.3, hidden1=8, hidden2=8
)


@pytest.fixture
def network(dataset: Callable[[TokenLayout], PairDataset]) -> AMPX:
    torch.manual_seed(0)
    network = AMPX(WIDTH, HYPER)
    fit_inputs(network, dataset(network.layout), standardised=True)
    return network.eval()


def test_its_inputs_are_the_statistics_of_the_tokens(
    network: AMPX, dataset: Callable[[TokenLayout], PairDataset]
) -> None:
    pairs = dataset(network.layout)
    seen = []
    network.components.register_forward_hook(lambda _module, inputs, _output: seen.append(inputs[0].numpy()))
    with torch.no_grad():
        network(pairs[0].a, pairs[0].b)
    tokens = network.standardise(pairs[0].a)[0].numpy()
    where = {name: i for i, name in enumerate(STORED_TOKENS)}
    segments = np.stack([tokens[where[f"segment{i}"]] for i in range(10)])
    whole = [tokens[where[name]] for name in ("cls", "eos", "mean")]
    expected = np.concatenate([*whole, segments.std(axis=0), segments.max(axis=0), segments.min(axis=0)])
    np.testing.assert_allclose(seen[0][0], expected, atol=1e-5)


def test_each_view_sees_half_the_components_of_the_one_before(network: AMPX) -> None:
    assert [view.components for view in network.views] == [16, 8, 4]
    x, y = torch.randn(2, 5, 16)
    for view in network.views:
        other = x.clone()
        other[:, view.components :] += 1
        assert torch.equal(view(x, y), view(other, y))


def test_the_logit_is_the_mean_of_the_views_and_each_learns_from_its_own_loss(network: AMPX) -> None:
    a, b = torch.randn(2, 6, 13, WIDTH)
    with torch.no_grad():
        views = network.training_logits(a, b)
        torch.testing.assert_close(network(a, b), views.mean(dim=1))
    label = torch.arange(6.0) % 2
    module = PairClassifier(network, Optimisation(1e-3, 0.0, 0.1, 5, 0.0, None))
    module.log = lambda *_args, **_kwargs: None  # type: ignore[method-assign]
    loss = module.training_step(PairBatch(a, b, label, torch.arange(6)), 0)
    alone = [torch.nn.functional.binary_cross_entropy_with_logits(views[:, i], label) for i in range(3)]
    torch.testing.assert_close(loss.detach(), torch.stack(alone).mean())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"whitening": 1.5}, "model.network.whitening is 1.5"),
        ({"views": 6}, "model.network.views is 6: halved so often, 16 components leave none"),
        ({"components": 0}, "model.network.components is 0"),
        ({"dropout": 1.0}, "model.network.dropout is 1.0"),
    ],
)
def test_impossible_hyperparameters_are_named(change: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        AMPXHyper(**{**asdict(HYPER), **change})  # type: ignore[arg-type]
