"""A feature store read from its first row to its last, in blocks that fit into memory, each row checked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from esm2_amp.features.store import RESIDUE_STATES, FeatureStore, shard_name
from esm2_amp.features.store_writer import row_crcs, state_crcs

_BLOCK_BYTES = 8 << 20


@dataclass(frozen=True)
class Block:
    """Rows ``start`` to ``stop - 1`` of a store: tokens (rows, T, D) and, one after the other, residue states (n, D).

    Both may end early where the store's files do.
    """

    start: int
    stop: int
    tokens: NDArray[np.float16]
    states: NDArray[np.float16] | None


@dataclass(frozen=True)
class Damage:
    """What is wrong with a row, and in which file."""

    row: int
    file: Path
    what: str


def blocks(store: FeatureStore) -> Iterator[Block]:
    """The whole store, a few megabytes at a time (or one row, if it is larger)."""
    size = np.arange(store.rows + 1) * (len(store.tokens) * store.width * 2)
    if store.manifest.residue_states:
        size = size + store.state_offsets * (store.width * 2)
    start = 0
    while start < store.rows:
        stop = int(np.searchsorted(size, size[start] + _BLOCK_BYTES, side="right")) - 1
        shard_end = (start // store.shard_rows + 1) * store.shard_rows
        stop = min(max(stop, start + 1), shard_end, store.rows)
        states = store.state_block(start, stop) if store.manifest.residue_states else None
        yield Block(start, stop, store.block(start, stop), states)
        start = stop


def damages(store: FeatureStore, block: Block) -> Iterator[Damage]:
    """What is wrong in a block: records that cannot be, values that are not finite or not those that were written."""
    index, file = store.index[block.start : block.stop], store.data / "index.bin"
    for row, record in enumerate(index, start=block.start):
        length, residues = int(record["length"]), int(record["residues"])
        if not length:
            yield Damage(row, file, "the file ends before its record" if store.partial else "its length is 0")
        elif residues != store.long.residues(length):
            yield Damage(row, file, f"{residues} of {length} residues encoded, though long={store.long}")
    shard = store.data / shard_name(block.start // store.shard_rows)
    held = index[: len(block.tokens)]
    crcs = row_crcs(held, block.tokens, store.manifest.crc)
    yield from _wrong(block, shard, list(block.tokens), crcs, held["crc"])
    if block.states is not None:
        ends = store.state_offsets[block.start : block.stop + 1] - store.state_offsets[block.start]
        count = min(int((ends[1:] <= len(block.states)).sum()), max(0, len(store.state_crcs) - block.start))
        parts = [block.states[ends[i] : ends[i + 1]] for i in range(count)]
        written = store.state_crcs[block.start : block.start + count]
        yield from _wrong(block, store.data / RESIDUE_STATES, parts, state_crcs(parts), written)


def _wrong(
    block: Block, file: Path, parts: Sequence[NDArray[np.float16]], crcs: Sequence[int], written: NDArray[np.uint32]
) -> Iterator[Damage]:
    """Damage of each row of a block, given its values as far as there are any, their CRCs, and the CRCs to be."""
    for row in range(block.start + len(parts), block.stop):
        yield Damage(row, file, "the file ends before it")
    for row, (values, crc, wanted) in enumerate(zip(parts, crcs, written, strict=True), start=block.start):
        if not np.isfinite(values).all():
            yield Damage(row, file, "a value is not finite")
        elif crc != wanted:
            yield Damage(row, file, "not what was written (the checksum differs)")
