"""Integrated gradients: completeness, the closed form, steps where they are needed, and no dropout."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from esm2_amp.explain.gradients import SMALL_CHANGE, integrated_gradients
from esm2_amp.models.ampx import AMPX
from esm2_amp.models.network import PairNetwork

Pairs = tuple[Tensor, Tensor]


def logit_change(network: PairNetwork, a: Tensor, b: Tensor, baseline: Tensor) -> Tensor:
    network.eval()
    with torch.no_grad():
        return network(a, b) - network(baseline[None], baseline[None])


def test_the_values_add_up_to_the_change_of_the_logit(trained: PairNetwork, pairs: Pairs) -> None:
    pairs = (pairs[0][:3], pairs[1][:3])
    baseline = trained.standardise.mean.clone()
    found = integrated_gradients(trained, *pairs, baseline, 0.01, 4096)
    change = logit_change(trained, *pairs, baseline)
    error = (found.signed.sum(dim=1) - change).abs() / change.abs().clamp_min(SMALL_CHANGE)
    torch.testing.assert_close(found.error, error, rtol=0.05, atol=1e-4)
    assert (found.error <= 0.01).all()
    assert (found.absolute >= found.signed.abs() - 1e-5).all()
    assert found.signed.isfinite().all()


def test_the_network_is_left_as_it_was(trained: PairNetwork, pairs: Pairs) -> None:
    before = {key: value.clone() for key, value in trained.state_dict().items()}
    next(trained.children()).eval()  # a part that its owner froze stays frozen
    modes = [module.training for module in trained.modules()]
    integrated_gradients(trained, *pairs, trained.standardise.mean, 0.1, 16)
    assert [module.training for module in trained.modules()] == modes
    assert all(torch.equal(value, before[key]) for key, value in trained.state_dict().items())
    assert all(parameter.grad is None for parameter in trained.parameters())


def test_dropout_has_no_influence(trained: PairNetwork, pairs: Pairs) -> None:
    baseline = trained.standardise.mean
    first = integrated_gradients(trained.train(), *pairs, baseline, 0.1, 32)
    torch.manual_seed(99)
    again = integrated_gradients(trained.eval(), *pairs, baseline, 0.1, 32)
    assert torch.equal(first.signed, again.signed)


def test_a_linear_network_has_the_closed_form(additive: Any, random_pairs: Callable[..., Pairs]) -> None:
    a, b = random_pairs(40, additive)
    baseline = torch.randn(10, 4)
    found = integrated_gradients(additive, a, b, baseline, 0.01, 512)
    torch.testing.assert_close(found.signed, additive.added(a, b, baseline), rtol=1e-4, atol=1e-5)
    parts = [((x - baseline) / additive.standardise.std * additive.weight).abs().sum(-1) for x in (a, b)]
    torch.testing.assert_close(found.absolute, torch.cat(parts, dim=1).detach(), rtol=1e-4, atol=1e-5)
    assert (found.steps == 8).all()


class Steep(torch.nn.Module):
    """A step of the logit at half the way, for pairs whose first number is large."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(400 * (x[:, 0, 0] - 50)) * 3 + x[:, 1, 0]


def test_only_pairs_that_need_them_get_more_steps(additive: Any) -> None:
    steep = Steep()
    additive.standardise.fit(torch.zeros(10, 4), torch.ones(10, 4))
    additive.logit = lambda a, b: steep(a) + 0 * b.sum(dim=(1, 2))
    a, b = torch.ones(2, 3, 10, 4)
    a[1, 0, 0] = 101
    found = integrated_gradients(additive, a, b, torch.zeros(10, 4), 0.01, 1024)
    assert found.steps[[0, 2]].tolist() == [8, 8]
    assert 8 < found.steps[1] <= 512  # next to the step only
    assert found.error.max() <= 0.01
    torch.testing.assert_close(found.signed[1, :2], torch.tensor([3.0, 1.0]), rtol=0.01, atol=0)


def test_errors_of_pieces_that_add_up_are_not_left(additive: Any) -> None:
    # many kinks, and a change that is small beside them: one piece is within its share, all together are not
    additive.standardise.fit(torch.zeros(10, 4), torch.ones(10, 4))
    additive.logit = lambda a, b: torch.relu(torch.sin(a[:, 0, 0])) * 0.2 + a[:, 1, 0] * 0.1 + 0 * b.sum(dim=(1, 2))
    a, b = torch.ones(2, 20, 10, 4)
    a[:, 0, 0] = torch.linspace(20, 60, 20)
    for tolerance in (0.03, 0.01):
        assert integrated_gradients(additive, a, b, torch.zeros(10, 4), tolerance, 8192).error.max() <= tolerance


def test_too_few_steps_are_said(additive: Any) -> None:
    steep = Steep()
    additive.standardise.fit(torch.zeros(10, 4), torch.ones(10, 4))
    additive.logit = lambda a, b: steep(a) + 0 * b.sum(dim=(1, 2))
    a, b = torch.ones(2, 1, 10, 4)
    a[0, 0, 0] = 101
    for most in (1, 8, 30):
        found = integrated_gradients(additive, a, b, torch.zeros(10, 4), 0.01, most)
        assert found.steps[0] <= most
        assert found.error[0] > 0.01


def test_a_pair_that_is_its_own_baseline_has_no_values_and_no_error(trained: PairNetwork) -> None:
    baseline = torch.randn_like(trained.standardise.mean)
    found = integrated_gradients(trained, baseline[None], baseline[None], baseline, 0.01, 64)
    assert found.signed.abs().max() == 0
    assert found.error.tolist() == [0]
    assert found.steps.tolist() == [8]


def test_a_protein_whose_segments_all_agree_has_finite_gradients(
    make_network: Callable[..., PairNetwork], random_pairs: Callable[..., Pairs]
) -> None:
    network = make_network("ampx").eval()
    assert isinstance(network, AMPX)
    a, b = random_pairs(2, network)
    a[:, :, :3] = 0.7  # the same in all tokens, as a value that no protein varies in
    found = integrated_gradients(network, a, b, torch.full((13, network.width), 0.7), 0.01, 512)
    assert found.signed.isfinite().all()
    assert found.error.max() <= 0.01
    point = a.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(network(point, b).sum(), point)
    assert gradient.isfinite().all()


def test_impossible_settings_are_refused(additive: Any, random_pairs: Callable[..., Pairs]) -> None:
    a, b = random_pairs(1, additive)
    for tolerance, steps in ((0.0, 16), (0.1, 0)):
        with pytest.raises(ValueError, match="above 0"):
            integrated_gradients(additive, a, b, torch.zeros(10, 4), tolerance, steps)
