"""Sequences as queries, embedded on the fly as the vectors were."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from esm2_amp.errors import InputError
from esm2_amp.features.identity import EncoderIdentity, LongPolicy
from esm2_amp.features.store import FeatureStore
from esm2_amp.io.fasta import read_fasta
from esm2_amp.layout import STORED_TOKENS
from esm2_amp.neighbours.queries import Asked, Neighbours
from esm2_amp.records import Protein
from esm2_amp.tasks.config_neighbours import NeighboursConfig
from esm2_amp.tasks.embedding import EncoderChoice, check_features, ensure_features, is_complete, store_folder


def embedded(near: Neighbours, config: NeighboursConfig, fasta: str) -> Asked:
    """The proteins of a FASTA file, embedded as the vectors were.

    Raises:
        InputError: the vectors are no features of a store, or the encoder that made them is not at hand.
    """
    source = near.vectors.manifest.source
    if "encoder" not in source:
        raise InputError(
            f"fasta={fasta}, but these vectors do not come from a feature store: who made them is not known",
            file=near.vectors.folder,
            remedy="Embed the sequences as the vectors were, and ask with query=FILE.",
        )
    check_features(config.features)
    proteins = list(read_fasta(fasta))
    store = _features(proteins, source, config)
    rows = store.find([protein.key for protein in proteins])
    tokens = store.gather(rows, [STORED_TOKENS.index(token) for token in source["tokens"]])
    vectors: NDArray[np.float32] = tokens.reshape(len(rows), -1).astype(np.float32)
    return Asked([protein.id for protein in proteins], np.full(len(rows), -1, np.int64), vectors)


def _features(proteins: list[Protein], source: dict[str, Any], config: NeighboursConfig) -> FeatureStore:
    """A store with all of them: one that is there already, or computed."""
    identity, policy = EncoderIdentity(**source["encoder"]), LongPolicy(**source["long"])
    features = config.features
    features.long, features.max_residues, features.residues = policy.mode, policy.max_residues, False
    folder = store_folder(features, identity)
    for there in (source["name"], folder):
        if is_complete(there, proteins) and _is_of(store := FeatureStore(there), identity, policy):
            return store
    choice = EncoderChoice(config.encoder, features)
    if not identity.same_weights(choice.identity):
        raise InputError(
            f"the vectors are features of {identity}, not of {choice.identity}",
            file=Path(config.vectors),
            remedy="Name the encoder that made them: encoder=esm2_650m and so on, or encoder.path=FOLDER.",
        )
    return ensure_features(proteins, choice, folder)


def _is_of(store: FeatureStore, identity: EncoderIdentity, policy: LongPolicy) -> bool:
    return store.encoder.same_weights(identity) and str(store.long) == str(policy)
