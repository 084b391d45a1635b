"""Look after feature stores: check every byte, join several, keep some proteins only."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from esm2_amp.errors import InputError
from esm2_amp.features.store import FeatureStore
from esm2_amp.features.store_blocks import Block, Damage, blocks, damages
from esm2_amp.features.store_writer import StoreWriter, sweep
from esm2_amp.io.atomic import atomic_path

_KEY = re.compile("[0-9a-f]{64}")


def verify(store: FeatureStore, advance: Callable[[int], None]) -> Iterator[Damage]:
    """Read every row and yield what is wrong with it, in memory that does not grow with the store.

    Args:
        store: best opened with ``partial=True``, so that files that are too short are told of by row.
        advance: told the number of rows done, now and then.
    """
    for block in blocks(store):
        yield from damages(store, block)
        rows = np.arange(block.start, block.stop)
        first = store.find_digests(store.index["key"][rows])
        for row in rows[(first != rows) & (store.index["length"][rows] > 0)]:
            yield Damage(int(row), store.data / "index.bin", f"the sequence of row {first[row - block.start]} again")
        advance(len(rows))


def ids_without_features(store: FeatureStore) -> Iterator[str]:
    """Ids whose sequence has no row: of an extraction that was interrupted, or of rows that were pruned."""
    ids = store.ids()
    while part := list(islice(ids, 1 << 14)):
        named = [(name, key) for name, key in part if _KEY.fullmatch(key)]
        rows = store.find([key for _, key in named])
        held = {pair for pair, row in zip(named, rows, strict=True) if row >= 0}
        yield from (pair[0] for pair in part if pair not in held)


def names_of(store: FeatureStore, rows: Iterable[int]) -> dict[int, str]:
    """The first id of each of some rows; a row without an id is left out."""
    by_key = {key: row for row in rows for key in store.keys(np.array([row]))}
    names: dict[int, str] = {}
    for name, key in store.ids():
        if key in by_key:
            names.setdefault(by_key[key], name)
    return names


def leftovers(store: FeatureStore) -> int:
    """Bytes beyond the committed rows, of a writer that was killed or is at work; the next writer removes them."""
    return sum(max(0, file.stat().st_size - size) for file, size in store.files().items() if file.exists())


def merge(source: FeatureStore, writer: StoreWriter, advance: Callable[[int], None]) -> int:
    """Copy the rows and ids that a writer's store lacks; what it has already, it keeps.

    Every row is checked while it is copied, and committed with its block: a killed merge goes on where it was.

    Args:
        source: a store of the same encoder, policy and tokens.
        writer: open.
        advance: told the number of rows of ``source`` done, now and then.

    Returns:
        The number of rows copied.

    Raises:
        InputError: the source is of another encoder, policy or tokens, or one of its rows is damaged.
    """
    source.check_encoder(writer.encoder)
    source.check_long(writer.long)
    source.check_holdings(writer.manifest.tokens, writer.manifest.residue_states)
    target = FeatureStore(writer.folder)
    wanted = np.zeros(len(source), dtype=bool)
    for rows in np.split(np.arange(len(source)), range(1 << 16, len(source), 1 << 16)):
        digests = source.index["key"][rows]
        wanted[rows] = (target.find_digests(digests) < 0) & (source.find_digests(digests) == rows)
    copied = copy_rows(source, writer, wanted, advance)
    writer.add_ids(source.ids())
    return copied


def copy_rows(
    source: FeatureStore, writer: StoreWriter, wanted: NDArray[np.bool_], advance: Callable[[int], None]
) -> int:
    """Append the wanted rows (len(source),) to a store that has none of them; returns how many.

    Raises:
        InputError: one of them is damaged.
    """
    copied = 0
    for block in blocks(source):
        rows = block.start + np.flatnonzero(wanted[block.start : block.stop])
        if len(rows):
            wrong = next((damage for damage in damages(source, block) if wanted[damage.row]), None)
            if wrong is not None:
                raise InputError(
                    f"row {wrong.row} is damaged: {wrong.what}",
                    file=wrong.file,
                    remedy=f"Run esm2-amp store prune store={source.folder} damaged=true first, then extract again.",
                )
            index, tokens = source.index[rows], block.tokens[rows - block.start]
            lengths, residues = index["length"].tolist(), index["residues"].tolist()
            writer.append(source.keys(rows), lengths, residues, tokens, _states(source, block, rows))
            copied += len(rows)
        advance(block.stop - block.start)
    return copied


def differing(source: FeatureStore, target: FeatureStore, advance: Callable[[int], None]) -> tuple[int, int]:
    """Count the sequences that two stores of the same tokens share, and those whose values differ.

    Values differ if a component is further away than one float16 rounding step (2^-10) of its vector's largest.

    Returns:
        (shared, of these different).
    """
    shared = different = 0
    for block in blocks(source):
        rows = target.find_digests(source.index["key"][block.start : block.start + len(block.tokens)])
        ours = block.tokens[rows >= 0].astype(np.float32)
        theirs = target.gather(rows[rows >= 0], target.positions).astype(np.float32)
        step = np.maximum(np.abs(ours), np.abs(theirs)).max(axis=2, keepdims=True) * 2.0**-10
        shared += len(ours)
        different += int((np.abs(ours - theirs) > step).any(axis=(1, 2)).sum())
        advance(block.stop - block.start)
    return shared, different


def rewrite(
    source: FeatureStore,
    folder: str | os.PathLike[str],
    wanted: NDArray[np.bool_],
    ids: Iterator[tuple[str, str]],
    advance: Callable[[int], None],
) -> int:
    """A new store in a new folder, of some rows and these ids; the folder is whole or not there.

    Raises:
        InputError: the folder holds something, or a wanted row is damaged.
    """
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"output {str(folder)!r} exists already", remedy="Name a new folder.")
    with atomic_path(folder) as path:
        return _fill(source, path, wanted, ids, advance)


def rewrite_in_place(
    source: FeatureStore, wanted: NDArray[np.bool_], ids: Iterator[tuple[str, str]], advance: Callable[[int], None]
) -> int:
    """Keep some rows and these ids of a store whose lock is held.

    They are written beside the old ones; replacing the manifest is the moment at which they become the store, and
    only then the old files go. A process killed before or after leaves a whole store and files that the next writer
    removes.
    """
    old = source.manifest.data
    number = int(old.removeprefix("rows-")) if old.startswith("rows-") else 0
    new = f"rows-{number + 1}"
    shutil.rmtree(source.folder / new, ignore_errors=True)
    try:
        kept = _fill(source, source.folder / new, wanted, ids, advance)
    except InputError:
        shutil.rmtree(source.folder / new, ignore_errors=True)
        raise
    replace(FeatureStore(source.folder / new).manifest, data=new).write(source.folder)
    sweep(source.folder, new)
    return kept


def _fill(
    source: FeatureStore,
    folder: Path,
    wanted: NDArray[np.bool_],
    ids: Iterator[tuple[str, str]],
    advance: Callable[[int], None],
) -> int:
    keep = source.manifest
    with StoreWriter(folder, keep.encoder, keep.long, keep.shard_rows, keep.tokens, keep.residue_states) as writer:
        writer.add_ids(ids)
        return copy_rows(source, writer, wanted, advance)


def _states(source: FeatureStore, block: Block, rows: NDArray[np.int64]) -> NDArray[np.float16] | None:
    """Residue states of some rows of a block."""
    if block.states is None or len(rows) == block.stop - block.start:
        return block.states
    ends = source.state_offsets - source.state_offsets[block.start]
    return np.concatenate([block.states[ends[row] : ends[row + 1]] for row in rows])
