"""Strings on disk in sorted order: millions of ids found by bisection, without a Python object for each.

A table is three arrays: the UTF-8 bytes of all strings, one after the other and followed by eight zero bytes; (n + 1,)
where each begins; (n,) the rows in the order of their bytes, which is that of their code points. Strings may repeat;
they hold no NUL.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from itertools import accumulate
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from esm2_amp.errors import InputError
from esm2_amp.io.atomic import atomic_path

_PADDING = bytes(8)
_BLOCK = 1 << 20
_AFTER_ALL = b"\xff"
"""Greater than any byte of UTF-8 text."""

Bytes = NDArray[np.uint8]
Rows = NDArray[np.int64]


class StringTable:
    """Find strings by row and rows by string; rows are counted from 0 in the order in which the strings were given.

    Args:
        text: the bytes, with the padding.
        starts: (n + 1,) int64.
        order: (n,) int64.
    """

    def __init__(self, text: Bytes, starts: Rows, order: Rows) -> None:
        # plain views: every index into a memmap costs a new memmap
        self.text, self.starts, self.order = (array.view(np.ndarray) for array in (text, starts, order))
        self._view = self.text.data

    @classmethod
    def of(cls, strings: Iterable[str]) -> StringTable:
        """A table in memory."""
        text, starts = _packed([string.encode("utf-8", "surrogatepass") for string in strings])
        return cls(text, starts, sorted_order(text, starts))

    @classmethod
    def open(cls, stem: Path) -> StringTable:
        """Map the files that :func:`write_strings` made.

        Raises:
            InputError: a file is missing or cut short.
        """
        try:
            starts = np.memmap(f"{stem}.offsets", "<i8", "r")
            text, order = np.memmap(f"{stem}.utf8", "u1", "r"), np.memmap(f"{stem}.order", "<i8", "r")
        except (OSError, ValueError) as error:
            raise InputError(f"the table of ids cannot be read ({error})", file=stem.parent) from error
        if len(order) != len(starts) - 1 or len(text) != starts[-1] + len(_PADDING):
            raise InputError("the table of ids is damaged", file=stem.parent, remedy="Ingest again into a new folder.")
        return cls(text, starts, order)

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, row: int) -> str:
        return self._bytes(row).decode("utf-8", "surrogatepass")

    def many(self, rows: NDArray[np.integer] | Sequence[int]) -> list[str]:
        """The strings of some rows."""
        return [self[int(row)] for row in rows]

    def find(self, wanted: Sequence[str]) -> Rows:
        """Row of each of m strings, the first one if it repeats, -1 where there is none; (m,) int64."""
        text, starts = _packed([string.encode("utf-8", "surrogatepass") for string in wanted])
        place = self._lower_bound(text, starts)
        found = np.full(len(wanted), -1, np.int64)
        inside = np.flatnonzero(place < len(self))
        rows = np.asarray(self.order[place[inside]], np.int64)
        same = _compare(self.text, self.starts, rows, text, starts, inside) == 0
        found[inside[same]] = rows[same]
        return found

    def repeats(self) -> NDArray[np.bool_]:
        """(n,) whether the string at each place of the sorted order is the same as the one before."""
        same = np.zeros(len(self), bool)
        for at in range(1, len(self), _BLOCK):
            mine = self.order[at : at + _BLOCK]
            before = self.order[at - 1 : at - 1 + len(mine)]
            same[at : at + _BLOCK] = _compare(self.text, self.starts, mine, self.text, self.starts, before) == 0
        return same

    def with_prefix(self, prefix: str) -> tuple[int, int]:
        """First and last + 1 place, in ``order``, of the strings that begin so."""
        start = prefix.encode("utf-8", "surrogatepass")
        first, last = self._lower_bound(*_packed([start, start + _AFTER_ALL]))
        return int(first), int(last)

    def around(self, string: str, count: int) -> list[str]:
        """Up to ``count`` strings before and after the place where a string stands or would stand."""
        (place,) = self._lower_bound(*_packed([string.encode("utf-8", "surrogatepass")]))
        return self.many(self.order[max(0, int(place) - count) : int(place) + count])

    def _bytes(self, row: int) -> bytes:
        if not 0 <= row < len(self):
            raise IndexError(f"row {row} of a table of {len(self)}")
        return self._view[self.starts[row] : self.starts[row + 1]].tobytes()

    def _lower_bound(self, text: Bytes, starts: Rows) -> Rows:
        """(m,) how many strings of the table are less than each of the m given ones."""
        low, high = np.zeros(len(starts) - 1, np.int64), np.full(len(starts) - 1, len(self), np.int64)
        while len(open_ := np.flatnonzero(low < high)):
            middle = (low[open_] + high[open_]) // 2
            less = _compare(self.text, self.starts, self.order[middle], text, starts, open_) < 0
            low[open_[less]], high[open_[~less]] = middle[less] + 1, middle[~less]
        return low


def write_strings(stem: Path, batches: Iterable[Sequence[str]]) -> StringTable:
    """Write ``stem``.utf8, .offsets and .order, each atomically, and open them; sorting takes some 65 bytes a string.

    Raises:
        InputError: the files cannot be written.
    """
    with (
        atomic_path(f"{stem}.utf8") as text_path,
        atomic_path(f"{stem}.offsets") as starts_path,
        atomic_path(f"{stem}.order") as order_path,
    ):
        with text_path.open("wb") as text, starts_path.open("wb") as starts:
            end = 0
            starts.write(np.zeros(1, "<i8").tobytes())
            for batch in batches:
                encoded = [string.encode("utf-8") for string in batch]
                text.write(b"".join(encoded))
                ends = np.array(list(accumulate((len(one) for one in encoded), initial=end)), "<i8")
                starts.write(ends[1:].tobytes())
                end = int(ends[-1])
            text.write(_PADDING)
        order = sorted_order(np.memmap(text_path, "u1", "r"), np.memmap(starts_path, "<i8", "r"))
        order.astype("<i8").tofile(order_path)
        for path in (text_path, starts_path, order_path):
            _sync(path)
    return StringTable.open(stem)


def sorted_order(text: Bytes, starts: Rows) -> Rows:
    """(n,) rows in the order of their strings, equal strings in the order of rows.

    Eight bytes are compared at a time; what they do not decide is decided by the next eight.
    """
    order = np.arange(len(starts) - 1)
    places, group = order.copy(), np.zeros(len(order), np.int64)
    depth = 0
    while len(places):
        rows = order[places]
        words = np.empty(len(rows), np.uint64)
        for at in range(0, len(rows), _BLOCK):
            part = slice(at, at + _BLOCK)
            words[part] = _words(text, starts, rows[part], depth)
        by = np.lexsort((words, group)) if depth else np.argsort(words, kind="stable")
        order[places], words = rows[by], words[by]
        new = np.ones(len(places), bool)
        new[1:] = (group[1:] != group[:-1]) | (words[1:] != words[:-1])
        group = np.cumsum(new)
        tied = ~new
        tied[:-1] |= ~new[1:]
        tied &= (words & np.uint64(0xFF)) != 0  # a last byte of zero: these strings have ended, and are equal
        places, group, depth = places[tied], group[tied], depth + 1
    return order


def _packed(encoded: list[bytes]) -> tuple[Bytes, Rows]:
    starts = np.zeros(len(encoded) + 1, np.int64)
    starts[1:] = np.cumsum([len(one) for one in encoded])
    return np.frombuffer(b"".join([*encoded, _PADDING]), np.uint8), starts


def _words(text: Bytes, starts: Rows, rows: Rows, depth: int) -> NDArray[np.uint64]:
    """Bytes 8 * depth to 8 * depth + 7 of some strings as numbers that compare like them, zeros after their end."""
    begin = starts[rows] + 8 * depth
    left = np.clip(starts[rows + 1] - begin, 0, 8)
    every = np.ndarray((len(text) - 7,), ">u8", buffer=text.data, strides=(1,))
    words = every[np.minimum(begin, len(every) - 1)].astype(np.uint64)
    shift = ((8 - np.maximum(left, 1)) * 8).astype(np.uint64)
    return np.where(left > 0, (words >> shift) << shift, np.uint64(0))


def _compare(
    text: Bytes, starts: Rows, rows: Rows, other: Bytes, other_starts: Rows, other_rows: Rows
) -> NDArray[np.int8]:
    """-1, 0 or 1 for each of m couples of strings of two tables, as the first is less, equal or greater."""
    result = np.zeros(len(rows), np.int8)
    open_, depth = np.arange(len(rows)), 0
    while len(open_):
        mine = _words(text, starts, rows[open_], depth)
        yours = _words(other, other_starts, other_rows[open_], depth)
        result[open_] = np.where(mine < yours, -1, np.where(mine > yours, 1, 0))
        open_ = open_[(mine == yours) & ((mine & np.uint64(0xFF)) != 0)]
        depth += 1
    return result


def _sync(path: Path) -> None:
    with path.open("rb") as stream:
        os.fsync(stream.fileno())
