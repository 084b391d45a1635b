"""Fit a :class:`~esm2_amp.explain.surrogate.Surrogate` on training pairs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from esm2_amp.data.folds import Fold, protein_disjoint_folds, stratified_folds
from esm2_amp.errors import InputError
from esm2_amp.explain.autoencoder import AutoencoderSettings, fit_autoencoder
from esm2_amp.explain.codes import CodedPairs, cached_codes
from esm2_amp.explain.dnn import CodeMlp, DnnSettings, fit_dnn, tune_dnn
from esm2_amp.explain.forest import Forest
from esm2_amp.explain.forest_fit import ForestSettings, HeldOut, grow_forest, tune_forest
from esm2_amp.explain.surrogate import Surrogate
from esm2_amp.features.store import FeatureStore
from esm2_amp.layout import TokenLayout

FOLDS = ("proteins", "pairs")


@dataclass(frozen=True)
class SurrogateSettings:
    """How the parts are fitted; ``max_pairs`` pairs at most, drawn by ``seed`` where there are more.

    ``folds_by`` is ``proteins`` (a fold's proteins are in none of its training pairs) or ``pairs`` (by label only).
    """

    autoencoder: AutoencoderSettings
    forest: ForestSettings
    dnn: DnnSettings
    folds: int
    folds_by: str
    max_pairs: int
    seed: int

    def __post_init__(self) -> None:
        if self.folds_by not in FOLDS:
            raise InputError(f"folds_by is {self.folds_by!r}", remedy=f"Use {' or '.join(FOLDS)}.")
        if self.max_pairs < 2:
            raise InputError(f"max_pairs is {self.max_pairs}", remedy="Give 2 or more.")

    def steps(self) -> int:
        """What ``advance`` of :func:`fit_surrogate` is told in all, beside the proteins that are encoded."""
        return self.autoencoder.epochs + self.forest.trials + self.dnn.epochs + 2

    def deal(self, a: NDArray[np.int64], b: NDArray[np.int64], label: NDArray[np.int8]) -> list[Fold]:
        """The folds of some pairs."""
        if self.folds_by == "proteins":
            return protein_disjoint_folds(a, b, label, self.folds, self.seed)
        return stratified_folds(label, self.folds, self.seed)


def fingerprint(
    store: FeatureStore,
    layout: TokenLayout,
    a: NDArray[np.int64],
    b: NDArray[np.int64],
    label: NDArray[np.int8],
    settings: SurrogateSettings,
) -> str:
    """Hexadecimal SHA-256 of all that a surrogate is fitted on: sequences, pairs, labels, tokens, encoder, settings."""
    about = [asdict(settings), list(layout), store.encoder.sha256, str(store.long)]
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    for rows in (a, b):
        digest.update(np.ascontiguousarray(store.index["key"][rows]).tobytes())
    digest.update(np.asarray(label, np.int8).tobytes())
    return digest.hexdigest()


def fit_surrogate(
    store: FeatureStore,
    layout: TokenLayout,
    a: NDArray[np.int64],
    b: NDArray[np.int64],
    label: NDArray[np.int8],
    settings: SurrogateSettings,
    *,
    cache: Path,
    jobs: int,
    advance: Callable[[int], None],
) -> Surrogate:
    """Fit autoencoder, forest and perceptron on training pairs.

    The autoencoder sees the proteins of all folds, but no label.

    Args:
        store: features of every protein.
        layout: tokens to read.
        a: (n,) store rows of the first proteins.
        b: (n,) store rows of the second proteins.
        label: (n,) 0 or 1.
        settings: of each part.
        cache: folder where codes are kept.
        jobs: processor cores for the forest; torch's threads are left as they are.
        advance: told the steps done; ``settings.steps()`` of them, and one for each protein.

    Raises:
        InputError: too few pairs or proteins for the folds; a part that cannot be fitted.
    """
    store.check_tokens(layout.stored)
    made_of = fingerprint(store, layout, a, b, label, settings)
    a, b, label = _sample(a, b, label, settings.max_pairs, settings.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    folds = settings.deal(a, b, label)
    rows = np.unique(np.concatenate((a, b)))
    autoencoder, rebuilt = fit_autoencoder(store, layout, rows, settings.autoencoder, settings.seed, device, advance)
    pairs = CodedPairs(cached_codes(autoencoder, store, layout, rows, cache, advance), a, b, label)
    forest, forest_held = _forest(pairs, folds, settings, jobs, advance)
    dnn, dnn_held = _dnn(pairs, folds, settings, device, advance)
    chosen = np.random.default_rng(settings.seed).permutation(len(a))[: settings.dnn.background]
    return Surrogate(
        layout=layout,
        encoder=store.encoder,
        long=store.long,
        autoencoder=autoencoder,
        forest=forest,
        dnn=dnn,
        background=pairs.both_orders(chosen)[0],
        ig_steps=settings.dnn.ig_steps,
        keys=np.array(store.index["key"][rows]),
        pairs=np.searchsorted(rows, np.stack((a, b), axis=1)).astype(np.int32),
        settings=asdict(settings),
        quality={"autoencoder": asdict(rebuilt), "forest": asdict(forest_held), "dnn": asdict(dnn_held)},
        fingerprint=made_of,
    )


def _forest(
    pairs: CodedPairs, folds: list[Fold], settings: SurrogateSettings, jobs: int, advance: Callable[[int], None]
) -> tuple[Forest, HeldOut]:
    held = tune_forest(pairs, folds, settings.forest, settings.seed, jobs, advance)
    everything = np.arange(len(pairs.a))
    forest = grow_forest(pairs, everything, held.chosen, settings.forest.trees, settings.seed, jobs)
    advance(1)
    return forest, held


def _dnn(
    pairs: CodedPairs,
    folds: list[Fold],
    settings: SurrogateSettings,
    device: torch.device,
    advance: Callable[[int], None],
) -> tuple[CodeMlp, HeldOut]:
    held = tune_dnn(pairs, folds, settings.dnn, settings.seed, device, advance)
    everything = np.arange(len(pairs.a))
    network = fit_dnn(pairs, everything, settings.dnn, held.chosen["epochs"], settings.seed, device)
    advance(1)
    return network, held


def _sample(
    a: NDArray[np.int64], b: NDArray[np.int64], label: NDArray[np.int8], most: int, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int8]]:
    if len(a) <= most:
        return a, b, label
    chosen = np.sort(np.random.default_rng(seed).permutation(len(a))[:most])
    return a[chosen], b[chosen], label[chosen]
