"""A small world with a known answer: a pair interacts because of one token of each chain."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from esm2_amp.explain.autoencoder import AutoencoderSettings
from esm2_amp.explain.dnn import DnnSettings
from esm2_amp.explain.forest_fit import ForestSettings
from esm2_amp.explain.surrogate_fit import SurrogateSettings
from esm2_amp.features.identity import EncoderIdentity, LongPolicy
from esm2_amp.features.store import FeatureStore
from esm2_amp.features.store_writer import StoreWriter
from esm2_amp.layout import STORED_TOKENS
from esm2_amp.records import sequence_key

SEGMENT = 3
"""The segment that decides."""
PROTEINS, WIDTH = 90, 16


class Pairs(NamedTuple):
    a: NDArray[np.int64]
    b: NDArray[np.int64]
    label: NDArray[np.int8]


class Planted(NamedTuple):
    """Tokens have two hidden numbers; a pair interacts if the first ones of both planted segments add up above zero."""

    store: FeatureStore
    train: Pairs
    test: Pairs


SETTINGS = SurrogateSettings(
    autoencoder=AutoencoderSettings((8,), 3, None, epochs=25, patience=5, batch_size=8, lr=0.01, held_out=0.1),
    forest=ForestSettings(
        trees=40,
        trial_trees=10,
        trials=2,
        space={"max_depth": {"type": "int", "low": 4, "high": 8}, "max_features": 0.5},
    ),
    dnn=DnnSettings((16,), 15, 3, 32, 0.01, 0.01, 20, 512),
    folds=2,
    folds_by="proteins",
    max_pairs=1000,
    seed=0,
)


def plant(folder: Path) -> Planted:
    """Write the store of this world into a folder and draw its pairs; test pairs are of proteins of their own."""
    rng = np.random.default_rng(7)
    hidden = rng.normal(size=(PROTEINS, len(STORED_TOKENS), 2))
    tokens = hidden @ rng.normal(size=(2, WIDTH)) + 0.05 * rng.normal(size=(PROTEINS, len(STORED_TOKENS), WIDTH))
    with StoreWriter(folder, EncoderIdentity("planted", "1" * 64, WIDTH), LongPolicy("full", 1022)) as writer:
        keys = [sequence_key("A" * (n + 1)) for n in range(PROTEINS)]
        writer.append(keys, [50] * PROTEINS, [50] * PROTEINS, tokens.astype(np.float16))
    decides = hidden[:, STORED_TOKENS.index(f"segment{SEGMENT}"), 0]

    def pairs(low: int, high: int, count: int) -> Pairs:
        a, b = rng.integers(low, high, size=(2, count))
        return Pairs(a, b, (decides[a] + decides[b] > 0).astype(np.int8))

    return Planted(FeatureStore(folder), pairs(0, 60, 300), pairs(60, PROTEINS, 40))
