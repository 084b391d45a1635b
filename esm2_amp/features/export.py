"""A feature store as one .npz file that numpy alone can read."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Sequence
from typing import IO

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from esm2_amp.errors import InputError
from esm2_amp.features.store import FeatureStore
from esm2_amp.io.atomic import atomic_path
from esm2_amp.layout import STORED_TOKENS
from esm2_amp.records import Protein

_CHUNK = 1024


def export_npz(store: FeatureStore, output: str | os.PathLike[str], proteins: Sequence[Protein] | None) -> int:
    """Write ``ids`` (n,), ``tokens`` (n, 13, D) float16, ``layout`` (13,), ``lengths`` and ``residues`` (n,).

    Args:
        store: what to export.
        output: the .npz file, written atomically, in memory that does not grow with n x D.
        proteins: export these under their ids; None for every id the store has met and finished.

    Returns:
        The number of proteins n.

    Raises:
        InputError: a protein without features, or, for None, an id that named two sequences.
    """
    names, keys = _chosen(store, proteins)
    rows = store.find(keys)
    if proteins is not None and (rows < 0).any():
        lost = [name for name, row in zip(names, rows, strict=True) if row < 0]
        raise InputError(
            f"the store has no features of {len(lost)} of {len(names)} proteins, first {lost[0]!r}",
            file=store.folder,
            remedy="Run esm2-amp extract with this FASTA file first.",
        )
    held = rows >= 0
    names, rows = [name for name, keep in zip(names, held, strict=True) if keep], rows[held]
    with atomic_path(output) as path, zipfile.ZipFile(path, "w", allowZip64=True) as archive:
        _write(archive, "ids", np.array(names, dtype=np.str_))
        _write(archive, "layout", np.array(STORED_TOKENS, dtype=np.str_))
        _write(archive, "lengths", store.index["length"][rows].astype(np.int64))
        _write(archive, "residues", store.index["residues"][rows].astype(np.int64))
        with archive.open("tokens.npy", "w", force_zip64=True) as stream:
            _write_tokens(stream, store, rows)
    return len(rows)


def _chosen(store: FeatureStore, proteins: Sequence[Protein] | None) -> tuple[list[str], list[str]]:
    if proteins is not None:
        return [protein.id for protein in proteins], [protein.key for protein in proteins]
    seen: dict[str, str] = {}
    for name, key in store.ids():
        if seen.setdefault(name, key) != key:
            raise InputError(
                f"the id {name!r} named two sequences in this store",
                file=store.folder,
                remedy="Say which with fasta=FILE.",
            )
    return list(seen), list(seen.values())


def _write(archive: zipfile.ZipFile, name: str, array: NDArray[np.generic]) -> None:
    with archive.open(f"{name}.npy", "w") as stream:
        npy_format.write_array(stream, array, allow_pickle=False)


def _write_tokens(stream: IO[bytes], store: FeatureStore, rows: NDArray[np.int64]) -> None:
    shape = (len(rows), len(STORED_TOKENS), store.width)
    npy_format.write_array_header_1_0(stream, {"descr": "<f2", "fortran_order": False, "shape": shape})
    for start in range(0, len(rows), _CHUNK):
        tokens = store.gather(rows[start : start + _CHUNK], range(len(STORED_TOKENS)))
        stream.write(tokens.astype("<f2").tobytes())
