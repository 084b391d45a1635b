"""Vectors of many proteins or genes on disk: a flat float16 map and a sorted table of ids.

A folder holds ``vectors.f16`` (n x d, little-endian, C order), ``ids.utf8``, ``ids.offsets`` and ``ids.order`` (see
:mod:`esm2_amp.neighbours.string_table`), perhaps ``metadata.parquet``, and ``manifest.json``, which is written last:
without it the folder is not finished. Ids are unique. Nothing is loaded: 49 million rows open at once.
"""

from __future__ import annotations

import difflib
import mmap
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from esm2_amp.errors import InputError
from esm2_amp.neighbours.halves import to_singles
from esm2_amp.neighbours.string_table import StringTable
from esm2_amp.neighbours.vector_manifest import VectorManifest, read_vector_manifest

DATA = "vectors.f16"
IDS = "ids"
F2 = np.dtype("<f2")
_COMPARED = 20_000
"""Among so many ids a close match is looked for."""
_SUGGESTED = 3

Rows = NDArray[np.int64]
Values = NDArray[np.float32]


class Vectors:
    """n vectors of d dimensions, each with an id; made by :func:`open_vectors`.

    Args:
        folder: where they lie.
        manifest: what it says about itself.
    """

    def __init__(self, folder: Path, manifest: VectorManifest) -> None:
        self.folder, self.manifest = folder, manifest
        self.n, self.dim = manifest.n, manifest.dim
        self.table = StringTable.open(folder / IDS)
        self.data: NDArray[np.float16] = _mapped(folder / DATA, self.n, self.dim)
        """(n, d) float16, mapped."""
        if len(self.table) != self.n:
            raise InputError(f"{len(self.table)} ids for {self.n} vectors", file=folder, remedy="Ingest again.")
        self._plain = self.data.view(np.ndarray)

    def __len__(self) -> int:
        return self.n

    @property
    def digest(self) -> str:
        """Identity of the ids and the vectors, in their order; hexadecimal."""
        return self.manifest.digest

    @property
    def has_zeros(self) -> bool:
        """Whether there is a zero vector. Its cosine is undefined: it is never a hit by cosine."""
        return self.manifest.zeros > 0

    def id(self, row: int) -> str:
        """Id of a row."""
        return self.table[row]

    def ids(self, rows: Rows | Sequence[int]) -> list[str]:
        """Ids of some rows."""
        return self.table.many(rows)

    def find(self, ids: Sequence[str]) -> Rows:
        """Row of each of m ids, -1 where it is unknown; (m,) int64."""
        return self.table.find(ids)

    def rows_of(self, ids: Sequence[str]) -> Rows:
        """Row of each of m ids; (m,) int64.

        Raises:
            InputError: an id is unknown; the message names it and ids that look like it.
        """
        rows = self.find(ids)
        if not len(unknown := np.flatnonzero(rows < 0)):
            return rows
        name = ids[int(unknown[0])]
        others = f" (and {len(unknown) - 1} more of {len(ids)})" if len(unknown) > 1 else ""
        close = self.suggest(name)
        remedy = f"Did you mean {' or '.join(map(repr, close))}?" if close else f"The first id is {self.id(0)!r}."
        raise InputError(f"no vector has the id {name!r}{others}", file=self.folder, remedy=remedy)

    def suggest(self, name: str) -> list[str]:
        """Up to three ids that look like a name; among very many, only those that begin like it are compared."""
        if self.n <= _COMPARED:
            among = self.ids(range(self.n))
        else:
            spellings = {name, name.upper(), name.lower(), name.capitalize()}
            among = [id_ for spelling in sorted(spellings) for id_ in self.table.around(spelling, 100)]
        by_case = {id_.casefold(): id_ for id_ in among}
        close = difflib.get_close_matches(name.casefold(), by_case, _SUGGESTED)
        return [by_case[match] for match in close]

    def complete(self, prefix: str, limit: int) -> list[str]:
        """The first ``limit`` ids, in sorted order, that begin with ``prefix``."""
        first, last = self.table.with_prefix(prefix)
        return self.ids(self.table.order[first : min(last, first + limit)])

    def block(self, start: int, stop: int) -> Values:
        """Copy rows ``start`` to ``stop - 1`` (up to n); (rows, d) float32."""
        if not 0 <= start <= stop:
            raise IndexError(f"rows {start} to {stop} of {self.n}")
        return to_singles(self._plain[start:stop])

    def take(self, rows: Rows | Sequence[int]) -> Values:
        """Copy some rows; (m, d) float32."""
        rows = np.asarray(rows, np.int64)
        if len(rows) and not (rows.min() >= 0 and rows.max() < self.n):
            raise IndexError(f"rows {rows.min()} to {rows.max()} of {self.n}")
        return to_singles(self._plain[rows])

    def release(self) -> None:
        """Give back the pages of the map that were read: they stay in the system's cache, but are not this process's.

        Without it a pass over all vectors looks, from outside, as if they had been loaded.
        """
        pages: mmap.mmap | None = getattr(self.data, "_mmap", None)
        if pages is not None and hasattr(mmap, "MADV_DONTNEED"):
            pages.madvise(mmap.MADV_DONTNEED)


def open_vectors(folder: str | os.PathLike[str]) -> Vectors:
    """Open a folder of vectors; only what is asked for later is read.

    Raises:
        InputError: there is none, its ingest is unfinished, or it is damaged.
    """
    folder = Path(folder)
    return Vectors(folder, read_vector_manifest(folder))


def _mapped(file: Path, n: int, dim: int) -> NDArray[np.float16]:
    have, need = file.stat().st_size if file.exists() else 0, n * dim * F2.itemsize
    if have != need:
        raise InputError(
            f"damaged: {have} bytes where the manifest promises {need}", file=file, remedy="Ingest again elsewhere."
        )
    return np.memmap(file, F2, "r", shape=(n, dim))
