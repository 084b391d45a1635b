"""Negatives drawn anew each epoch: what is never drawn, how often each protein is, and what repeats."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from esm2_amp.data.datamodule import PairDataModule
from esm2_amp.data.dataset import PairDataset
from esm2_amp.data.fresh_negatives import FreshNegatives, with_pool
from esm2_amp.layout import MEAN, TokenLayout

Make = Callable[[TokenLayout], PairDataset]


def pairs_of(dataset: PairDataset, rows: range) -> list[frozenset[int]]:
    return [frozenset((int(dataset.a[i]), int(dataset.b[i]))) for i in rows]


def test_the_pool_holds_new_pairs_of_the_same_proteins(dataset: Make) -> None:
    given = dataset(MEAN)
    pooled = with_pool(given, seed=3)
    assert np.array_equal(pooled.a[:64], given.a)
    assert np.array_equal(pooled.label[:64], given.label)
    fresh = pairs_of(pooled, range(64, len(pooled)))
    assert len(fresh) > 64
    assert not pooled.label[64:].any()
    assert len(set(fresh)) == len(fresh)
    assert not set(fresh) & set(pairs_of(given, range(64)))
    assert all(len(pair) == 2 for pair in fresh)
    negative = given.label == 0
    among = set(given.a[negative]) | set(given.b[negative])
    assert set().union(*fresh) <= among
    assert (with_pool(given, seed=4).a[64:][:20] != pooled.a[64:][:20]).any()


def test_proteins_are_as_often_in_the_pool_as_in_the_negatives() -> None:
    rng = np.random.default_rng(0)
    hub = np.stack((np.zeros(20, np.int64), np.arange(1, 21)))
    others = rng.integers(1, 400, size=(2, 450))
    a, b = np.concatenate((hub, others[:, others[0] != others[1]]), axis=1)
    kind = type("Store", (), {"check_tokens": lambda *_: None})
    given = PairDataset(kind(), MEAN, a, b, np.zeros(len(a), np.int8))  # type: ignore[arg-type]
    pooled = with_pool(given, seed=0)
    ends = np.concatenate((pooled.a[len(a) :], pooled.b[len(a) :]))
    share = np.mean(ends == 0) * 2
    assert 0.8 * 20 / len(a) < share <= 1.1 * 20 / len(a)


def test_an_epoch_keeps_all_positives_and_exchanges_the_share_of_negatives() -> None:
    label = np.array([1, 0] * 40, np.int8)
    sampler = FreshNegatives(label, pool=100, share=0.25, seed=1)
    epochs = []
    for epoch in (0, 1, 0):
        sampler.set_epoch(epoch)
        epochs.append(list(sampler))
    assert epochs[0] == epochs[2] != epochs[1]
    for rows in epochs:
        assert len(rows) == len(set(rows)) == len(sampler) == 80
        assert set(np.flatnonzero(label)) <= set(rows)
        assert sum(row >= 80 for row in rows) == 10
    assert {row for row in epochs[0] if row >= 80} != {row for row in epochs[1] if row >= 80}


def test_a_pool_too_small_leaves_more_of_the_negatives_given() -> None:
    label = np.array([1, 0] * 40, np.int8)
    assert sum(row >= 80 for row in FreshNegatives(label, pool=3, share=1, seed=1)) == 3
    assert len(list(FreshNegatives(label, pool=0, share=1, seed=1))) == 80


@pytest.mark.parametrize("workers", [0, 1])
def test_training_batches_hold_them_and_validation_does_not(dataset: Make, workers: int) -> None:
    data = PairDataModule(dataset(MEAN), dataset(MEAN), 64, workers, seed=1, fresh_negatives=0.5)
    (train,), (val,) = list(data.train_dataloader()), list(data.val_dataloader())
    assert int((train.row >= 64).sum()) == 16
    assert int(train.label.sum()) == 32
    assert not train.label[train.row >= 64].any()
    assert val.row.tolist() == list(range(64))
