"""Queries as users give them in files: names and vectors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from esm2_amp.errors import InputError
from esm2_amp.io.text import open_bytes, text_lines
from esm2_amp.neighbours.queries import Asked
from esm2_amp.neighbours.readers.npz import NpzSource


def questions_in_file(file: str) -> list[tuple[str, ...]]:
    """Names between tabs, one to three a line."""
    questions = []
    for line, text in text_lines(file):
        names = tuple(text.rstrip("\r").split("\t"))
        if not text.strip():
            continue
        if len(names) > 3 or "" in names:
            raise InputError(
                f"{len(names)} columns, or an empty one", file=file, line=line, remedy="Give a, a and b, or a, b and c."
            )
        questions.append(names)
    if not questions:
        raise InputError("the file has no line", file=file, remedy="Write one question a line.")
    return questions


def read_vectors(file: str) -> Asked:
    """Vectors of a file: ``.npy``, or ``.npz`` with one for each name.

    Raises:
        InputError: the file cannot be read, or holds something else.
    """
    path = Path(file)
    if path.suffix == ".npz":
        source = NpzSource(file, [path])
        names = [name for batch in source.ids() for name in batch]
        vectors = np.concatenate(list(source.blocks(0))).astype(np.float32) if names else np.empty((0, 0), np.float32)
    elif path.suffix == ".npy":
        vectors = _array(path)
        names = [f"{path.name} {row}" for row in range(len(vectors))]
    else:
        raise InputError(f"query {file!r} is neither .npy nor .npz", remedy="Save the vectors with numpy.")
    if not len(vectors):
        raise InputError("there is no vector in it", file=path)
    if not np.isfinite(vectors).all():
        raise InputError(f"{names[int(np.argmin(np.isfinite(vectors).all(axis=1)))]} is not finite", file=path)
    return Asked(names, np.full(len(names), -1, np.int64), vectors)


def _array(path: Path) -> NDArray[np.float32]:
    """(d,) or (m, d) floating-point numbers as (m, d)."""
    try:
        with open_bytes(path) as stream:
            values = np.load(stream, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise InputError(f"this .npy file cannot be read ({error})", file=path) from error
    if values.dtype.kind != "f" or values.ndim not in (1, 2):
        raise InputError(
            f"it holds {values.dtype} of shape {values.shape}",
            file=path,
            remedy="Save floating-point numbers of shape (d,) or (m, d).",
        )
    return np.atleast_2d(values).astype(np.float32)
