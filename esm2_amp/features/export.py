"""A feature store as one file that other programs read: .npz (numpy alone) or .h5 (HDF5).

Two forms. ``store``: arrays ``ids`` (n,), ``tokens`` (n, T, D) float16, ``layout`` (T,), ``lengths`` and ``residues``
(n,). ``atlas``, as the ESM Metagenomic Atlas gives its embeddings: one float16 array for each protein under its id,
(D,) for a token or (L, D) for residue states. Both say in a comment (.npz) or in attributes (.h5) what they hold and
who computed it. An id may hold ``/``: a .npz keeps it; HDF5 would make groups of it, so there ``%``, ``/`` and an id
of dots alone are percent-encoded. Everything is streamed: memory does not grow with n x D.
"""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, Protocol

import h5py
import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from esm2_amp.errors import InputError
from esm2_amp.features.store import FeatureStore
from esm2_amp.io.atomic import atomic_path
from esm2_amp.layout import STORED_TOKENS
from esm2_amp.records import Protein

EXPORT = "esm2-amp export"
RESIDUES = "residues"
FORMS = ("store", "atlas")
_CHUNK = 1024


@dataclass(frozen=True)
class Selection:
    """Which rows of a store are exported, under which ids."""

    store: FeatureStore
    names: list[str]
    rows: NDArray[np.int64]


class _Archive(Protocol):
    def write(self, name: str, array: NDArray[Any]) -> None:
        """Add an array."""

    def write_parts(self, name: str, shape: tuple[int, ...], parts: Iterator[NDArray[np.float16]]) -> None:
        """Add a float16 array that comes in parts along its first axis."""


