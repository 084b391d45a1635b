"""A feature store read from its first row to its last, in blocks that fit into memory, each row checked."""

from __future__ import annotations

from collections.abc import Iterator
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
    pairs = zip(index["length"].tolist(), index["residues"].tolist(), strict=True)
    for row, (length, residues) in enumerate(pairs, start=block.start):
        if not length:
            yield Damage(row, file, "the file ends before its record" if store.partial else "its length is 0")
        elif residues != store.long.residues(length):
            yield Damage(row, file, f"{residues} of {length} residues encoded, though long={store.long}")
    shard = store.data / shard_name(block.start // store.shard_rows)
    held = index[: len(block.tokens)]
    crcs = row_crcs(held, block.tokens, store.manifest.crc)
    finite = np.asarray(np.isfinite(block.tokens).all(axis=(1, 2)))
    yield from _wrong(block, shard, finite, np.array(crcs, dtype=np.uint32) == held["crc"])
    if block.states is not None:
        ends = store.state_offsets[block.start : block.stop + 1] - store.state_offsets[block.start]
        count = min(int((ends[1:] <= len(block.states)).sum()), max(0, len(store.state_crcs) - block.start))
        parts = [block.states[ends[i] : ends[i + 1]] for i in range(count)]
        same = np.array(state_crcs(parts), dtype=np.uint32) == store.state_crcs[block.start : block.start + count]
        finite = np.array([np.isfinite(part).all() for part in parts], dtype=bool)
        yield from _wrong(block, store.data / RESIDUE_STATES, finite, same)


def _wrong(block: Block, file: Path, finite: NDArray[np.bool_], same: NDArray[np.bool_]) -> Iterator[Damage]:
    """Damage of the rows of a block, given whether each one's values, as far as there are any, are as they should."""
    for at in np.flatnonzero(~(finite & same)).tolist():
        what = "not what was written (the checksum differs)" if finite[at] else "a value is not finite"
        yield Damage(block.start + at, file, what)
    for row in range(block.start + len(same), block.stop):
        yield Damage(row, file, "the file ends before it")
