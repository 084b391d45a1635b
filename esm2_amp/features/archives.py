"""Embeddings that other programs computed, as they lie in their files: fair-esm's .pt, HDF5, .npz, our own exports.

Nothing in a file is executed: .pt files are read with ``weights_only``, .npz files without pickles. Arrays stay on
disk until they are asked for, so that shapes can be checked before anything is copied.
"""

from __future__ import annotations

import json
import pickle
import zipfile
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote

import h5py
import numpy as np
import torch
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from esm2_amp.errors import InputError
from esm2_amp.features.export import EXPORT, is_hdf5

_STORE_FORM = {"ids", "tokens", "layout", "lengths", "residues"}
_UNREADABLE = (OSError, RuntimeError, ValueError, KeyError, EOFError, pickle.UnpicklingError, zipfile.BadZipFile)


class Array(Protocol):
    """What knows its shape and type before it is read; ``numpy.asarray`` reads it."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the array."""
        ...

    @property
    def dtype(self) -> Any:
        """Of its values."""
        ...


@dataclass(frozen=True)
class Foreign:
    """What a file has of one protein.

    ``vectors`` are (D,) by token name; ``states`` (L, D) of the last layer without cls and eos, if there are any;
    ``layer`` its number, ``label`` the id inside the file and ``lengths`` those of the protein and of its encoded
    part, where the file says so.
    """

    vectors: Mapping[str, Array]
    states: Array | None
    layer: int | None = None
    label: str | None = None
    lengths: tuple[int, int] | None = None


class Source(Protocol):
    """Embeddings of many proteins.

    ``names`` are in the order of the file; ``origin`` is what a file of our own says about itself, else empty.
    """

    path: Path
    names: list[str]
    origin: dict[str, str]

    def read(self, names: Collection[str]) -> Iterator[tuple[str, Foreign]]:
        """The proteins of these names, in the order of the file."""
        ...


def spellings(name: str) -> tuple[str, ...]:
    """The ids that a name in a file may mean: itself, its first word, the last part of a path, that one's first word.

    fair-esm names files by whole header lines, the ESM Atlas keys by paths (``/scratch/x/468/MGYP000160952468``).
    """
    last = name.rsplit("/", 1)[-1]
    return tuple(dict.fromkeys(word for text in (name, last) for word in (text, *text.split()[:1]) if word))


def open_source(path: Path) -> Source:
    """Open a file or folder by its kind.

    Raises:
        InputError: it is not there, of no known kind, or damaged.
    """
    if not path.exists():
        raise InputError(f"source {str(path)!r} does not exist", remedy="Name a folder of .pt files, a .h5 or a .npz.")
    try:
        if path.is_dir() or path.suffix == ".pt":
            return PtFiles(path)
        if is_hdf5(path):
            return Hdf5File(path)
        if path.suffix == ".npz":
            return NpzFile(path)
    except _UNREADABLE as error:
        raise InputError(f"damaged, or not what its name says ({_short(error)})", file=path) from error
    raise InputError(f"source {str(path)!r} is of no known kind", remedy="Use a folder of .pt files, a .h5 or a .npz.")


def values(source: Source, name: str, array: Array) -> NDArray[np.float32]:
    """Read an array of a protein.

    Raises:
        InputError: the file is damaged there.
    """
    try:
        return np.asarray(array, dtype=np.float32)
    except _UNREADABLE as error:
        raise _damaged(source.path, name, error) from error


class PtFiles:
    """fair-esm's ``extract.py``: a file for each protein, with states, means and cls of some layers."""

    def __init__(self, path: Path) -> None:
        self.path, self.origin = path, dict[str, str]()
        files = sorted(path.rglob("*.pt")) if path.is_dir() else [path]
        root = path if path.is_dir() else path.parent
        self._files = {str(file.relative_to(root))[: -len(".pt")]: file for file in files}
        self.names = list(self._files)
        if not files:
            raise InputError("no .pt file in this folder", file=path, remedy="Give the output folder of extract.py.")

    def read(self, names: Collection[str]) -> Iterator[tuple[str, Foreign]]:
        """See :class:`Source`."""
        for name, file in self._files.items():
            if name in names:
                yield name, _from_pt(file)


def _from_pt(file: Path) -> Foreign:
    try:
        content = torch.load(file, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(file))
    except _UNREADABLE as error:
        raise InputError(f"damaged, or not of tensors only ({_short(error)})", file=file) from error
    kinds = ("representations", "mean_representations", "bos_representations")
    parts = [content.get(kind) or {} if isinstance(content, dict) else {} for kind in kinds]
    layers = {layer for part in parts if isinstance(part, dict) for layer in part}
    if not layers or not all(isinstance(layer, int) for layer in layers):
        raise InputError(f"not a file of fair-esm's extract.py: none of {', '.join(kinds)}", file=file)
    states, mean, cls = (_tensor(part.get(max(layers)), file) for part in parts)
    vectors = {name: value for name, value in (("cls", cls), ("mean", mean)) if value is not None}
    label = content.get("label")
    return Foreign(vectors, states, max(layers), label if isinstance(label, str) else None)


def _tensor(value: object, file: Path) -> NDArray[Any] | None:
    if value is None:
        return None
    if not isinstance(value, torch.Tensor):
        raise InputError(f"a {type(value).__name__} where a tensor belongs", file=file)
    value = value.detach()
    return (value.float() if value.dtype == torch.bfloat16 else value).numpy()


