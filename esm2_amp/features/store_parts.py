"""Parts of a feature store: what the further processes of a shared extraction write, each a store of its own.

A part is the folder ``part-00001`` and so on within the store. When its process is done, or is gone, its rows are
joined with the store's and the folder is removed. Being killed in between costs nothing: rows are known by their key.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from esm2_amp.errors import InputError
from esm2_amp.features.store import FeatureStore
from esm2_amp.features.store_care import merge
from esm2_amp.features.store_lock import StoreLock
from esm2_amp.features.store_manifest import NAME, is_part_folder, part_name, read_manifest
from esm2_amp.features.store_writer import StoreWriter


def part_folder(folder: str | os.PathLike[str], rank: int) -> Path:
    """Where process number ``rank`` of a shared extraction into a store writes."""
    return Path(folder) / part_name(rank)


def part_folders(folder: str | os.PathLike[str]) -> list[Path]:
    """The parts of a store, in the order of their numbers."""
    return sorted(path for path in Path(folder).iterdir() if is_part_folder(path.name) and path.is_dir())


def rows_in_parts(folder: str | os.PathLike[str]) -> int:
    """Rows that were committed in a store's parts; some may have been joined already."""
    return sum(read_manifest(part).rows for part in part_folders(folder) if (part / NAME).exists())


def join_parts(writer: StoreWriter) -> int:
    """Add the rows of every part to its store, and remove the part; returns how many were new.

    Args:
        writer: of the store, open.

    Raises:
        InputError: a process still writes to a part, or a part is damaged or of another encoder or policy; it is left
            as it is, and so are those behind it.
    """
    return sum(_join(part, writer) for part in part_folders(writer.folder))


def _join(part: Path, writer: StoreWriter) -> int:
    with StoreLock(part):
        begun = (part / NAME).exists()  # otherwise its process was killed before it had anything
        joined = merge(FeatureStore(part), writer, lambda _: None) if begun else 0
    try:
        shutil.rmtree(part)
    except OSError as error:
        raise InputError(f"cannot be removed, though its rows are joined ({error.strerror})", file=part) from error
    return joined
