"""Batches hold the right tokens of the right proteins, in an order that a resumed run repeats."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from esm2_amp.data.datamodule import PairDataModule, pair_loader
from esm2_amp.data.dataset import EpochSampler, PairDataset
from esm2_amp.features.store import FeatureStore
from esm2_amp.layout import CLS_SEGMENTS_EOS, MEAN, SEGMENTS, STORED_TOKENS, TokenLayout


@pytest.mark.parametrize("layout", [SEGMENTS, CLS_SEGMENTS_EOS, MEAN, TokenLayout(("eos", "segment9", "cls"))])
def test_a_batch_is_the_stored_tokens_in_the_layouts_order(
    small_store: FeatureStore, dataset: Callable[[TokenLayout], PairDataset], layout: TokenLayout
) -> None:
    pairs = dataset(layout)
    wanted = [5, 0, 63, 5]
    batch = pairs.__getitems__(wanted)
    everything = np.concatenate(small_store.shards).astype(np.float32)
    for tokens, rows in ((batch.a, pairs.a), (batch.b, pairs.b)):
        assert tokens.dtype == torch.float32
        for i, name in enumerate(layout.names):
            expected = everything[rows[wanted], STORED_TOKENS.index(name)]
            assert np.array_equal(tokens[:, i].numpy(), expected), name
    assert batch.label.tolist() == pairs.label[wanted].tolist()
    assert batch.row.tolist() == wanted


def test_one_pair_is_a_batch_of_one(dataset: Callable[[TokenLayout], PairDataset]) -> None:
    pairs = dataset(SEGMENTS)
    for one, among in zip(pairs[7], pairs.__getitems__([3, 7]), strict=True):
        assert torch.equal(one[0], among[1])


def test_pairs_without_labels_say_so(small_store: FeatureStore) -> None:
    rows = np.array([0, 1])
    pairs = PairDataset(small_store, MEAN, rows, rows, np.array([-1, 1], dtype=np.int8))
    assert pairs.__getitems__([0, 1]).label.tolist() == [-1, 1]


def order(size: int, seed: int, epoch: int) -> list[int]:
    sampler = EpochSampler(size, seed)
    sampler.set_epoch(epoch)
    return list(sampler)


def test_every_epoch_shows_every_pair_once() -> None:
    for epoch in range(3):
        assert sorted(order(100, 1, epoch)) == list(range(100))
    assert list(EpochSampler(0, 1)) == []


def test_the_order_depends_on_seed_and_epoch_alone() -> None:
    orders = {(seed, epoch): order(100, seed, epoch) for seed in range(3) for epoch in range(3)}
    assert len({tuple(found) for found in orders.values()}) == 9
    sampler = EpochSampler(100, 2)
    np.random.default_rng(0).random()
    for epoch in (2, 0, 1, 2):  # whatever epochs came before
        sampler.set_epoch(epoch)
        assert list(sampler) == orders[2, epoch]
        assert list(sampler) == orders[2, epoch]


@pytest.mark.parametrize("seed", [None, 4])
def test_a_loader_gives_every_pair_once(dataset: Callable[[TokenLayout], PairDataset], seed: int | None) -> None:
    pairs = dataset(MEAN)
    batches = list(pair_loader(pairs, 10, 0, None if seed is None else EpochSampler(64, seed)))
    assert [len(batch.row) for batch in batches] == [10] * 6 + [4]
    rows = torch.cat([batch.row for batch in batches])
    assert rows.tolist() == (list(range(64)) if seed is None else order(64, seed, 0))
    assert torch.equal(torch.cat([batch.b for batch in batches]), pairs.__getitems__(rows.tolist()).b)


def test_training_pairs_are_shuffled_and_validation_pairs_are_not(
    dataset: Callable[[TokenLayout], PairDataset],
) -> None:
    data = PairDataModule(dataset(MEAN), dataset(MEAN), batch_size=64, workers=0, seed=1)
    (train,), (val,) = list(data.train_dataloader()), list(data.val_dataloader())
    assert train.row.tolist() == order(64, 1, 0)
    assert val.row.tolist() == list(range(64))
