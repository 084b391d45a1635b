"""Archives (.npz) with one array for each key, read by offset: many times as fast as ``numpy.load`` key by key.

The id is the last part of a key: ``/scratch/x/468/MGYP000160952468`` is MGYP000160952468. The bytes of many stored
entries are read at once and their headers compared at once; deflated ones are unpacked one by one, in memory. Every
CRC-32 is checked.
"""

from __future__ import annotations

import io
import os
import zlib
from collections.abc import Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from esm2_amp.errors import InputError
from esm2_amp.neighbours.readers.source import BATCH_IDS, BLOCK_BYTES, Block
from esm2_amp.neighbours.readers.zip_directory import DEFLATED, Directory, count_entries, damaged, read_directory

_LOCAL = 30
_LONGEST_HEADER = 1 << 16
_BAD_HEADER = (ValueError, SyntaxError, TypeError, KeyError, EOFError, RecursionError, MemoryError, TokenError)
_SUFFIX = ".npy"


class NpzSource:
    """See :class:`~esm2_amp.neighbours.readers.source.VectorSource`.

    Args:
        name: what the user gave.
        files: the archives, in the order in which they are read.

    Raises:
        InputError: an archive cannot be read, or its first array is no vector.
    """

    form = "npz"

    def __init__(self, name: str, files: Sequence[Path]) -> None:
        self.name, self.files = name, files
        self.details: dict[str, Any] = {"archives": len(files)}
        self._ends = list(accumulate(count_entries(file) for file in files))
        self._open: tuple[int, Directory] | None = None
        self.dim = 0
        if self._ends[-1]:
            number = next(i for i, end in enumerate(self._ends) if end)
            self.dim = _Reader(self._directory(number)).first_dim()

    @property
    def count(self) -> int:
        """How many vectors the end records promise."""
        return self._ends[-1]

    def ids(self) -> Iterator[Sequence[str]]:
        """See :class:`~esm2_amp.neighbours.readers.source.VectorSource`."""
        for number in range(len(self.files)):
            directory = self._directory(number)
            for at in range(0, len(directory), BATCH_IDS):
                yield [_id(directory, entry) for entry in range(at, min(len(directory), at + BATCH_IDS))]

    def blocks(self, start: int) -> Iterator[Block]:
        """See :class:`~esm2_amp.neighbours.readers.source.VectorSource`."""
        for number, end in enumerate(self._ends):
            if start < end:
                directory = self._directory(number)
                yield from read_arrays(directory, self.dim, len(directory) - (end - start))
                start = end

    def place(self, position: int) -> str:
        """See :class:`~esm2_amp.neighbours.readers.source.VectorSource`."""
        number = next(i for i, end in enumerate(self._ends) if position < end)
        directory = self._directory(number)
        return f"{self.files[number]}, array {directory.name(len(directory) - (self._ends[number] - position))!r}"

    def _directory(self, number: int) -> Directory:
        if self._open is None or self._open[0] != number:
            directory = read_directory(self.files[number])
            before = self._ends[number - 1] if number else 0
            if len(directory) != self._ends[number] - before:
                raise damaged(self.files[number], "it changes while it is read")
            self._open = number, directory
        return self._open[1]


def read_arrays(directory: Directory, dim: int, start: int) -> Iterator[Block]:
    """The arrays of an archive from entry ``start`` on, (rows, d) at a time, as ``numpy.load`` would give them.

    Raises:
        InputError: an entry is damaged, no array, or no vector of ``dim`` floating-point numbers.
    """
    reader = _Reader(directory)
    with directory.file.open("rb") as stream:
        while start < len(directory):
            stop = reader.run(start)
            yield reader.read(stream.fileno(), start, stop, dim)
            start = stop


