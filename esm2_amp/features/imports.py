"""Existing embeddings into a feature store: compared with the encoder, pooled, and written."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from esm2_amp.features.archives import Foreign, values
from esm2_amp.features.embed import Embedder
from esm2_amp.features.encoder import Encoder
from esm2_amp.features.import_plan import Plan, wrong
from esm2_amp.features.pooling import BatchPool, Piece
from esm2_amp.features.store import FeatureStore
from esm2_amp.features.store_writer import StoreWriter
from esm2_amp.layout import SEGMENT_NAMES, STORED_TOKENS

LEAST_COSINE = 0.99
_BATCH_BYTES = 8 << 20
_BATCH_ROWS = 512  # arrays that are not read yet cost memory too: an open dataset of HDF5 some 20 kB


def check_against(encoder: Encoder, planned: Plan, count: int) -> dict[str, float]:
    """Compute the shortest proteins again and compare.

    Args:
        encoder: who is said to have made the embeddings.
        planned: the import.
        count: how many proteins.

    Returns:
        The least cosine of each token.

    Raises:
        InputError: a cosine below :data:`LEAST_COSINE`.
    """
    shortest = sorted(planned.chosen, key=lambda name: len(planned.chosen[name].sequence))[:count]
    least: dict[str, float] = {}
    embed = Embedder(encoder, planned.long, token_budget=1024, residue_states=False)
    for name, foreign in planned.source.read(set(shortest)):
        protein = planned.chosen[name]
        used = planned.long.residues(len(protein.sequence))
        positions = [STORED_TOKENS.index(token) for token in planned.tokens]
        ours = embed([protein]).tokens[0][positions].astype(np.float32)
        for token, cosine in zip(planned.tokens, _cosines(ours, _pooled(planned, name, foreign, used)), strict=True):
            least[token] = min(least.get(token, 1.0), cosine)
            if not cosine >= LEAST_COSINE:
                raise wrong(
                    planned.source,
                    name,
                    f"its {token} is not what {planned.encoder} computes for {protein.id} (cosine {cosine:.3f})",
                    "Name the encoder and the sequences that the embeddings were made with.",
                )
    return least


def write(
    planned: Plan,
    folder: str | os.PathLike[str],
    ids: Sequence[tuple[str, str]],
    start: Callable[[int], None],
    advance: Callable[[int], None],
) -> int:
    """Put what is planned into the store at ``folder``, made if absent; a sequence that it has is skipped.

    Args:
        planned: from :func:`plan`.
        folder: the store.
        ids: (id, sequence key) to remember.
        start: told the number of proteins to come.
        advance: told the number of proteins done after each batch.

    Returns:
        The number of rows written.

    Raises:
        InputError: the store refuses, or a value is not finite in float16; finished batches are kept.
    """
    with StoreWriter(
        folder, planned.encoder, planned.long, tokens=planned.tokens, residue_states=planned.residue_states
    ) as writer:
        keys = [protein.key for protein in planned.chosen.values()]
        rows = FeatureStore(folder).find(keys)
        missing = {name for name, row in zip(planned.chosen, rows, strict=True) if row < 0}
        start(len(missing))
        for batch in _batches(planned, missing):
            _append(writer, planned, batch)
            advance(len(batch))
        writer.add_ids(ids)
    return len(missing)


def _batches(planned: Plan, names: set[str]) -> Iterator[list[tuple[str, Foreign]]]:
    batch, size = list[tuple[str, Foreign]](), 0
    for name, foreign in planned.source.read(names):
        batch.append((name, foreign))
        residues = foreign.states.shape[0] if planned.residue_states and foreign.states is not None else 0
        size += (len(planned.tokens) + residues) * planned.encoder.width * 4
        if size > _BATCH_BYTES or len(batch) == _BATCH_ROWS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _append(writer: StoreWriter, planned: Plan, batch: Sequence[tuple[str, Foreign]]) -> None:
    proteins = [planned.chosen[name] for name, _ in batch]
    used = [planned.long.residues(len(protein.sequence)) for protein in proteins]
    rows = [
        _half(planned, name, _pooled(planned, name, foreign, n)) for (name, foreign), n in zip(batch, used, strict=True)
    ]
    states = None
    if planned.residue_states:
        kept = ((name, foreign.states) for name, foreign in batch if foreign.states is not None)
        states = np.concatenate([_half(planned, name, values(planned.source, name, array)) for name, array in kept])
    lengths = [len(protein.sequence) for protein in proteins]
    writer.append([protein.key for protein in proteins], lengths, used, np.stack(rows), states)


def _pooled(planned: Plan, name: str, foreign: Foreign, residues: int) -> NDArray[np.float32]:
    """(T, D) of the tokens of one protein."""
    vectors = {token: values(planned.source, name, vector) for token, vector in foreign.vectors.items()}
    if foreign.states is not None:
        whole, width = Piece(0, 0, residues), planned.encoder.width
        framed = torch.zeros(len(whole), width)  # cls and eos, which pooling expects around
        framed[1:-1] = torch.from_numpy(values(planned.source, name, foreign.states))
        pool = BatchPool([residues], [whole], width, framed.device, residue_states=False)
        pool.add([whole], framed)
        pooled = dict(zip(STORED_TOKENS, pool.tokens()[0].numpy(), strict=True))
        vectors |= {token: pooled[token] for token in (*SEGMENT_NAMES, "mean")}
    return np.stack([vectors[token] for token in planned.tokens])


def _half(planned: Plan, name: str, exact: NDArray[np.float32]) -> NDArray[np.float16]:
    with np.errstate(over="ignore"):
        half = exact.astype(np.float16)
    if not np.isfinite(half).all():
        raise wrong(
            planned.source,
            name,
            "a value is not finite, or too large for float16",
            "Take it out of the source, then run the same command again: what is imported already is kept.",
        )
    return half


def _cosines(a: NDArray[np.float32], b: NDArray[np.float32]) -> list[float]:
    """Cosine of each row; two zero vectors (segments of a very short protein) are the same."""
    sizes = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    zero = ~a.any(axis=1) & ~b.any(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return [float(value) for value in np.where(zero, 1.0, (a * b).sum(axis=1) / sizes)]