class Hdf5File:
    """A dataset for each protein, (L, D) or (D,), in groups or not; or our own export."""

    def __init__(self, path: Path) -> None:
        self.path, self._file = path, h5py.File(path, "r")
        self.origin = {key: str(value) for key, value in self._file.attrs.items()} if _is_ours(self._file.attrs) else {}
        self._table = self.origin.get("form") == "store" or (not self.origin and set(self._file) == _STORE_FORM)
        self._keys: dict[str, str] = {}
        if self._table:
            self.names = list(self._file["ids"].asstr()[:])
            return
        self._file.visititems(self._visit)
        self.names = list(self._keys)

    def _visit(self, key: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            # bio_embeddings numbers its datasets and keeps the id beside
            name = unquote(key) if self.origin else str(item.attrs.get("original_id", key))
            self._keys[name] = key

    def read(self, names: Collection[str]) -> Iterator[tuple[str, Foreign]]:
        """See :class:`Source`."""
        if self._table:
            layout, tokens = list(self._file["layout"].asstr()[:]), self._file["tokens"]
            lengths = np.stack([self._file["lengths"][:], self._file["residues"][:]], axis=1)
            rows = (tokens[i] for i, name in enumerate(self.names) if name in names)
            yield from _table_rows(self.names, names, layout, lengths, rows)
            return
        for name, key in self._keys.items():
            if name in names:
                yield name, _single(self._file[key], self.origin, self.path, name)


class NpzFile:
    """An array for each protein, (L, D) or (D,); or our own export."""

    def __init__(self, path: Path) -> None:
        self.path, self._archive = path, zipfile.ZipFile(path)
        members = [name.removesuffix(".npy") for name in self._archive.namelist() if name.endswith(".npy")]
        self.origin = _comment(self._archive.comment)
        self._table = self.origin.get("form") == "store" or (not self.origin and set(members) == _STORE_FORM)
        self.names = [str(name) for name in self._whole("ids")] if self._table else members

    def read(self, names: Collection[str]) -> Iterator[tuple[str, Foreign]]:
        """See :class:`Source`."""
        if self._table:
            layout = [str(name) for name in self._whole("layout")]
            lengths = np.stack([self._whole("lengths"), self._whole("residues")], axis=1)
            yield from _table_rows(self.names, names, layout, lengths, self._rows(names))
            return
        for name in self.names:
            if name in names:
                yield name, _single(self._member(name), self.origin, self.path, name)

    def _member(self, name: str) -> _Member:
        try:
            return _Member(self._archive, name)
        except _UNREADABLE as error:
            raise _damaged(self.path, name, error) from error

    def _whole(self, name: str) -> NDArray[Any]:
        return np.asarray(self._member(name))

    def _rows(self, names: Collection[str]) -> Iterator[NDArray[Any]]:
        """Tokens of some proteins, one at a time, however large the array is."""
        with self._archive.open("tokens.npy") as stream:
            shape, dtype = _header(stream)
            size = int(np.prod(shape[1:])) * dtype.itemsize
            for name in self.names:
                try:
                    data = stream.read(size)
                except _UNREADABLE as error:
                    raise _damaged(self.path, name, error) from error
                if name in names:
                    yield np.frombuffer(data, dtype).reshape(shape[1:])


class _Member:
    """An array of a .npz whose header is known and whose values are read when asked for."""

    def __init__(self, archive: zipfile.ZipFile, name: str) -> None:
        self._open = partial(archive.open, f"{name}.npy")
        with self._open() as stream:
            self.shape, self.dtype = _header(stream)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        with self._open() as stream:
            return np.asarray(npy_format.read_array(stream, allow_pickle=False), dtype=dtype)


def _header(stream: Any) -> tuple[tuple[int, ...], np.dtype[Any]]:
    version = npy_format.read_magic(stream)
    read = npy_format.read_array_header_1_0 if version == (1, 0) else npy_format.read_array_header_2_0
    shape, fortran, dtype = read(stream)
    if fortran and len(shape) > 2:
        raise ValueError("tokens in Fortran order")
    return shape, dtype


def _single(array: Array, origin: Mapping[str, str], path: Path, name: str) -> Foreign:
    """One array of a protein: (L, D) are residue states, (D,) is the mean, or the token that the file names."""
    if np.dtype(array.dtype).kind != "f" or len(array.shape) not in (1, 2) or 0 in array.shape:
        raise InputError(
            f"{name!r} is {array.dtype}{tuple(array.shape)}: no embedding, which is (L, D) or (D,) of floats", file=path
        )
    if len(array.shape) == 2:
        return Foreign({}, array)
    token = origin.get("token", "mean")
    return Foreign({token: array}, None)


def _table_rows(
    every: list[str], wanted: Collection[str], layout: list[str], lengths: NDArray[Any], rows: Iterator[NDArray[Any]]
) -> Iterator[tuple[str, Foreign]]:
    for name, (length, residues) in zip(every, lengths, strict=True):
        if name in wanted:
            tokens = next(rows)
            yield name, Foreign(dict(zip(layout, tokens, strict=True)), None, lengths=(int(length), int(residues)))


def _damaged(path: Path, name: str, error: Exception) -> InputError:
    return InputError(f"damaged at {name!r} ({_short(error)})", file=path, remedy="Get or make the file again.")


def _is_ours(attributes: Mapping[str, object]) -> bool:
    return attributes.get("format") == EXPORT


def _comment(text: bytes) -> dict[str, str]:
    """What a .npz of ours says in its comment; another's comment means nothing here."""
    try:
        origin = json.loads(text)
    except ValueError:
        return {}
    return origin if isinstance(origin, dict) and _is_ours(origin) else {}


def _short(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:200] if lines else type(error).__name__
