"""The background: whose mean, the same for the same seed, and refused where there is none."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from esm2_amp.errors import InputError
from esm2_amp.explain.background import training_mean
from esm2_amp.features.store import FeatureStore
from esm2_amp.models.network import PairNetwork
from esm2_amp.models.networks import NETWORKS

Make = Callable[..., PairNetwork]
NONE = np.array([], dtype=np.int64)


@pytest.mark.parametrize("name", list(NETWORKS))
def test_it_is_the_mean_of_distinct_training_proteins(make_network: Make, small_store: FeatureStore, name: str) -> None:
    network = make_network(name)
    rows = np.array([5, 3, 3, 20, 3])  # of many pairs, still one protein
    expected = small_store.gather(np.array([3, 5, 20]), network.layout.stored).astype(np.float64).mean(axis=0)
    found = training_mean(network, small_store, rows, seed=0, size=10)
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-6, atol=1e-6)


def test_more_than_size_are_drawn_with_the_seed(make_network: Make, small_store: FeatureStore) -> None:
    network, rows = make_network("amps"), np.arange(24)
    found = [training_mean(network, small_store, rows, seed, 6) for seed in (1, 1, 2)]
    assert torch.equal(found[0], found[1])
    assert not torch.allclose(found[0], found[2])
    assert torch.equal(training_mean(network, small_store, rows[::-1], 1, 6), found[0])


def test_without_proteins_it_is_the_mean_in_the_model(make_network: Make, small_store: FeatureStore) -> None:
    network = make_network("amps")
    kept = torch.randn(10, network.width)
    network.standardise.fit(kept, torch.ones(10, network.width))
    found = training_mean(network, small_store, NONE, 0, 6)
    assert torch.equal(found, kept)
    found += 1  # a copy: the network's own mean stays
    assert torch.equal(network.standardise.mean, kept)


def test_without_proteins_and_without_a_mean_it_is_refused(make_network: Make, small_store: FeatureStore) -> None:
    with pytest.raises(InputError, match=r"no training protein.*standardise=false.*extract them"):
        training_mean(make_network("amps"), small_store, NONE, 0, 6)
