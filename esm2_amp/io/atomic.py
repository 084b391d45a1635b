"""Files that are either whole or not there: write beside the target, then rename over it."""

from __future__ import annotations

import gzip
import io
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from esm2_amp.errors import InputError


@contextmanager
def atomic_path(target: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path beside ``target``; rename it over ``target`` when the block ends without an error.

    The path may become a file or a folder (a folder is not renamed over an existing one). Whatever the block
    leaves after an error is removed.

    Raises:
        InputError: the parent folder cannot be made or written.
    """
    target = Path(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        workplace = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    except OSError as error:
        raise InputError(
            f"cannot write here ({error.strerror})", file=target, remedy="Choose a folder you may write to."
        ) from error
    try:
        yield workplace / target.name
        (workplace / target.name).replace(target)
    finally:
        shutil.rmtree(workplace, ignore_errors=True)


@contextmanager
def atomic_text(target: str | os.PathLike[str]) -> Iterator[IO[str]]:
    """Open ``target`` for writing UTF-8 text, gzip-compressed if its name ends in ``.gz``; see :func:`atomic_path`."""
    with atomic_path(target) as path:
        if Path(target).suffix == ".gz":
            # mtime=0: the same content gives the same bytes
            with (
                path.open("wb") as raw,
                gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) as packed,
                io.TextIOWrapper(packed, encoding="utf-8", newline="\n") as stream,
            ):
                yield stream
        else:
            with path.open("w", encoding="utf-8", newline="\n") as stream:
                yield stream


def write_json(target: str | os.PathLike[str], value: Any) -> None:
    """Write ``value`` as indented JSON, atomically. NaN is refused: it is not JSON."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    with atomic_text(target) as stream:
        stream.write(text + "\n")
