"""HDF5 files: a dataset for each id, or one matrix and its ids."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import h5py
import numpy as np

from esm2_amp.errors import InputError
from esm2_amp.features.export import EXPORT
from esm2_amp.neighbours.readers.source import BATCH_IDS, Block, not_vectors, rows_of_block

_UNREADABLE = (OSError, RuntimeError, ValueError, KeyError, TypeError)
_ID_NAMES = ("ids", "id", "names", "keys", "labels", "proteins", "genes")


def _own(found: h5py.Dataset, path: str | Path) -> h5py.Dataset:
    """Refuse a dataset whose values lie in other files."""
    if found.is_virtual or found.external:
        raise InputError(f"the values of {found.name!r} lie in another file", file=path, remedy="Copy them into one.")
    return found


@contextmanager
def opened(file: str | Path) -> Iterator[h5py.File]:
    """Open an HDF5 file; what fails inside the block is the file's damage.

    Raises:
        InputError: it cannot be read.
    """
    try:
        with h5py.File(file, "r") as opened_file:
            yield opened_file
    except _UNREADABLE as error:
        raise InputError(f"damaged, or no HDF5 file ({str(error)[:200]})", file=file) from error


def dataset(file: h5py.File, key: str, path: str | Path) -> h5py.Dataset:
    """The dataset of this path in the file.

    Raises:
        InputError: there is none.
    """
    found = file.get(key)
    if isinstance(found, h5py.Dataset):
        return _own(found, path)
    names = ", ".join(map(repr, list(file)[:8]))
    raise InputError(f"no dataset {key!r}; at the top there are {names}", file=path, remedy="Check key and ids.")


def strings(values: h5py.Dataset) -> Iterator[Sequence[str]]:
    """The strings of a one-dimensional dataset, by batches."""
    for at in range(0, len(values), BATCH_IDS):
        yield [_text(value) for value in values[at : at + BATCH_IDS]]


class Hdf5Datasets:
    """See :class:`~esm2_amp.neighbours.readers.source.VectorSource`: a dataset (d,) for each id.

    The id is the last part of the dataset's path, or what its attribute ``original_id`` says (bio_embeddings).

    Args:
        name: the file.

    Raises:
        InputError: the file is damaged, or its first dataset is no vector.
    """

    form = "hdf5"

    def __init__(self, name: str) -> None:
        self.name, self.details = name, dict[str, Any]()
        self.files: Sequence[Path] = [Path(name)]
        self._paths: list[str] = []
        with opened(name) as file:
            file.visititems(self._visit)
            self._quoted = file.attrs.get("format") == EXPORT
            first = file[self._paths[0]] if self._paths else None
            self.dim = 0 if first is None else self._checked(first).shape[0]

    def _visit(self, path: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            self._paths.append(path)

    def ids(self) -> Iterator[Sequence[str]]:
        """See :class:`~esm2_amp.neighbours.readers.source.VectorSource`."""
        with opened(self.name) as file:
            for at in range(0, len(self._paths), BATCH_IDS):
                yield [self._id(file[path], path) for path in self._paths[at : at + BATCH_IDS]]

    def blocks(self, start: int) -> Iterator[Block]:
        """See :class:`~esm2_amp.neighbours.readers.source.VectorSource`."""
        step = rows_of_block(max(1, self.dim), 4)
        with opened(self.name) as file:
            for at in range(start, len(self._paths), step):
                yield np.stack([self._vector(file[path]) for path in self._paths[at : at + step]])

    def place(self, position: int) -> str:
        """See :class:`~esm2_amp.neighbours.readers.source.VectorSource`."""
        return f"{self.name}, dataset {self._paths[position]!r}"

    def _id(self, item: h5py.Dataset, path: str) -> str:
        last = path.rsplit("/", 1)[-1]
        return unquote(last) if self._quoted else _text(item.attrs.get("original_id", last))

    def _vector(self, item: h5py.Dataset) -> np.ndarray[Any, np.dtype[Any]]:
        if self._checked(item).shape[0] != self.dim:
            raise not_vectors(f"{item.name!r} has {item.shape[0]} values, the first one {self.dim}", self.name)
        return item[:]

    def _checked(self, item: h5py.Dataset) -> h5py.Dataset:
        if len(item.shape) != 1 or item.dtype.kind != "f":
            raise not_vectors(f"{item.name!r} is {item.dtype}{item.shape}, not (d,) of floats", self.name)
        return _own(item, self.name)


class Hdf5Matrix:
    """See :class:`~esm2_amp.neighbours.readers.source.VectorSource`: a dataset (n, d) and one of n ids.

    Args:
        name: the file.
        ids: path of the dataset of ids.
        key: path of the matrix.

    Raises:
        InputError: the file is damaged, or the two do not fit.
    """

    form = "hdf5"

    def __init__(self, name: str, ids: str, key: str) -> None:
        self.name, self._ids, self._key = name, ids, key
        self.files: Sequence[Path] = [Path(name)]
        self.details: dict[str, Any] = {"ids": ids, "key": key}
        with opened(name) as file:
            matrix, names = dataset(file, key, name), dataset(file, ids, name)
            shape, dtype, self._rows = matrix.shape, matrix.dtype, len(matrix)
            if len(shape) != 2 or dtype.kind != "f":
                raise not_vectors(f"{key!r} is {dtype}{shape}, not (n, d) of floats", name)
            if names.shape != (self._rows,):
                raise not_vectors(f"{ids!r} has shape {names.shape}, {key!r} {self._rows} rows", name)
        self.dim, self._itemsize = shape[1], dtype.itemsize

    def ids(self) -> Iterator[Sequence[str]]:
        """See :class:`~esm2_amp.neighbours.readers.source.VectorSource`."""
        with opened(self.name) as file:
            yield from strings(file[self._ids])

    def blocks(self, start: int) -> Iterator[Block]:
        """See :class:`~esm2_amp.neighbours.readers.source.VectorSource`."""
        step = rows_of_block(max(1, self.dim), self._itemsize)
        with opened(self.name) as file:
            for at in range(start, self._rows, step):
                yield file[self._key][at : at + step]

    def place(self, position: int) -> str:
        """See :class:`~esm2_amp.neighbours.readers.source.VectorSource`."""
        return f"{self.name}, {self._key!r} row {position}"


def open_hdf5(name: str, ids: str | None, key: str | None) -> Hdf5Datasets | Hdf5Matrix:
    """A matrix with ids where the file has both, or where they are named; else a dataset for each id.

    Raises:
        InputError: see the two classes; or one of the two is not to be found.
    """
    with opened(name) as file:
        tables = {path: item for path, item in file.items() if isinstance(item, h5py.Dataset)}
        named = next((path for path in _ID_NAMES if path in tables and len(tables[path].shape) == 1), None)
        wide = [path for path, item in tables.items() if len(item.shape) == 2 and item.dtype.kind == "f"]
    if ids is None and key is None and (named is None or not wide):
        return Hdf5Datasets(name)
    ids = ids if ids is not None else named
    if ids is None:
        raise InputError("which dataset has the ids cannot be told", file=name, remedy="Name it with ids=DATASET.")
    if key is None and len(wide) != 1:
        raise InputError(
            f"which dataset has the vectors cannot be told: {', '.join(wide) or 'none is (n, d)'}",
            file=name,
            remedy="Name it with key=DATASET.",
        )
    return Hdf5Matrix(name, ids, key if key is not None else wide[0])


def _text(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    return str(value)