def select(store: FeatureStore, proteins: Sequence[Protein] | None) -> Selection:
    """The given proteins under their ids; for None, every id that the store has met and finished.

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
    return Selection(store, [name for name, keep in zip(names, held, strict=True) if keep], rows[held])


def export_store(chosen: Selection, output: str | os.PathLike[str], advance: Callable[[int], None]) -> None:
    """Write the form ``store`` to a .npz or .h5 file, atomically."""
    store, rows = chosen.store, chosen.rows
    with _archive(output, _origin(store, "store", None)) as archive:
        archive.write("ids", np.array(chosen.names, dtype=np.str_))
        archive.write("layout", np.array(store.tokens, dtype=np.str_))
        archive.write("lengths", store.index["length"][rows].astype(np.int64))
        archive.write("residues", store.index["residues"][rows].astype(np.int64))

        def parts() -> Iterator[NDArray[np.float16]]:
            for start in range(0, len(rows), _CHUNK):
                yield store.gather(rows[start : start + _CHUNK], store.positions)
                advance(min(_CHUNK, len(rows) - start))

        archive.write_parts("tokens", (len(rows), len(store.tokens), store.width), parts())


def export_atlas(chosen: Selection, output: str | os.PathLike[str], token: str, advance: Callable[[int], None]) -> None:
    """Write the form ``atlas`` to a .npz or .h5 file, atomically.

    Args:
        chosen: what to export.
        output: the file.
        token: name of a token, or :data:`RESIDUES` for the states of all residues.
        advance: told the number of proteins done.

    Raises:
        InputError: there is no such token, or the store does not hold it.
    """
    store = chosen.store
    if token != RESIDUES and token not in STORED_TOKENS:
        raise InputError(f"token {token!r} is unknown", remedy=f"Use {', '.join(STORED_TOKENS)} or {RESIDUES}.")
    if token == RESIDUES and not store.manifest.residue_states:
        raise InputError("the store keeps no residue states", file=store.folder, remedy="Choose another token.")
    if token != RESIDUES:
        store.check_tokens([STORED_TOKENS.index(token)])
    with _archive(output, _origin(store, "atlas", token)) as archive:
        for name, row in zip(chosen.names, chosen.rows, strict=True):
            if token == RESIDUES:
                archive.write(_safe(name, output), np.asarray(store.residue_states(int(row))))
            else:
                vector = store.gather(np.array([row]), [STORED_TOKENS.index(token)])[0, 0]
                archive.write(_safe(name, output), vector)
            advance(1)


def is_hdf5(path: str | os.PathLike[str]) -> bool:
    """Whether a file name means HDF5."""
    return Path(path).suffix.lower() in (".h5", ".hdf5")


def _safe(name: str, output: str | os.PathLike[str]) -> str:
    """An id as a key of the file; :func:`urllib.parse.unquote` is its inverse in HDF5."""
    if not is_hdf5(output):
        return name
    return name.replace(".", "%2E") if not name.strip(".") else name.replace("%", "%25").replace("/", "%2F")


def _origin(store: FeatureStore, form: str, token: str | None) -> dict[str, str]:
    """What is in the file and who computed it, as texts."""
    origin = {"format": EXPORT, "form": form, "encoder": json.dumps(asdict(store.encoder)), "long": str(store.long)}
    return origin if token is None else {**origin, "token": token}


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


@contextmanager
def _archive(output: str | os.PathLike[str], origin: dict[str, str]) -> Iterator[_Archive]:
    try:
        with atomic_path(output) as path:
            if is_hdf5(output):
                with _Forgiving(path, "w+") as stream:
                    with h5py.File(stream, "w") as file:
                        file.attrs.update(origin)
                        yield _Hdf5(file, stream)
                    stream.check()
            else:
                with zipfile.ZipFile(path, "w", allowZip64=True) as archive:
                    archive.comment = json.dumps(origin).encode()
                    yield _Npz(archive)
    except OSError as error:
        raise InputError(
            f"cannot be written ({error.strerror or error})", file=output, remedy="Free space, or write elsewhere."
        ) from error


class _Npz:
    def __init__(self, archive: zipfile.ZipFile) -> None:
        self.archive = archive

    def write(self, name: str, array: NDArray[Any]) -> None:
        with self._open(name) as stream:
            npy_format.write_array(stream, array, allow_pickle=False)

    def write_parts(self, name: str, shape: tuple[int, ...], parts: Iterator[NDArray[np.float16]]) -> None:
        with self._open(name) as stream:
            npy_format.write_array_header_1_0(stream, {"descr": "<f2", "fortran_order": False, "shape": shape})
            for part in parts:
                stream.write(part.astype("<f2", copy=False).tobytes())

    def _open(self, name: str) -> IO[bytes]:
        # a ZipInfo of its own has a fixed date: the same content gives the same bytes
        return self.archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True)


class _Forgiving(io.FileIO):
    """A file whose writes never fail, but are remembered to have failed: HDF5 crashes if it cannot flush to the end."""

    error: OSError | None = None

    def write(self, data: Any) -> int:
        """Write, as far as the disk lets us."""
        view = memoryview(data).cast("B")
        size = len(view)
        try:
            while view and self.error is None:
                view = view[super().write(view) :]
        except OSError as error:
            self.error = error
        return size

    def truncate(self, size: int | None = None) -> int:
        """Cut or lengthen, unless something went wrong before."""
        try:
            return super().truncate(size) if self.error is None else size or 0
        except OSError as error:
            self.error = error
            return size or 0

    def flush(self) -> None:
        """Nothing is held back."""

    def check(self) -> None:
        """Raise what went wrong."""
        if self.error is not None:
            raise self.error


class _Hdf5:
    def __init__(self, file: h5py.File, stream: _Forgiving) -> None:
        self.file, self.stream = file, stream

    def write(self, name: str, array: NDArray[Any]) -> None:
        self.stream.check()
        if array.dtype.kind == "U":
            self.file.create_dataset(name, data=array.astype(object), dtype=h5py.string_dtype())
        else:
            self.file.create_dataset(name, data=array)

    def write_parts(self, name: str, shape: tuple[int, ...], parts: Iterator[NDArray[np.float16]]) -> None:
        data, at = self.file.create_dataset(name, shape, dtype="<f2"), 0
        for part in parts:
            data[at : at + len(part)] = part
            at += len(part)
            self.stream.check()