class _Reader:
    """Reads runs of entries of one archive; headers that are alike are parsed once."""

    def __init__(self, directory: Directory) -> None:
        self._all, self._specs = directory, dict[bytes, tuple[tuple[int, ...], np.dtype[Any]]]()

    def first_dim(self) -> int:
        with self._all.file.open("rb") as stream:
            most = _LOCAL + 0xFFFF + 0xFFFF + _LONGEST_HEADER
            buffer, begin = self._bytes(stream.fileno(), 0, 1, most)
            _, shape, _ = self._header(0, self._content(buffer, int(begin[0]), 0, _LONGEST_HEADER))
        if len(shape) != 1 or not shape[0]:
            raise self._wrong(0, f"an array of shape {shape}", "Each key should hold one vector: pool residues first.")
        return shape[0]

    def run(self, start: int) -> int:
        """Where the run that begins at an entry ends: neighbours in the file, and enough for a block."""
        offset, limit = self._all.offset[start:], self._all.limit[start:]
        most = start + max(1, int(np.searchsorted(np.cumsum(self._all.size[start : start + 65_536]), BLOCK_BYTES)))
        apart = np.flatnonzero(offset[1 : most - start] != limit[: most - start - 1])
        return start + int(apart[0]) + 1 if len(apart) else min(most, len(self._all))

    def read(self, handle: int, start: int, stop: int, dim: int) -> Block:
        """(stop - start, d) of a run."""
        sizes, packed = self._all.size[start:stop], self._all.packed[start:stop]
        large = (sizes > _LONGEST_HEADER + 16 * dim) | (packed > sizes + sizes // 64 + 1024)
        if large.any():
            raise self._wrong(start + int(np.argmax(large)), f"its size is not that of {dim} numbers")
        buffer, begin = self._bytes(handle, start, stop, int(self._all.limit[stop - 1]))
        block = self._alike(buffer, begin, start, stop, dim)
        if block is None:
            rows = [self._one(buffer, at, entry, dim) for entry, at in enumerate(begin.tolist(), start)]
            block = np.stack(rows).astype(np.result_type(*{row.dtype for row in rows}), copy=False)
        return block

    def _bytes(self, handle: int, start: int, stop: int, most: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """The bytes of a run, ``most`` of them, and (m,) where among them the content of each entry begins."""
        base, end = int(self._all.offset[start]), int(self._all.limit[stop - 1])
        buffer, done = np.empty(min(end - base, most), np.uint8), 0
        while done < len(buffer):
            try:
                got = os.preadv(handle, [buffer[done:].data], base + done)
            except OSError as error:
                raise InputError(f"cannot be read ({error.strerror})", file=self._all.file) from error
            if not got:
                raise damaged(self._all.file, "it ends too early")
            done += got
        return buffer, self._content_starts(buffer, base, start, stop)

    def _alike(
        self, buffer: NDArray[np.uint8], begin: NDArray[np.int64], start: int, stop: int, dim: int
    ) -> Block | None:
        """All arrays of a run at once, if they are stored and have one header; None if they differ."""
        part, first = slice(start, stop), self._all
        if (first.method[part] == DEFLATED).any() or len({*first.size[part].tolist()}) > 1:
            return None
        size = int(first.size[start])
        head, shape, dtype = self._header(start, buffer[begin[0] : begin[0] + size].data)
        if size != head + dtype.itemsize * dim or shape != (dim,):
            return None
        if (_rows(buffer, begin, head) != buffer[begin[0] : begin[0] + head]).any():
            return None
        data, crcs = buffer.data, first.crc[part].tolist()
        for entry, (at, crc) in enumerate(zip(begin.tolist(), crcs, strict=True), start):
            if zlib.crc32(data[at : at + size]) != crc:
                raise self._wrong(entry, "its CRC-32 is not that of its bytes")
        return _rows(buffer, begin + head, dtype.itemsize * dim).view(dtype)

    def _one(self, buffer: NDArray[np.uint8], at: int, entry: int, dim: int) -> NDArray[Any]:
        size = int(self._all.size[entry])
        content = self._content(buffer, at, entry, size)
        if len(content) != size or zlib.crc32(content) != self._all.crc[entry]:
            raise self._wrong(entry, "its size or CRC-32 is not that of its bytes")
        head, shape, dtype = self._header(entry, content)
        if shape != (dim,):
            raise self._wrong(entry, f"it has shape {shape}, the first array ({dim},)")
        if size != head + dim * dtype.itemsize:
            raise self._wrong(entry, f"{size} bytes do not fit {dtype} of shape {shape}")
        return np.frombuffer(content, dtype, dim, head)

    def _content(self, buffer: NDArray[np.uint8], at: int, entry: int, most: int) -> memoryview:
        """Up to ``most`` unpacked bytes of an entry, or one more if there are more."""
        packed = buffer[at : at + int(self._all.packed[entry])].data
        if self._all.method[entry] != DEFLATED:
            return packed[:most]
        unpack = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            return memoryview(unpack.decompress(packed, most + 1))
        except zlib.error as error:
            raise self._wrong(entry, f"it cannot be unpacked ({error})") from error

    def _content_starts(self, buffer: NDArray[np.uint8], base: int, start: int, stop: int) -> NDArray[np.int64]:
        """Where in the buffer the content of each entry of a run begins, its local header checked."""
        part = slice(start, stop)
        local = self._all.offset[part] - base
        head = _rows(buffer, local, _LOCAL)
        names, extra = head[:, 26:28].copy().view("<u2").ravel(), head[:, 28:30].copy().view("<u2").ravel()
        begin = local + _LOCAL + names + extra
        wrong = (head[:, :4] != np.frombuffer(b"PK\x03\x04", np.uint8)).any(axis=1)
        wrong |= (names != self._all.name_bytes[part]) | (begin + self._all.packed[part] > self._all.limit[part] - base)
        if not wrong.any():
            wrong = self._other_names(buffer, local + _LOCAL, start, stop)
        if wrong.any():
            raise self._wrong(start + int(np.argmax(wrong)), "its local header does not agree with the directory")
        return begin

    def _other_names(
        self, buffer: NDArray[np.uint8], local: NDArray[np.int64], start: int, stop: int
    ) -> NDArray[np.bool_]:
        """(m,) whether the name before an entry is not the one in the directory."""
        lengths, places = self._all.name_bytes[start:stop], self._all.name_start[start:stop]
        directory, wrong = np.frombuffer(self._all.raw, np.uint8), np.zeros(stop - start, bool)
        for length in set(lengths.tolist()) - {0}:
            here = lengths == length
            wrong[here] = (_rows(buffer, local[here], length) != _rows(directory, places[here], length)).any(axis=1)
        return wrong

    def _header(self, entry: int, content: memoryview) -> tuple[int, tuple[int, ...], np.dtype[Any]]:
        """Bytes of the header of an array, its shape and type."""
        start = bytes(content[:12])
        width = 2 if start[6:7] == b"\x01" else 4
        head = 8 + width + int.from_bytes(start[8 : 8 + width], "little")
        text = bytes(content[: min(head, _LONGEST_HEADER)])
        if text not in self._specs:
            self._specs[text] = self._parsed(entry, text)
        return head, *self._specs[text]

    def _parsed(self, entry: int, text: bytes) -> tuple[tuple[int, ...], np.dtype[Any]]:
        if not self._all.name(entry).endswith(_SUFFIX) or not text.startswith(npy_format.MAGIC_PREFIX):
            raise self._wrong(entry, "it is no array", "Keep other files in other archives.")
        stream = io.BytesIO(text)
        try:
            version = npy_format.read_magic(stream)
            read = npy_format.read_array_header_1_0 if version == (1, 0) else npy_format.read_array_header_2_0
            shape, _, dtype = read(stream)
        except _BAD_HEADER as error:
            raise self._wrong(entry, f"the header of its array is damaged ({str(error)[:80]})") from error
        if dtype.kind != "f":
            raise self._wrong(entry, f"it holds {dtype}", "Vectors are floating-point numbers.")
        return shape, dtype

    def _wrong(self, entry: int, what: str, remedy: str = "Get or make the file again.") -> InputError:
        return InputError(f"array {self._all.name(entry)!r}: {what}", file=self._all.file, remedy=remedy)


def _id(directory: Directory, entry: int) -> str:
    return directory.name(entry).removesuffix(_SUFFIX).rsplit("/", 1)[-1]


def _rows(buffer: NDArray[np.uint8], starts: NDArray[np.int64], width: int) -> NDArray[np.uint8]:
    """(m, width) bytes of a buffer from m places on, copied."""
    every = np.ndarray((len(buffer) - width + 1, width), np.uint8, buffer.data, strides=(1, 1))
    return every[starts]
