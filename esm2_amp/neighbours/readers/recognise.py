"""Which reader a source needs, by its name and its first bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py

from esm2_amp.errors import InputError
from esm2_amp.neighbours.readers.h5ad import H5adSource, X
from esm2_amp.neighbours.readers.hdf5 import open_hdf5, opened
from esm2_amp.neighbours.readers.npy import NpySource
from esm2_amp.neighbours.readers.npz import NpzSource
from esm2_amp.neighbours.readers.parquet import ParquetSource
from esm2_amp.neighbours.readers.source import VectorSource
from esm2_amp.neighbours.readers.store import ALL_IDS, StoreSource
from esm2_amp.neighbours.readers.word2vec import Word2vecSource

_OPTIONS = {
    "store": ("token", "ids"),
    "npz": (),
    "npy": ("ids",),
    "parquet": ("ids", "key"),
    "hdf5": ("ids", "key"),
    "h5ad": ("key",),
    "word2vec-text": (),
    "word2vec-binary": (),
}
"""Every form, and which options it has."""
FORMS = tuple(_OPTIONS)
_MANY = {"npz": ("*.npz",), "parquet": ("*.parquet", "*.pq")}
_FIRST_BYTES = {b"PK\x03\x04": "npz", b"PK\x05\x06": "npz", b"\x93NUMPY": "npy", b"PAR1": "parquet"}


@dataclass(frozen=True)
class SourceOptions:
    """How to read a source.

    ``form`` is one of :data:`FORMS`, None: by the look of it. ``tokens`` of a feature store, concatenated; none: the
    mean. ``ids``: for a feature store "all" (the default) or "first", for .npy the file of ids, else the column or
    dataset of ids. ``key`` is the column or dataset of vectors, for .h5ad "X", "layers/NAME" or "obsm/NAME".
    """

    form: str | None
    tokens: tuple[str, ...]
    ids: str | None
    key: str | None


def open_source(name: str, options: SourceOptions) -> VectorSource:
    """Open a file, a folder, or the files of a pattern.

    Raises:
        InputError: nothing there, of no known form, damaged, or an option that this form does not have.
    """
    if options.form is not None and options.form not in FORMS:
        raise InputError(f"form is {options.form!r}", remedy=f"The forms are {', '.join(FORMS)}.")
    files = _files(name, options.form)
    form = options.form or _form_of(name, files)
    for option, value in (("token", options.tokens), ("ids", options.ids), ("key", options.key)):
        if value and option not in _OPTIONS[form]:
            raise InputError(f"a source of the form {form} has no option {option}", remedy=f"Leave {option} out.")
    if len(files) != 1 and form not in _MANY:
        raise InputError(f"{len(files)} files; only {' and '.join(_MANY)} may have many", file=name)
    return _opened_as(form, name, files, options)


def _opened_as(form: str, name: str, files: Sequence[Path], options: SourceOptions) -> VectorSource:
    if form == "store":
        return StoreSource(name, options.tokens, options.ids or ALL_IDS)
    if form == "npz":
        return NpzSource(name, files)
    if form == "parquet":
        return ParquetSource(name, files, options.ids, options.key)
    (file,) = map(str, files)
    if form == "npy":
        return NpySource(file, options.ids)
    if form == "h5ad":
        return H5adSource(file, options.key or X)
    if form == "hdf5":
        return open_hdf5(file, options.ids, options.key)
    return Word2vecSource(file, form == "word2vec-binary")


def _files(name: str, form: str | None) -> list[Path]:
    """The files a name stands for, sorted; the folder itself where it is a feature store."""
    path = Path(name)
    if form == "store":
        return [path]
    if path.is_file() or (path.is_dir() and form is None and (path / "manifest.json").exists()):
        return [path]
    if path.is_dir():
        kinds = {kind: sorted({file for pattern in _MANY[kind] for file in path.glob(pattern)}) for kind in _MANY}
        there = [kind for kind, files in kinds.items() if files and form in (None, kind)]
        if len(there) == 1:
            return kinds[there[0]]
        what = "both .npz and Parquet files" if there else "no feature store, .npz or Parquet file"
        raise InputError(f"{what} in this folder", file=path, remedy="Name a file, or a pattern such as 'X/*.npz'.")
    pattern = path.relative_to(path.anchor)
    found = (
        sorted(file for file in Path(path.anchor or ".").glob(str(pattern)) if file.is_file()) if "*" in name else []
    )
    if not found:
        raise InputError(f"source {name!r} does not exist", remedy="Name a file, a folder, or a pattern of files.")
    return found


def _form_of(name: str, files: Sequence[Path]) -> str:
    if files[0].is_dir():
        return "store"
    forms = {_form_of_file(file) for file in files}
    if len(forms) > 1:
        raise InputError(f"files of several forms: {', '.join(sorted(forms))}", file=name, remedy="Give one form.")
    return forms.pop()


def _form_of_file(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            start = stream.read(8)
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", file=file) from error
    for first, form in _FIRST_BYTES.items():
        if start.startswith(first):
            return form
    if h5py.is_hdf5(file):
        with opened(file) as content:
            return "h5ad" if "obs" in content and (X in content or "obsm" in content) else "hdf5"
    if start[:1].isdigit() or start.startswith(b"\x1f\x8b"):
        return Word2vecSource(str(file), None).form
    raise InputError("of no known form", file=file, remedy=f"The forms are {', '.join(FORMS)}; force one with form=...")
