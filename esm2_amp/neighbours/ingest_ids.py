"""The ids of an ingest: all read, checked, sorted and written before the first vector is copied."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from esm2_amp.errors import InputError
from esm2_amp.neighbours.readers.source import BATCH_IDS, VectorSource
from esm2_amp.neighbours.string_table import StringTable, write_strings
from esm2_amp.neighbours.vector_manifest import PROGRESS
from esm2_amp.neighbours.vectors import IDS

_REPEAT = np.dtype([("position", "<i8"), ("kept", "<i8"), ("hash", "u1", (16,))])
"""One vector of an id that comes again: its place in the source, that of the one kept, and a digest of its values."""
_REPEATS = "repeats.bin"
_SHOWN = 3
_BAD = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")
_PARTS = ("utf8", "offsets", "order")


class Repeats:
    """The vectors whose id comes more than once, kept ones among them, in the order of the source.

    Args:
        file: where they are noted.
        source_count: how many vectors the source has.
    """

    def __init__(self, file: Path, source_count: int) -> None:
        self.source_count = source_count
        self._records: NDArray[np.void] = (
            np.memmap(file, _REPEAT, "r+") if file.stat().st_size else np.empty(0, _REPEAT)
        )
        self._dropped = self._records["position"][self._records["position"] != self._records["kept"]]

    @property
    def dropped(self) -> int:
        """How many vectors are left out."""
        return len(self._dropped)

    def keep(self, positions: NDArray[np.int64], halves: NDArray[np.float16]) -> NDArray[np.bool_] | None:
        """(m,) which of m neighbouring vectors are kept, None for all; notes what the repeated ones are."""
        first, last = np.searchsorted(self._records["position"], [positions[0], positions[-1] + 1])
        if first == last:
            return None
        kept = np.ones(len(positions), bool)
        for record in range(int(first), int(last)):
            at = int(self._records["position"][record] - positions[0])
            digest = hashlib.blake2b(halves[at].tobytes(), digest_size=16).digest()
            self._records["hash"][record] = np.frombuffer(digest, np.uint8)
            kept[at] = self._records["kept"][record] == self._records["position"][record]
        if isinstance(self._records, np.memmap):
            self._records.flush()
        return kept

    def row(self, position: int) -> int:
        """The row of the id at a place in the source."""
        record = int(np.searchsorted(self._records["position"], position))
        if record < len(self._records) and self._records["position"][record] == position:
            position = int(self._records["kept"][record])
        return position - int(np.searchsorted(self._dropped, position))

    def kept_of(self, start: int, stop: int) -> NDArray[np.bool_]:
        """(stop - start,) which of the vectors from ``start`` on are kept."""
        kept = np.ones(stop - start, bool)
        first, last = np.searchsorted(self._dropped, [start, stop])
        kept[self._dropped[first:last] - start] = False
        return kept

    def differing(self) -> int:
        """How many of the vectors left out are not the one that was kept."""
        mine = self._records["hash"]
        kept = mine[np.searchsorted(self._records["position"], self._records["kept"])]
        return int((mine != kept).any(axis=1).sum())


def open_repeats(folder: Path, source_count: int) -> Repeats:
    """What an earlier process noted."""
    return Repeats(folder / PROGRESS / _REPEATS, source_count)


def write_ids(source: VectorSource, folder: Path, duplicates: str) -> Repeats:
    """Write the table of ids of a folder.

    Raises:
        InputError: no id at all, one that is empty or holds control characters, or a repeated one where that is an
            error.
    """
    work = folder / PROGRESS
    table = write_strings(work / IDS, _checked(source))
    again = table.repeats()
    if duplicates == "error" and again.any():
        raise _twice(source, table, again)
    _note(table, again, duplicates).tofile(work / _REPEATS)
    repeats = open_repeats(folder, len(table))
    stem = IDS
    if repeats.dropped:
        stem = "kept"
        write_strings(work / stem, _kept(table, repeats))
    for part in _PARTS:
        (work / f"{stem}.{part}").replace(folder / f"{IDS}.{part}")
    return repeats


def ids_digest(folder: Path) -> str:
    """SHA-256 of the ids and their lengths."""
    digest = hashlib.sha256()
    for part in _PARTS[:2]:
        with (folder / f"{IDS}.{part}").open("rb") as stream:
            while piece := stream.read(1 << 20):
                digest.update(piece)
    return digest.hexdigest()


def _checked(source: VectorSource) -> Iterator[Sequence[str]]:
    position = 0
    for batch in source.ids():
        if not all(batch) or _BAD.search("".join(batch)):
            at = next(i for i, id_ in enumerate(batch) if not id_ or _BAD.search(id_))
            what = f"the id {batch[at]!r} has a control character or is not UTF-8" if batch[at] else "an empty id"
            raise InputError(what, file=source.place(position + at), remedy="Ids are text on one line: rename it.")
        yield batch
        position += len(batch)
    if not position or not source.dim:
        raise InputError("it holds no vector, or none with a value", file=source.name, remedy="Name another source.")


def _note(table: StringTable, again: NDArray[np.bool_], duplicates: str) -> NDArray[np.void]:
    """The records of all repeated ids; ``again`` says which places of the sorted order repeat the one before."""
    member = again.copy()
    member[:-1] |= again[1:]
    rows = table.order[member]
    starts = np.flatnonzero(~again[member])
    counts = np.diff(np.append(starts, len(rows)))
    records = np.zeros(len(rows), _REPEAT)
    if len(rows):
        # equal strings lie in the order of their rows
        chosen = rows[starts] if duplicates == "first" else rows[starts + counts - 1]
        records["position"], records["kept"] = rows, np.repeat(chosen, counts)
    return records[np.argsort(records["position"])]


def _kept(table: StringTable, repeats: Repeats) -> Iterator[Sequence[str]]:
    for start in range(0, len(table), BATCH_IDS):
        stop = min(len(table), start + BATCH_IDS)
        yield table.many(np.flatnonzero(repeats.kept_of(start, stop)) + start)


def _twice(source: VectorSource, table: StringTable, again: NDArray[np.bool_]) -> InputError:
    places = np.flatnonzero(again)
    shown = [
        f"{table[int(table.order[at])]!r} ({source.place(int(table.order[at - 1]))}; "
        f"{source.place(int(table.order[at]))})"
        for at in places[:_SHOWN]
    ]
    more = f" and {len(places) - _SHOWN:,} more" if len(places) > _SHOWN else ""
    return InputError(
        f"{len(places):,} vectors have an id that came before: {', '.join(shown)}{more}",
        file=source.name,
        remedy="Keep one vector of each id with duplicates=first or duplicates=last.",
    )
