"""Principal components: against a full decomposition, whatever the batches, and with too few proteins."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import pytest
import torch
from torch import Tensor

from esm2_amp.models.components import PrincipalComponents


def batches(rows: Tensor, size: int) -> Callable[[], Iterable[Tensor]]:
    return lambda: iter(rows.split(size))


def features(n: int, width: int = 12, seed: int = 0) -> Tensor:
    rng = np.random.default_rng(seed)
    mixed = rng.normal(size=(n, width)) @ rng.normal(size=(width, width)) * np.linspace(3, 0.1, width) + 5
    return torch.from_numpy(mixed).float()


@pytest.mark.parametrize("whitening", [0.0, 0.8, 1.0])
def test_components_are_those_of_the_standardised_features(whitening: float) -> None:
    rows = features(200)
    fitted = PrincipalComponents(12, 4)
    fitted.fit(batches(rows, 33), whitening)
    x = rows.double().numpy()
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    u, s, _ = np.linalg.svd(x, full_matrices=False)
    spread = s[:4] / np.sqrt(len(x) - 1)
    expected = u[:, :4] * s[:4] / spread**whitening
    expected /= np.sqrt(np.mean(expected.var(axis=0, ddof=1)))
    found = fitted(rows).double().numpy()
    signs = np.sign((expected * found).sum(axis=0))  # a component may point either way
    np.testing.assert_allclose(found * signs, expected, atol=2e-4)


def test_the_size_of_the_batches_does_not_matter() -> None:
    rows, found = features(3000), []
    for size in (1, 700, 3000):
        fitted = PrincipalComponents(12, 5)
        fitted.fit(batches(rows[:200] if size == 1 else rows, size), 0.8)
        found.append(fitted(rows[:10]))
    torch.testing.assert_close(found[1], found[2], rtol=0, atol=2e-3)
    assert found[0].isfinite().all()


@pytest.mark.parametrize("n", [1, 2, 5])
def test_components_that_too_few_proteins_cannot_give_are_zero(n: int) -> None:
    fitted = PrincipalComponents(12, 8)
    fitted.fit(batches(features(n), 2), 0.8)
    x = fitted(features(20, seed=1))
    assert x.isfinite().all()
    assert [bool(column.any()) for column in x.T] == [True] * (n - 1) + [False] * (9 - n)


def test_features_that_do_not_vary_do_no_harm() -> None:
    rows = features(50)
    rows[:, 3] = 7.0
    fitted = PrincipalComponents(12, 12)
    fitted.fit(batches(rows, 50), 1.0)
    assert fitted(rows).isfinite().all()
    assert fitted(rows).abs().max() < 20


def test_unfitted_it_hands_on_the_first_features() -> None:
    rows = features(3)
    assert torch.equal(PrincipalComponents(12, 4)(rows), rows[:, :4])
