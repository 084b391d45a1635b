"""The central directory of a zip file, ZIP64 too: where every entry lies, without opening any.

Source: APPNOTE.TXT 6.3.10 of PKWARE. All of it is checked before it is believed: sizes, offsets, that entries do not
overlap. Nothing is unpacked here.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from esm2_amp.errors import InputError

STORED, DEFLATED = 0, 8
_ENTRY = np.dtype(
    [
        ("signature", "S4"), ("made", "<u2"), ("needed", "<u2"), ("flags", "<u2"), ("method", "<u2"),
        ("time", "<u4"), ("crc", "<u4"), ("packed", "<u4"), ("size", "<u4"), ("name", "<u2"), ("extra", "<u2"),
        ("comment", "<u2"), ("disk", "<u2"), ("internal", "<u2"), ("external", "<u4"), ("offset", "<u4"),
    ]
)  # fmt: skip
_END = struct.Struct("<4s4H2LH")
_LOCATOR = struct.Struct("<4sLQL")
_END64 = struct.Struct("<4sQ2H2L4Q")
_LENGTHS = struct.Struct("<3H")
_BAD_FLAGS = 0x2061  # encrypted, patch, strongly encrypted, masked
_UTF8 = 0x800
_IN_EXTRA = 0xFFFFFFFF
_MOST_AROUND = 30 + 0xFFFF + 0xFFFF + 24
"""Bytes of an entry beside its content: header, name, extra field, data descriptor."""
_MOST_DEFLATED = 1032
"""Deflate cannot make less of data than one part in so many."""


@dataclass(frozen=True, eq=False)
class Directory:
    """n entries of a zip file, in the order of the directory.

    ``method`` is 0 (stored) or 8 (deflated); ``crc`` of the unpacked bytes; ``packed`` and ``size`` are bytes before
    and after unpacking; the local header of an entry begins at ``offset``, and it ends before ``limit``, which is where
    the next one begins unless other bytes lie between; its name has ``name_bytes`` bytes, from ``name_start`` on in
    ``raw``, the directory as it is.
    """

    file: Path
    raw: bytes
    method: NDArray[np.int64]
    crc: NDArray[np.int64]
    packed: NDArray[np.int64]
    size: NDArray[np.int64]
    offset: NDArray[np.int64]
    limit: NDArray[np.int64]
    name_start: NDArray[np.int64]
    name_bytes: NDArray[np.int64]
    utf8: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.offset)

    def name(self, entry: int) -> str:
        """Name of an entry, in UTF-8 or code page 437 as its flag says."""
        start = self.name_start[entry]
        text = self.raw[start : start + self.name_bytes[entry]]
        try:
            return text.decode("utf-8" if self.utf8[entry] else "cp437")
        except UnicodeDecodeError:
            raise InputError(f"the name of entry {entry + 1}, {text!r}, is not text", file=self.file) from None


def count_entries(path: Path) -> int:
    """How many entries a zip file says it has: its end record is read, nothing else.

    Raises:
        InputError: it cannot be read, or is no zip file.
    """
    with _opened(path) as stream:
        return _end(stream, path)[0]


def read_directory(path: Path) -> Directory:
    """Read and check the central directory.

    Raises:
        InputError: the file is no zip file, cut short or damaged; an entry is encrypted or packed by another method
            than deflate; entries overlap, or a size is impossible.
    """
    with _opened(path) as stream:
        count, size, start, shift = _end(stream, path)
        stream.seek(start)
        raw = stream.read(size)
    if len(raw) != size or count * _ENTRY.itemsize > size:
        raise damaged(path, f"its directory of {count} entries does not fit into {len(raw)} bytes")
    starts = _entry_starts(raw, count, path)
    fields = _gathered(raw, starts)
    if (fields["signature"] != b"PK\x01\x02").any():
        raise damaged(path, "a directory entry without its signature")
    large = {name: fields[name].astype(np.int64) for name in ("packed", "size", "offset")}
    for entry in np.flatnonzero(np.any([large[name] == _IN_EXTRA for name in large], axis=0)):
        at = int(starts[entry]) + _ENTRY.itemsize + int(fields["name"][entry])
        _read_extra(raw[at : at + int(fields["extra"][entry])], int(entry), large, path)
    large["offset"] += shift
    directory = Directory(
        path,
        raw,
        fields["method"].astype(np.int64),
        fields["crc"].astype(np.int64),
        **large,
        limit=np.minimum(_limits(large["offset"], start), large["offset"] + large["packed"] + _MOST_AROUND),
        name_start=starts + _ENTRY.itemsize,
        name_bytes=fields["name"].astype(np.int64),
        utf8=(fields["flags"] & _UTF8) != 0,
    )
    _check(directory, fields)
    return directory


def damaged(path: Path, what: str) -> InputError:
    """The mistake of a file that is not as it should be."""
    return InputError(f"the archive is damaged: {what}", file=path, remedy="Get or make the file again.")


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", file=path) from error


def _end(stream: BinaryIO, path: Path) -> tuple[int, int, int, int]:
    """Number of entries; size and place of the directory; bytes that stand before the archive."""
    length = stream.seek(0, os.SEEK_END)
    stream.seek(max(0, length - _END.size - 0xFFFF - _LOCATOR.size - _END64.size))
    base, tail = stream.tell(), stream.read()
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or at + _END.size > len(tail):
        raise InputError("no zip archive, or cut short: it has no end record", file=path, remedy="Get it again.")
    _, disk, first_disk, here, count, size, offset, comment = _END.unpack_from(tail, at)
    if at + _END.size + comment > len(tail):
        raise damaged(path, "its comment is cut short")
    locator = at - _LOCATOR.size
    if locator >= 0 and tail.startswith(b"PK\x06\x07", locator):
        at = _end64_place(tail, locator, base, path)
        *_, disk, first_disk, here, count, size, offset = _END64.unpack_from(tail, at)
    if disk or first_disk or here != count:
        raise InputError("one part of an archive of several parts", file=path, remedy="Join the parts.")
    start = base + at - size
    if start < 0 or offset > start:
        raise damaged(path, "its directory would begin outside the file")
    return count, size, start, start - offset


def _end64_place(tail: bytes, locator: int, base: int, path: Path) -> int:
    """Where in the tail the end record of ZIP64 stands: before its locator, or where that says."""
    _, _, told, _ = _LOCATOR.unpack_from(tail, locator)
    for at in (locator - _END64.size, told - base):
        if 0 <= at <= locator - _END64.size and tail.startswith(b"PK\x06\x06", at):
            return at
    raise damaged(path, "no ZIP64 end record where its locator points")


def _entry_starts(raw: bytes, count: int, path: Path) -> NDArray[np.int64]:
    starts = np.empty(count, np.int64)
    at, last, lengths = 0, len(raw) - _ENTRY.itemsize, _LENGTHS.unpack_from
    for entry in range(count):
        if at > last:
            raise damaged(path, f"its directory ends within entry {entry + 1} of {count}")
        starts[entry] = at
        name, extra, comment = lengths(raw, at + 28)
        at += _ENTRY.itemsize + name + extra + comment
    if at != len(raw):
        raise damaged(path, f"its directory of {count} entries has {len(raw)} bytes, the entries {at}")
    return starts


def _gathered(raw: bytes, starts: NDArray[np.int64]) -> NDArray[np.void]:
    if not len(starts):
        return np.empty(0, _ENTRY)
    every = np.ndarray((len(raw) - _ENTRY.itemsize + 1, _ENTRY.itemsize), "u1", raw, strides=(1, 1))
    return every[starts].view(_ENTRY).ravel()


def _read_extra(extra: bytes, entry: int, large: dict[str, NDArray[np.int64]], path: Path) -> None:
    """Put the 8-byte numbers of a ZIP64 extra field where the entry has none."""
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, at)
        if kind == 1:
            field = extra[at + 4 : at + 4 + length]
            for name in ("size", "packed", "offset"):  # the order of the specification
                if large[name][entry] == _IN_EXTRA:
                    if len(field) < 8:
                        raise damaged(path, f"the ZIP64 field of entry {entry + 1} is too short")
                    large[name][entry] = min(int.from_bytes(field[:8], "little"), 1 << 62)
                    field = field[8:]
            return
        at += 4 + length
    raise damaged(path, f"entry {entry + 1} has no ZIP64 field")


def _limits(offset: NDArray[np.int64], end: int) -> NDArray[np.int64]:
    """Where the next entry of the file begins, or the directory."""
    order = np.argsort(offset, kind="stable")
    limit = np.empty_like(offset)
    limit[order] = np.append(offset[order][1:], end)[: len(order)]
    return limit


def _check(directory: Directory, fields: NDArray[np.void]) -> None:
    """Refuse what cannot be read, or cannot be true, by the name of the first such entry."""
    least = 30 + directory.name_bytes + directory.packed
    stored = directory.method == STORED
    for wrong, what in (
        ((fields["flags"] & _BAD_FLAGS) != 0, "it is encrypted"),
        (~stored & (directory.method != DEFLATED), "it is packed by another method than deflate"),
        (fields["disk"] != 0, "it lies in another part of the archive"),
        (directory.offset + least > directory.limit, "it overlaps what comes next"),
        (stored & (directory.size != directory.packed), "stored, but its two sizes differ"),
        (directory.size > _MOST_DEFLATED * directory.packed + 64, "its size is impossible"),
    ):
        if wrong.any():
            raise damaged(directory.file, f"entry {directory.name(int(np.argmax(wrong)))!r}: {what}")
