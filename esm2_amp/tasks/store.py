"""``esm2-amp store``: info and export here; the other actions in :mod:`store_care` and :mod:`store_import`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from omegaconf import DictConfig

from esm2_amp.errors import InputError
from esm2_amp.features.export import FORMS, export_atlas, export_store, is_hdf5, select
from esm2_amp.features.store import RESIDUE_STATES, FeatureStore
from esm2_amp.features.store_parts import part_folders, rows_in_parts
from esm2_amp.io.fasta import read_fasta
from esm2_amp.layout import SEGMENT_NAMES
from esm2_amp.tasks.config import StoreConfig
from esm2_amp.tasks.console import progress, say, show_table, start_logging
from esm2_amp.tasks.options import typed
from esm2_amp.tasks.store_care import merge_stores, prune_store, verify_store
from esm2_amp.tasks.store_import import import_source


def run(cfg: DictConfig) -> None:
    """Dispatch the action."""
    config = typed(StoreConfig, cfg)
    start_logging()
    actions: dict[str, Callable[[StoreConfig], None]] = {
        "info": _info,
        "verify": verify_store,
        "merge": merge_stores,
        "prune": prune_store,
        "export": _export,
        "import": import_source,
    }
    if config.action not in actions:
        raise InputError(f"store cannot {config.action!r}", remedy=f"Use store {', store '.join(actions)}.")
    actions[config.action](config)


def _info(config: StoreConfig) -> None:
    store = FeatureStore(config.store)
    lengths, residues = store.index["length"], store.index["residues"]
    kinds = _bytes(store)
    data = kinds["tokens"] + kinds["residue states"]
    overhead = f"{100 * (sum(kinds.values()) - data) / data:.2f} %" if data else "-"
    named = ", ".join(store.tokens).replace(", ".join(SEGMENT_NAMES), f"{SEGMENT_NAMES[0]} to {SEGMENT_NAMES[-1]}")
    rows = [
        ["encoder", str(store.encoder)],
        ["long proteins", f"{store.long}; {int((residues < lengths).sum())} shortened"],
        ["tokens", f"{len(store.tokens)}: {named}"],
        ["residue states", "kept" if store.manifest.residue_states else "not kept"],
        ["sequences", f"{len(store):,}"],
        ["residues", f"{int(residues.sum(dtype='u8')):,}"],
        ["shortest, longest", f"{lengths.min()}, {lengths.max()}" if len(store) else "-"],
        ["ids met", f"{sum(1 for _ in store.ids()):,}"],
        ["bytes", f"{sum(kinds.values()):,}"],
        *([f"  of {kind}", f"{size:,}"] for kind, size in kinds.items()),
        ["all but tokens and states", overhead],
    ]
    if parts := part_folders(store.folder):
        rows.append(["parts not joined yet", f"{len(parts)}, with {rows_in_parts(store.folder):,} sequences"])
    show_table(str(store.folder), ["feature store", ""], rows)


def _bytes(store: FeatureStore) -> dict[str, int]:
    """Sizes by what they hold."""
    sizes = {file.name: size for file, size in store.files().items()}
    others = [store.folder / "manifest.json", store.data / "ids.tsv"]
    small = {file.name: file.stat().st_size for file in others if file.exists()}
    return {
        "tokens": sum(size for name, size in sizes.items() if name.startswith("shard-")),
        "residue states": sizes.get(RESIDUE_STATES, 0),
        "index and checksums": sizes["index.bin"] + sizes.get("residues.crc", 0),
        "ids": small.get("ids.tsv", 0),
        "manifest": small["manifest.json"],
    }


def _export(config: StoreConfig) -> None:
    if config.output is None:
        raise InputError("output is not given", remedy="Add output=FILE.npz or output=FILE.h5.")
    if not (is_hdf5(config.output) or Path(config.output).suffix == ".npz"):
        raise InputError(
            f"output {config.output!r} is neither .npz nor .h5", remedy="Add output=FILE.npz or output=FILE.h5."
        )
    if config.form not in FORMS:
        raise InputError(f"form {config.form!r} is unknown", remedy=f"Use {' or '.join(FORMS)}.")
    if config.form == "store" and config.token is not None:
        raise InputError(f"token={config.token} with form=store", remedy="Add form=atlas; form=store has all tokens.")
    store = FeatureStore(config.store)
    chosen = select(store, None if config.fasta is None else list(read_fasta(config.fasta)))
    with progress("export", "proteins") as (begin, advance):
        begin(len(chosen.rows))
        if config.form == "store":
            export_store(chosen, config.output, advance)
        else:
            export_atlas(chosen, config.output, config.token or "mean", advance)
    say(f"{len(chosen.rows)} proteins written to {config.output}")
