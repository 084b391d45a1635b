"""AnnData files (.h5ad), read as HDF5: the names of the observations, and X, a layer or an entry of obsm.

Source: the on-disk format of AnnData 0.8 and later, and of its older files where names lie in a table.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from scipy import sparse

from esm2_amp.errors import InputError
from esm2_amp.neighbours.readers.hdf5 import dataset, opened, strings
from esm2_amp.neighbours.readers.source import Block, not_vectors, rows_of_block

X = "X"


class H5adSource:
    """See :class:`~esm2_amp.neighbours.readers.source.VectorSource`.

    Args:
        name: the file.
        key: "X", "layers/NAME" or "obsm/NAME"; dense, or sparse by rows (CSR); whole numbers are read too.

    Raises:
        InputError: the file is damaged, or has no such matrix.
    """

    form = "h5ad"

    def __init__(self, name: str, key: str) -> None:
        self.name, self._key = name, key
        self.files: Sequence[Path] = [Path(name)]
        self.details: dict[str, Any] = {"key": key}
        with opened(name) as file:
            self._names = _names_path(file, name)
            count = len(dataset(file, self._names, name)) if self._names else len(file["obs"])
            rows, self.dim, self._sparse = _shape(file, key, name)
            if rows != count:
                raise not_vectors(f"{key!r} has {rows} rows for {count} observations", name)
            self._rows = rows

    def ids(self) -> Iterator[Sequence[str]]:
        """See :class:`~esm2_amp.neighbours.readers.source.VectorSource`."""
        with opened(self.name) as file:
            if self._names:
                yield from strings(file[self._names])
            else:
                yield [value.decode() if isinstance(value, bytes) else str(value) for value in file["obs"]["index"]]

    def blocks(self, start: int) -> Iterator[Block]:
        """See :class:`~esm2_amp.neighbours.readers.source.VectorSource`."""
        step = rows_of_block(max(1, self.dim), 8)
        with opened(self.name) as file:
            item = file[self._key]
            for at in range(start, self._rows, step):
                stop = min(self._rows, at + step)
                block = _csr_rows(item, at, stop, self.dim) if self._sparse else item[at:stop]
                yield block if block.dtype.kind == "f" else block.astype(np.float64)

    def place(self, position: int) -> str:
        """See :class:`~esm2_amp.neighbours.readers.source.VectorSource`."""
        return f"{self.name}, observation {position}"


def _names_path(file: h5py.File, name: str) -> str | None:
    """Path of the dataset of names; None for an old file, whose ``obs`` is a table."""
    obs = file.get("obs")
    if isinstance(obs, h5py.Group):
        path = f"obs/{obs.attrs.get('_index', '_index')}"
        return f"{path}/values" if isinstance(file.get(path), h5py.Group) else path  # strings that may be missing
    if isinstance(obs, h5py.Dataset) and "index" in (obs.dtype.names or ()):
        return None
    raise InputError("no AnnData file: it has no names of observations", file=name)


def _shape(file: h5py.File, key: str, name: str) -> tuple[int, int, bool]:
    """Rows and columns of a matrix, and whether it is sparse."""
    item = file.get(key)
    if isinstance(item, h5py.Dataset):
        if len(item.shape) != 2 or item.dtype.kind not in "fiu":
            raise not_vectors(f"{key!r} is {item.dtype}{item.shape}, not (n, d) of numbers", name)
        return item.shape[0], item.shape[1], False
    if not isinstance(item, h5py.Group):
        there = [X, *(f"{group}/{entry}" for group in ("layers", "obsm") for entry in file.get(group, ()))]
        raise InputError(f"no {key!r}; there are {', '.join(there)}", file=name, remedy="Name one with key=...")
    encoding = str(item.attrs.get("encoding-type", f"{item.attrs.get('h5sparse_format', '')}_matrix"))
    if encoding != "csr_matrix":
        raise not_vectors(f"{key!r} is {encoding}: dense and csr_matrix can be read", name)
    rows, columns = (int(size) for size in item.attrs.get("shape", item.attrs.get("h5sparse_shape", (0, 0))))
    return rows, columns, True


def _csr_rows(item: h5py.Group, start: int, stop: int, columns: int) -> Block:
    """(stop - start, columns) of a sparse matrix; its indices are checked."""
    ends = item["indptr"][start : stop + 1].astype(np.int64)
    if len(ends) != stop - start + 1 or ends[0] < 0 or (np.diff(ends) < 0).any():
        raise ValueError("the row pointers of the sparse matrix do not ascend")
    data, indices = item["data"][ends[0] : ends[-1]], item["indices"][ends[0] : ends[-1]]
    matrix = sparse.csr_matrix((data, indices, ends - ends[0]), shape=(stop - start, columns))
    matrix.check_format(full_check=True)
    return matrix.toarray()
