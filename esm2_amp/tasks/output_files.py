"""Files that a command is asked to write, refused before any work where they cannot be."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from esm2_amp.errors import InputError

TABLES = (".tsv", ".csv", ".tsv.gz", ".csv.gz")


def output_file(name: str, key: str, kind: str, endings: tuple[str, ...], inputs: Iterable[str]) -> Path:
    """A file to write, which may replace an earlier one but none of the inputs.

    Args:
        name: as the user gave it.
        key: the option it was given by, for messages.
        kind: what it is, as "a table".
        endings: one of which its name must have.
        inputs: files that are read.

    Raises:
        InputError: another ending, a folder, a place that cannot be written, or an input.
    """
    path = Path(name)
    if not name.endswith(endings):
        raise InputError(f"{key} {name!r} is not {kind}", remedy=f"End its name in {', '.join(endings)}.")
    if path.is_dir():
        raise InputError(f"{key} {name!r} is a folder", remedy="Name a file in it.")
    parent = next(folder for folder in path.parents if folder.exists())
    if not (parent.is_dir() and os.access(parent, os.W_OK)):
        raise InputError(f"{key} {name!r} cannot be made: {str(parent)!r} is no folder to write to")
    if any(path.exists() and Path(file).exists() and path.samefile(file) for file in inputs):
        raise InputError(f"{key} {name!r} is an input too", remedy="Name another file.")
    return path
