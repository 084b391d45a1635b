"""Proteins into the feature store: batches of similar length, nothing computed twice, resumable."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from esm2_amp.errors import InputError
from esm2_amp.features.alphabet import encode, pad
from esm2_amp.features.encoder import Encoder
from esm2_amp.features.identity import EncoderIdentity, LongPolicy
from esm2_amp.features.pooling import pool
from esm2_amp.features.store import FeatureStore
from esm2_amp.features.store_writer import StoreWriter
from esm2_amp.records import Protein


@dataclass(frozen=True)
class ExtractionReport:
    """What an extraction did: distinct sequences and residues, new and already stored; how many were over-long."""

    computed: int
    present: int
    residues: int
    shortened: int


def plan_batches(lengths: Sequence[int], token_budget: int) -> list[list[int]]:
    """Group proteins of similar length, longest first, so that a padded batch has at most ``token_budget`` tokens.

    A protein longer than the budget is a batch of its own.
    """
    batches: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        if not batches or (len(batches[-1]) + 1) * (lengths[batches[-1][0]] + 2) > token_budget:
            batches.append([])
        batches[-1].append(index)
    return batches


def missing_proteins(proteins: Iterable[Protein], store: FeatureStore) -> dict[str, Protein]:
    """The first protein of every distinct sequence that the store does not have, by sequence key."""
    distinct: dict[str, Protein] = {}
    for protein in proteins:
        distinct.setdefault(protein.key, protein)
    rows = store.find(list(distinct))
    return {key: protein for (key, protein), row in zip(distinct.items(), rows, strict=True) if row < 0}


def extract(
    proteins: Sequence[Protein],
    folder: str,
    identity: EncoderIdentity,
    load_encoder: Callable[[], Encoder],
    long: LongPolicy,
    token_budget: int,
    start: Callable[[int, int], None],
    advance: Callable[[int], None],
) -> ExtractionReport:
    """Put the tokens of every protein into the store at ``folder``, computing only what it lacks.

    Every batch is committed when it is done: a killed run loses the batch in work, and the same call goes on.

    Args:
        proteins: any number; a sequence under several ids is computed once.
        folder: the feature store, made if absent.
        identity: who ``load_encoder`` loads.
        load_encoder: called only if something is to be computed.
        long: policy for long proteins.
        token_budget: most tokens in a padded batch.
        start: told the number of sequences and residues to compute.
        advance: told the residues done after each batch.

    Raises:
        InputError: the store refuses (see :class:`~esm2_amp.features.store.StoreWriter`), or a state is not finite.
    """
    with StoreWriter(folder, identity, long) as writer:
        writer.add_ids([(protein.id, protein.key) for protein in proteins])
        missing = missing_proteins(proteins, FeatureStore(folder))
        keys, todo = list(missing), list(missing.values())
        used = [long.residues(len(protein.sequence)) for protein in todo]
        start(len(todo), sum(used))
        encoder = load_encoder() if todo else None
        for batch in plan_batches(used, token_budget):
            chosen = [todo[i] for i in batch]
            tokens = _tokens(encoder, chosen, [used[i] for i in batch])
            lengths = [len(protein.sequence) for protein in chosen]
            writer.append([keys[i] for i in batch], lengths, [used[i] for i in batch], tokens)
            advance(sum(used[i] for i in batch))
    distinct = len({protein.key for protein in proteins})
    shortened = sum(n < len(protein.sequence) for n, protein in zip(used, todo, strict=True))
    return ExtractionReport(len(todo), distinct - len(todo), sum(used), shortened)


def _tokens(encoder: Encoder | None, proteins: Sequence[Protein], used: Sequence[int]) -> np.ndarray:
    """(n, 13, D) float16 tokens of one batch."""
    if encoder is None:
        raise ValueError("an encoder is needed to compute tokens")
    rows = [encode(protein.sequence[:n]) for protein, n in zip(proteins, used, strict=True)]
    states = encoder.states(torch.from_numpy(pad(rows)))
    tokens = pool(states, used).half().cpu().numpy()
    bad = ~np.isfinite(tokens).all(axis=(1, 2))
    if bad.any():
        raise InputError(
            f"the encoder {encoder.identity} gives values that are not finite for protein {proteins[bad.argmax()].id}",
            remedy="Use precision=float32, or check the weights.",
        )
    return tokens
