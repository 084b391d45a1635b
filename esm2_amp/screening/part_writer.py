"""One process's writing of parts: unit after unit into a folder of its own, renamed when it is whole."""

from __future__ import annotations

import json
import shutil
import time
from contextlib import suppress
from types import TracebackType

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from esm2_amp.features.store_lock import StoreLock
from esm2_amp.screening.part_files import (
    BACKGROUND,
    PAIRS,
    RECORD,
    Record,
    check_of,
    crc_of,
    remove_left_behind,
    writing,
)
from esm2_amp.screening.parts import Parts
from esm2_amp.screening.work import Rows, Unit

_CELLS = pa.schema([("cell", pa.int64()), ("count", pa.int32())])


class PartWriter:
    """Adds scored units to the parts, as a context; on leaving it what is whole is committed.

    What a killed process left behind is removed on entering: a process has a folder of its own, by its rank, and holds
    the lock of it.

    Args:
        parts: to add to.
        rank: of this process among ``count`` that score different units.
        count: how many there are.

    Raises:
        InputError: another process of this rank is at work, or the folder cannot be written; from :meth:`add` and on
            leaving, that there is no space left. All that was committed stays.
    """

    def __init__(self, parts: Parts, rank: int, count: int) -> None:
        self._parts, self._count = parts, count
        self._mine = parts.folder / f".rank-{rank}"
        self._place = self._mine / "part-new"
        self._lock = StoreLock(self._mine, "this screening")
        self._background = parts.empty_background()
        self._file: pq.ParquetWriter | None = None
        self._units: list[int] = []
        self._rows: list[int] = []
        self._whole, self._began = True, time.monotonic()

    def __enter__(self) -> PartWriter:
        self._lock.__enter__()
        for place in self._parts.folder.glob(".rank-*"):
            if place == self._mine or int(place.name.rpartition("-")[2]) >= self._count:
                remove_left_behind(place, "part-*")
        remove_left_behind(self._parts.folder, ".plan.*")
        return self

    def add(
        self, number: int, unit: Unit, logits: NDArray[np.float32], places: Rows, kept: NDArray[np.float32]
    ) -> None:
        """Take in a unit: the logits of all its pairs, and the places and probabilities (k,) of those to keep."""
        with writing(self._parts.folder, self._what_is_kept()):
            self._whole = False
            if self._file is None:
                self._begin()
            self._background.add(unit, logits)
            if len(places) and self._file is not None:
                columns = {"logit": logits[places], "probability": kept}
                a, b = unit.a[unit.i[places]], unit.b[unit.j[places]]
                self._file.write_table(self._parts.table.table(a, b, columns), row_group_size=len(places))
            self._units.append(number)
            self._rows.append(len(places))
            if time.monotonic() - self._began > self._parts.seconds:
                self._commit()
            self._whole = True

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._units and self._whole:  # also where something else failed: these units are scored
                with writing(self._parts.folder, self._what_is_kept()):
                    self._commit()
        finally:
            self._discard()
            self._lock.__exit__(kind, value, trace)

    def _what_is_kept(self) -> str:
        return f"all that was scored but the last {self._parts.seconds:g} s is kept there and readable"

    def _begin(self) -> None:
        self._place.mkdir()
        self._file = self._parts.table.writer(self._place / PAIRS)
        self._began = time.monotonic()

    def _commit(self) -> None:
        if self._file is not None:
            self._file.close()
        cells, counts = self._background.cells()
        table = pa.table([cells, counts], schema=_CELLS)
        pq.write_table(
            table, self._place / BACKGROUND, compression="zstd", use_dictionary=["count"],
            column_encoding={"cell": "DELTA_BINARY_PACKED"},
        )  # fmt: skip
        files = {
            name: [(self._place / name).stat().st_size, crc_of(self._place / name)] for name in (PAIRS, BACKGROUND)
        }
        record = Record(self._units, self._rows, files, check_of(self._units, self._rows, files))
        (self._place / RECORD).write_text(json.dumps(record._asdict()), encoding="utf-8")
        self._place.rename(self._parts.folder / f"part-{self._units[0]:09d}")
        self._file, self._units, self._rows = None, [], []
        self._background.counts.fill(0)

    def _discard(self) -> None:
        if self._file is not None:
            with suppress(OSError, pa.ArrowException):
                self._file.close()
            shutil.rmtree(self._place, ignore_errors=True)
