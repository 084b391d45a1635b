"""``esm2-amp store info`` and ``esm2-amp store export``."""

from __future__ import annotations

from omegaconf import DictConfig

from esm2_amp.errors import InputError
from esm2_amp.features.export import export_npz
from esm2_amp.features.store import FeatureStore
from esm2_amp.io.fasta import read_fasta
from esm2_amp.tasks.config import StoreConfig, typed
from esm2_amp.tasks.console import say, show_table


def run(cfg: DictConfig) -> None:
    """Dispatch the action."""
    config = typed(StoreConfig, cfg)
    if config.action == "info":
        _info(FeatureStore(config.store))
    elif config.action == "export":
        _export(config)
    else:
        raise InputError(f"store cannot {config.action!r}", remedy="Use store info or store export.")


def _info(store: FeatureStore) -> None:
    long = int((store.index["residues"] < store.index["length"]).sum())
    lengths = store.index["length"]
    rows = [
        ["encoder", str(store.encoder)],
        ["long proteins", f"{store.long}; {long} shortened"],
        ["sequences", f"{len(store):,}"],
        ["residues", f"{int(store.index['residues'].sum(dtype='u8')):,}"],
        [
            "shortest, longest",
            f"{lengths.min()}, {lengths.max()}" if len(store) else "-",
        ],
        ["ids met", f"{sum(1 for _ in store.ids()):,}"],
        ["bytes", f"{sum(file.stat().st_size for file in store.folder.iterdir()):,}"],
    ]
    show_table(str(store.folder), ["feature store", ""], rows)


def _export(config: StoreConfig) -> None:
    if config.output is None:
        raise InputError("output is not given", remedy="Add output=FILE.npz.")
    if not config.output.endswith(".npz"):
        raise InputError(f"output {config.output!r} is not a .npz file", remedy="Add output=FILE.npz.")
    store = FeatureStore(config.store)
    proteins = None if config.fasta is None else list(read_fasta(config.fasta))
    say(f"{export_npz(store, config.output, proteins)} proteins written to {config.output}")
