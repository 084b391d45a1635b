"""Text files of users: opened, unpacked and read line by line, and what is not text refused by name."""

from __future__ import annotations

import gzip
import io
import os
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from esm2_amp.errors import InputError

FilePath = str | os.PathLike[str]

_NOT_TEXT = {
    b"PK\x03\x04": "a zip archive or an Excel workbook",
    b"BZh": "compressed with bzip2",
    b"\xfd7zXZ": "compressed with xz",
    b"\x28\xb5\x2f\xfd": "compressed with zstd",
    b"\xd0\xcf\x11\xe0": "an old Office document",
    b"PAR1": "a Parquet file",
    b"\xff\xfe": "UTF-16 text",
    b"\xfe\xff": "UTF-16 text",
}


@contextmanager
def open_bytes(path: FilePath) -> Iterator[io.BufferedReader]:
    """Open a user's file for reading.

    Raises:
        InputError: it is missing, a folder, not readable, or reading it fails inside the block.
    """
    try:
        with Path(path).open("rb") as stream:
            yield stream
    except FileNotFoundError as error:
        raise InputError("no such file", file=path, remedy="Check the name and the folder.") from error
    except IsADirectoryError as error:
        raise InputError("this is a folder, not a file", file=path, remedy="Name a file in it.") from error
    except PermissionError as error:
        raise InputError("no permission to read the file", file=path, remedy="Change its permissions.") from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(
            "the gzip file is damaged or cut short", file=path, remedy="Download or compress it again."
        ) from error
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror or error})", file=path) from error


def text_lines(path: FilePath) -> Iterator[tuple[int, str]]:
    """Open a text file and stream its lines; see :func:`open_bytes` and :func:`lines_of`."""
    with open_bytes(path) as stream:
        yield from lines_of(stream, path)


def lines_of(stream: io.BufferedReader, path: FilePath) -> Iterator[tuple[int, str]]:
    """Stream the lines of UTF-8 text, plain or gzip by its first bytes, numbered from 1, without line ends.

    Bytes that are not UTF-8 stay in the line as lone surrogates: see :func:`is_text`. A line must fit in memory.

    Raises:
        InputError: the content is binary, or in another encoding or compression.
    """
    packed = stream.peek(2)[:2] == b"\x1f\x8b"
    content = gzip.GzipFile(fileobj=stream) if packed else stream
    _refuse_binary(content.peek(64)[:64], path, packed)
    text = io.TextIOWrapper(content, encoding="utf-8-sig", errors="surrogateescape")
    for line, row in enumerate(text, start=1):
        if "\0" in row:
            raise InputError("this is not text", file=path, line=line, remedy="Save it as plain UTF-8 text.")
        yield line, row.rstrip("\n")


def is_text(line: str) -> bool:
    """Whether a line of :func:`text_lines` was UTF-8 throughout."""
    return line.isascii() or not any("\udc80" <= letter <= "\udcff" for letter in line)


def _refuse_binary(head: bytes, path: FilePath, packed: bool) -> None:
    inside = " inside gzip" if packed else ""
    remedy = ("Unpack it, or save it" if packed else "Save it") + " as plain UTF-8 text (a spreadsheet: as TSV)."
    for magic, kind in _NOT_TEXT.items():
        # a protein may be called PAR1: the formats that begin with letters go on with bytes that text has not
        if head.startswith(magic) and (not magic.isalnum() or re.search(rb"[\0-\x08\x0e-\x1f]", head)):
            raise InputError(f"this is {kind}{inside}, not text", file=path, remedy=remedy)
    if b"\0" in head:
        raise InputError(f"this is not text{inside}", file=path, remedy=remedy)
