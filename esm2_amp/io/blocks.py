"""Work in numbered blocks, each a file of named arrays, so that an interrupted command loses one block at most."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from esm2_amp.errors import InputError
from esm2_amp.io.atomic import atomic_path

Arrays = Mapping[str, NDArray[Any]]


def compute_block(folder: str | os.PathLike[str], number: int, compute: Callable[[], Arrays]) -> None:
    """Compute the arrays of one block and write its file, unless it is there already."""
    file = _file(folder, number)
    if not file.exists():
        arrays = dict(compute())
        with atomic_path(file) as path, path.open("wb") as stream:
            np.savez(stream, **arrays)  # type: ignore[arg-type]


def read_block(folder: str | os.PathLike[str], number: int) -> dict[str, NDArray[Any]]:
    """The arrays of one block.

    Raises:
        InputError: the file is missing or damaged, as by a crash of the machine.
    """
    file = _file(folder, number)
    try:
        with np.load(file, allow_pickle=False) as held:
            return {name: held[name] for name in held.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        what = f"an intermediate result cannot be read ({error})"
        raise InputError(what, file=file, remedy="Remove this file and give the same command again.") from error


def _file(folder: str | os.PathLike[str], number: int) -> Path:
    return Path(folder) / f"{number:06d}.npz"
