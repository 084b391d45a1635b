"""The files of one part: what it says of itself, and whether that is so."""

from __future__ import annotations

import json
import os
import shutil
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from esm2_amp.errors import InputError

PAIRS, BACKGROUND, RECORD = "pairs.parquet", "background.parquet", "part.json"
SCORE_ANEW = "Remove this folder and give the same command again: only its pairs are scored anew."


class Record(NamedTuple):
    """What a part says of itself: its units, pairs kept of each, its files (bytes, CRC-32); and a check."""

    units: list[int]
    rows: list[int]
    files: dict[str, list[int]]
    check: int


def check_of(units: list[int], rows: list[int], files: dict[str, list[int]]) -> int:
    """CRC-32 of what a record says."""
    return zlib.crc32(json.dumps([units, rows, files]).encode())


def remove_left_behind(place: Path, pattern: str) -> None:
    """Remove the folders of a killed process that match; nobody else may be at work on them."""
    for folder in place.glob(pattern):
        shutil.rmtree(folder, ignore_errors=True)


def record_of(part: Path) -> Record:
    """A part's record, once its files have the sizes it says.

    Raises:
        InputError: a damaged part.
    """
    try:
        record = Record(**json.loads((part / RECORD).read_text(encoding="utf-8")))
        if check_of(*record[:3]) != record.check:
            raise ValueError(f"the content of {RECORD} has changed")
        for name, (size, _) in record.files.items():
            if (part / name).stat().st_size != size:
                raise ValueError(f"{name} has not the {size:,} bytes it had")
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise damaged(part, str(error)) from error
    return record


def read_checked(part: Path, name: str, read: Callable[[Path], Any]) -> Any:
    """A file of a part by ``read``, once its content has been compared with its checksum.

    Raises:
        InputError: a damaged part.
    """
    try:
        if crc_of(part / name) != record_of(part).files[name][1]:
            raise ValueError(f"the content of {name} has changed")
        return read(part / name)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise damaged(part, str(error)) from error


def crc_of(file: Path) -> int:
    """CRC-32 of a file's content."""
    crc = 0
    with file.open("rb") as stream:
        while block := stream.read(1 << 20):
            crc = zlib.crc32(block, crc)
    return crc


def damaged(part: Path, why: str) -> InputError:
    """What is said of a part that cannot be read."""
    return InputError(f"this part is damaged ({why})", file=part, remedy=SCORE_ANEW)


@contextmanager
def writing(folder: Path, kept: str) -> Iterator[None]:
    """Turn a failure to write into a message: why, what is ``kept``, and what to do."""
    try:
        yield
    except OSError as error:
        reason = os.strerror(error.errno).lower() if error.errno else str(error)
        raise InputError(
            f"cannot be written ({reason}); {kept}",
            file=folder,
            remedy="Free space, then give the same command again.",
        ) from error
