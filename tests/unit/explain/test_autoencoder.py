"""The autoencoder: sizes as published, unit spectral norms, and better than what is known without it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from surrogate_world import Planted, plant

from esm2_amp.errors import InputError
from esm2_amp.explain.autoencoder import Autoencoder, AutoencoderSettings, fit_autoencoder
from esm2_amp.features.store import FeatureStore
from esm2_amp.layout import MEAN, SEGMENTS, TokenLayout

PUBLISHED = AutoencoderSettings((512, 256), 150, 1280, 100, 10, 16, 1e-3, 0.1)
SMALL = AutoencoderSettings((8,), 2, None, epochs=40, patience=10, batch_size=8, lr=0.01, held_out=0.1)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    return plant(tmp_path_factory.mktemp("planted") / "store")


def fit(
    store: FeatureStore, layout: TokenLayout = SEGMENTS, seed: int = 0, settings: AutoencoderSettings = SMALL
) -> tuple[Autoencoder, Any]:
    return fit_autoencoder(store, layout, np.arange(len(store)), settings, seed, CPU, lambda _: None)


def test_sizes_are_the_published_ones_in_proportion() -> None:
    assert PUBLISHED.sizes(1280) == (512, 256, 150)
    assert PUBLISHED.sizes(192) == (77, 38, 22)
    assert PUBLISHED.sizes(2) == (1, 1, 1)
    assert replace(PUBLISHED, scale_from=None).sizes(192) == (512, 256, 150)


def test_two_hidden_numbers_are_found_by_a_code_of_two(planted: Planted) -> None:
    network, worth = fit(planted.store)
    assert worth.explained_variance > 0.97
    assert worth.held_out == 9
    tokens = torch.from_numpy(planted.store.gather(np.arange(5), SEGMENTS.stored)).float()
    assert network.encode(tokens).shape == (5, 10, 2)


def test_noise_has_no_code(small_store: FeatureStore) -> None:
    assert fit(small_store)[1].explained_variance < 0.3  # 2 of 32 independent numbers


def test_a_seed_repeats_and_another_does_not(planted: Planted) -> None:
    short = replace(SMALL, epochs=3)
    states = [fit(planted.store, seed=seed, settings=short)[0].state_dict() for seed in (0, 0, 1)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert not all(torch.equal(states[0][name], states[2][name]) for name in states[0])


def test_every_matrix_has_a_spectral_norm_near_one(planted: Planted) -> None:
    network, _ = fit(planted.store)
    matrices = [m.weight.detach() for m in network.modules() if isinstance(m, torch.nn.Linear)]
    assert len(matrices) == 6
    for matrix in matrices:
        assert torch.linalg.matrix_norm(matrix, ord=2).item() == pytest.approx(1, abs=0.02)


def test_a_protein_is_coded_alike_in_any_company(planted: Planted) -> None:
    network, _ = fit(planted.store, MEAN)
    tokens = torch.from_numpy(planted.store.gather(np.arange(20), MEAN.stored)).float()
    with torch.inference_mode():
        torch.testing.assert_close(network.encode(tokens)[7:8], network.encode(tokens[7:8]))


def test_progress_adds_up_even_where_training_stops_early(planted: Planted) -> None:
    told: list[int] = []
    settings = replace(SMALL, patience=1, epochs=200)
    rows = np.arange(len(planted.store))
    _, worth = fit_autoencoder(planted.store, SEGMENTS, rows, settings, 0, CPU, told.append)
    assert sum(told) == 200
    assert worth.epochs < 200


def test_a_protein_counts_once_however_many_pairs_it_has(planted: Planted) -> None:
    short = replace(SMALL, epochs=2)
    once, often = (
        fit_autoencoder(planted.store, SEGMENTS, rows, short, 0, CPU, lambda _: None)[0].state_dict()
        for rows in (np.arange(40), np.repeat(np.arange(40), 3)[::-1])
    )
    assert all(torch.equal(once[name], often[name]) for name in once)


def test_too_few_proteins_are_refused(planted: Planted) -> None:
    with pytest.raises(InputError, match="7 proteins to train an autoencoder on"):
        fit_autoencoder(planted.store, SEGMENTS, np.arange(7), SMALL, 0, CPU, lambda _: None)


@pytest.mark.parametrize(
    "change", [{"code": 0}, {"hidden": (8, 0)}, {"epochs": 0}, {"lr": 0.0}, {"held_out": 1.0}, {"scale_from": 0}]
)
def test_impossible_settings_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=f"autoencoder {next(iter(change))}"):
        replace(SMALL, **change)
