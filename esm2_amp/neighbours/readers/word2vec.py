"""word2vec's two formats, as gensim and word2vec.c write them: a line "n d", then words and their numbers.

In the text format a line has a word and d numbers; in the binary one a word ends with a space, d little-endian float32
follow, and perhaps a line end. Either may be gzip-compressed.
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

from esm2_amp.errors import InputError
from esm2_amp.neighbours.readers.source import BATCH_IDS, Block, rows_of_block

_HEADER = re.compile(rb"\s*(\d{1,18})[ \t]+(\d{1,6})[ \t]*\r?\n")
_LONGEST_WORD = 1 << 16
_GUESSED = 1 << 20


class Word2vecSource:
    """See :class:`~esm2_amp.neighbours.readers.source.VectorSource`.

    Args:
        name: the file.
        binary: its format; None: by its second line.

    Raises:
        InputError: the file cannot be read, or has no header.
    """

    def __init__(self, name: str, binary: bool | None) -> None:
        self.name = name
        self.files: Sequence[Path] = [Path(name)]
        with _opened(name) as stream:
            self._count, self.dim = _header(stream, name)
            self._binary = _looks_binary(stream, self.dim) if binary is None else binary
        self.form = "word2vec-binary" if self._binary else "word2vec-text"
        self.details: dict[str, Any] = {}

    def ids(self) -> Iterator[Sequence[str]]:
        """See :class:`~esm2_amp.neighbours.readers.source.VectorSource`."""
        batch = list[str]()
        for number, (word, _) in enumerate(self._records()):
            try:
                batch.append(word.decode("utf-8"))
            except UnicodeDecodeError:
                raise InputError(f"the word {word!r} is not UTF-8 text", file=self.place(number)) from None
            if len(batch) == BATCH_IDS:
                yield batch
                batch = []
        yield batch

    def blocks(self, start: int) -> Iterator[Block]:
        """See :class:`~esm2_amp.neighbours.readers.source.VectorSource`."""
        step, rows = rows_of_block(max(1, self.dim), 4), list[np.ndarray[Any, np.dtype[np.float32]]]()
        for number, (_, values) in enumerate(self._records()):
            if number < start:
                continue
            rows.append(self._numbers(values, number))
            if len(rows) == step:
                yield np.stack(rows)
                rows = []
        if rows:
            yield np.stack(rows)

    def place(self, position: int) -> str:
        """See :class:`~esm2_amp.neighbours.readers.source.VectorSource`."""
        return f"{self.name}, {'vector' if self._binary else 'line'} {position + (1 if self._binary else 2)}"

    def _records(self) -> Iterator[tuple[bytes, bytes]]:
        """Word and numbers of every vector, as bytes."""
        with _opened(self.name) as stream:
            _header(stream, self.name)
            records = self._binary_records(stream) if self._binary else self._text_records(stream)
            number = -1
            for number, record in enumerate(records):
                if number >= self._count:
                    raise InputError(f"more vectors than the {self._count} its header promises", file=self.name)
                yield record
            if number + 1 != self._count:
                raise InputError(f"{number + 1} vectors where its header promises {self._count}", file=self.name)

    def _text_records(self, stream: IO[bytes]) -> Iterator[tuple[bytes, bytes]]:
        longest = _LONGEST_WORD + 64 * self.dim
        for number, line in enumerate(iter(lambda: stream.readline(longest), b"")):
            line = line.rstrip()
            if not line and not stream.readline(longest):
                return  # an empty line at the end
            # a word may hold spaces: the numbers are the last d
            parts = line.rsplit(None, self.dim)
            if len(parts) != self.dim + 1:
                raise InputError(f"no line of a word and {self.dim} numbers", file=self.name, line=number + 2)
            yield parts[0], line[len(parts[0]) :]

    def _binary_records(self, stream: IO[bytes]) -> Iterator[tuple[bytes, bytes]]:
        size = self.dim * 4
        for number in range(self._count):
            word = _word(stream)
            values = stream.read(size)
            if word is None or len(values) != size:
                raise InputError("cut short, or not the binary format", file=self.place(number))
            yield word, values
        if stream.read(_LONGEST_WORD).strip():
            raise InputError(f"more bytes than {self._count} vectors have", file=self.name)

    def _numbers(self, values: bytes, number: int) -> np.ndarray[Any, np.dtype[np.float32]]:
        if self._binary:
            return np.frombuffer(values, "<f4")
        try:
            return np.array(values.split(), dtype="S").astype(np.float32)
        except ValueError:
            raise InputError("not a number where one belongs", file=self.name, line=number + 2) from None


@contextmanager
def _opened(name: str) -> Iterator[IO[bytes]]:
    try:
        with Path(name).open("rb") as raw:
            packed = raw.peek(2)[:2] == b"\x1f\x8b"
            yield gzip.GzipFile(fileobj=raw) if packed else raw  # type: ignore[misc]
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError("the gzip file is damaged or cut short", file=name) from error
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror or error})", file=name) from error


def _header(stream: IO[bytes], name: str) -> tuple[int, int]:
    found = _HEADER.fullmatch(stream.readline(_LONGEST_WORD))
    if not found or not int(found[2]):
        raise InputError(
            "no word2vec file: its first line is not the numbers of vectors and of dimensions",
            file=name,
            line=1,
            remedy="Put that line before a file without it (GloVe).",
        )
    return int(found[1]), int(found[2])


def _looks_binary(stream: IO[bytes], dim: int) -> bool:
    """Whether what follows the header is no line of d numbers."""
    line = stream.readline(max(_GUESSED, 64 * dim))
    try:
        return len([float(part) for part in line.rsplit(None, dim)[1:]]) != dim
    except ValueError:
        return True


def _word(stream: IO[bytes]) -> bytes | None:
    """Up to the next space, without the line end that may stand before; None at the end of the file."""
    word = bytearray()
    while (letter := stream.read(1)) != b" ":
        if not letter or len(word) > _LONGEST_WORD:
            return None
        word += letter
    return bytes(word).lstrip(b"\n")
