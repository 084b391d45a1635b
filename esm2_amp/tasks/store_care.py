"""``esm2-amp store verify``, ``store merge`` and ``store prune``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from esm2_amp.errors import InputError
from esm2_amp.features.store import FeatureStore
from esm2_amp.features.store_blocks import Damage
from esm2_amp.features.store_care import (
    differing,
    ids_without_features,
    leftovers,
    merge,
    names_of,
    rewrite,
    rewrite_in_place,
    verify,
)
from esm2_amp.features.store_lock import StoreLock
from esm2_amp.features.store_parts import part_folders, rows_in_parts
from esm2_amp.features.store_writer import StoreWriter
from esm2_amp.io.fasta import read_fasta
from esm2_amp.tasks.config import StoreConfig
from esm2_amp.tasks.console import log, progress, say, show_table

_SHOWN = 20


def verify_store(config: StoreConfig) -> None:
    """Check every byte; a damaged store is the user's business and ends with exit code 2."""
    store = FeatureStore(config.store, partial=True)
    damaged = _verified(store)
    lost = ids_without_features(store)
    if (first := next(lost, None)) is not None:
        say(f"{1 + sum(1 for _ in lost)} ids have no features, first {first!r}: extract them, if they are wanted.")
    if beyond := leftovers(store):
        say(f"{beyond:,} bytes lie beyond the finished rows: an unfinished batch, which the next writer removes.")
    if parts := part_folders(store.folder):
        say(
            f"Parts not joined yet: {len(parts)}, with {rows_in_parts(store.folder):,} sequences, of an extraction by "
            "several processes that is at work or was killed. The next extraction joins them."
        )
    if not damaged:
        say(f"{store.folder}: {len(store):,} sequences, all as they were written.")
        return
    rows = sorted({damage.row for damage in damaged})
    names = names_of(store, rows)
    table = [[names.get(d.row, "-"), *store.keys(np.array([d.row])), str(d.row), d.file.name, d.what] for d in damaged]
    show_table(f"damaged in {store.folder}", ["protein", "sequence key", "row", "file", "damage"], table)
    raise InputError(
        f"{len(rows)} of {len(store)} sequences are damaged, first {names.get(rows[0], 'row ' + str(rows[0]))!r}",
        file=store.folder,
        remedy=f"Run esm2-amp store prune store={config.store} damaged=true, then extract again.",
    )


def merge_stores(config: StoreConfig) -> None:
    """Join stores of one encoder."""
    folders = config.merged()
    if not folders:
        raise InputError("sources is not given", remedy="Add sources=[A,B].")
    if Path(config.store).resolve() in {Path(folder).resolve() for folder in folders}:
        raise InputError(f"store {config.store!r} is among the sources", remedy="Leave it out of sources.")
    sources = [FeatureStore(folder) for folder in folders]
    kind = sources[0].manifest
    for source in sources:
        source.check_encoder(kind.encoder)
        source.check_long(kind.long)
        source.check_holdings(kind.tokens, kind.residue_states)
    with StoreWriter(
        config.store, kind.encoder, kind.long, tokens=kind.tokens, residue_states=kind.residue_states
    ) as writer:
        rows = [_merge_one(source, writer) for source in sources]
        total = writer.rows
    rows.append(["together", f"{total:,}", "", "", ""])
    show_table(config.store, ["merged", "sequences", "copied", "there already", "of these different"], rows)


def prune_store(config: StoreConfig) -> None:
    """Keep some proteins of a store."""
    if config.fasta is None and not config.damaged:
        raise InputError("nothing says what to keep", remedy="Add fasta=FILE (keep these) or damaged=true.")
    keys = None if config.fasta is None else {protein.key for protein in read_fasta(config.fasta)}
    FeatureStore(config.store, partial=True)  # refuses what is no store, before a lock is put there
    with StoreLock(config.store) if config.output is None else nullcontext():
        store = FeatureStore(config.store, partial=True)
        wanted = _wanted(store, keys, config)
        ids = (pair for pair in store.ids() if keys is None or pair[1] in keys)
        _tell_dropped(store, np.flatnonzero(~wanted).tolist())
        if config.output is None and wanted.all():
            return
        with progress("prune", "rows") as (begin, advance):
            begin(len(store))
            if config.output is None:
                kept = rewrite_in_place(store, wanted, ids, advance)
            else:
                kept = rewrite(store, config.output, wanted, ids, advance)
    say(f"{kept:,} sequences kept in {config.output or config.store}")


def _wanted(store: FeatureStore, keys: set[str] | None, config: StoreConfig) -> NDArray[np.bool_]:
    wanted = np.ones(len(store), dtype=bool)
    if keys is not None:
        rows = store.find(list(keys))
        wanted[:] = False
        wanted[rows[rows >= 0]] = True
        if not wanted.any():
            raise InputError(
                f"none of the {len(keys)} sequences of the FASTA file is in the store",
                file=config.fasta,
                remedy="Name the proteins to keep.",
            )
        if (rows < 0).any():
            say(f"{int((rows < 0).sum())} of {len(keys)} sequences of {config.fasta} are not in the store.")
    if config.damaged:
        wanted[[damage.row for damage in _verified(store)]] = False
    return wanted


def _verified(store: FeatureStore) -> Sequence[Damage]:
    with progress("verify", "rows") as (begin, advance):
        begin(len(store))
        return list(verify(store, advance))


def _merge_one(source: FeatureStore, writer: StoreWriter) -> list[str]:
    with progress(f"merge {source.folder}", "rows") as (begin, advance):
        begin(2 * len(source))
        shared, different = differing(source, FeatureStore(writer.folder), advance)
        copied = merge(source, writer, advance)
    if different:
        log.warning("%d sequences of %s differ from those kept from earlier stores.", different, source.folder)
    return [str(source.folder), f"{len(source):,}", f"{copied:,}", f"{shared:,}", f"{different:,}"]


def _tell_dropped(store: FeatureStore, rows: Iterable[int]) -> None:
    rows = list(rows)
    names = names_of(store, rows)
    say(f"{len(rows):,} of {len(store):,} sequences are dropped.")
    for row in rows[:_SHOWN]:
        say(f"  {names.get(row, '-')}  {store.keys(np.array([row]))[0]}")
    if len(rows) > _SHOWN:
        say(f"  and {len(rows) - _SHOWN:,} more")
