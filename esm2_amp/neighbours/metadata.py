"""What is known about the vectors: columns of a table, filters on them, and other names of ids."""

from __future__ import annotations

import difflib
import operator
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from esm2_amp.errors import InputError
from esm2_amp.neighbours.filters import ORDERED, Condition, parse_filter
from esm2_amp.neighbours.metadata_table import DIGEST, METADATA, ROW
from esm2_amp.neighbours.vectors import Vectors

Mask = NDArray[np.bool_]

_TESTS: dict[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip


class Metadata:
    """A table with a row for some of the vectors; made by :func:`open_metadata`.

    Args:
        n: number of vectors.
        table: its first column is the row of the vector, ascending; the others are float64 or text.
    """

    def __init__(self, n: int, table: pa.Table) -> None:
        self._n, self._table = n, table
        self._rows: NDArray[np.int64] = table.column(ROW).to_numpy()

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns, in the order of the user's table."""
        return tuple(name for name in self._table.column_names if name != ROW)

    @property
    def rows(self) -> NDArray[np.int64]:
        """(m,) the vectors that the table is about, ascending."""
        return self._rows

    def values(self, column: str, rows: NDArray[np.integer] | Sequence[int]) -> list[str]:
        """What a column says about some vectors, "" where nothing; whole numbers without a point.

        Raises:
            InputError: no such column.
        """
        cells = self._cells(column)
        asked = np.asarray(rows, np.int64)
        place = np.minimum(np.searchsorted(self._rows, asked), max(0, len(self._rows) - 1))
        there = self._rows[place] == asked if len(self._rows) else np.zeros(len(asked), bool)
        return [_shown(cells[at]) if known else "" for at, known in zip(place.tolist(), there.tolist(), strict=True)]

    def allowed(self, expression: str) -> Mask:
        """Which vectors fulfil all conditions of an expression; (n,).

        ``=`` and ``!=`` compare the whole cell, ``~`` finds a part of it whatever the case, the others compare numbers.
        Where nothing is known (an empty cell, a vector that the table does not have), ``!=`` is fulfilled and the
        others are not; ``column=`` and ``column!=`` without a value ask whether nothing is known.

        Raises:
            InputError: an expression that cannot be understood, no such column, a comparison of text as of numbers.
        """
        allowed = np.ones(self._n, bool)
        for condition in parse_filter(expression):
            cells = self._cells(condition.column)
            negative = condition.test == "!="
            # of a vector without a row nothing is known
            fulfilled = np.full(self._n, negative != (condition.value == ""))
            fulfilled[self._rows] = _fulfilled(condition, cells)
            allowed &= fulfilled
        return allowed

    def _cells(self, column: str) -> NDArray[Any]:
        if column not in self._arrays:
            if column not in self.columns:
                close = difflib.get_close_matches(column, self.columns, 1)
                names = f"Did you mean {close[0]!r}? " if close else ""
                raise InputError(
                    f"the metadata have no column {column!r}",
                    remedy=f"{names}The columns are {', '.join(map(repr, self.columns[:20]))}.",
                )
            values = self._table.column(column)
            if pa.types.is_floating(values.type):
                self._arrays[column] = values.to_numpy()
            else:
                self._arrays[column] = np.array([value or "" for value in values.to_pylist()], object)
        return self._arrays[column]

    @cached_property
    def _arrays(self) -> dict[str, NDArray[Any]]:
        return {}


def open_metadata(vectors: Vectors) -> Metadata | None:
    """The table kept with the vectors; None if there is none.

    Raises:
        InputError: it is damaged, or of other vectors.
    """
    file = vectors.folder / METADATA
    if not file.exists():
        return None
    try:
        table = pq.read_table(file)
    except (pa.ArrowException, OSError) as error:
        raise InputError(
            f"the metadata cannot be read ({str(error)[:200]})", file=file, remedy="Attach them again."
        ) from error
    digest = (table.schema.metadata or {}).get(DIGEST, b"").decode("ascii", "replace")
    if digest != vectors.digest or table.column_names[:1] != [ROW]:
        raise InputError("the metadata are of other vectors", file=file, remedy="Attach them again.")
    return Metadata(vectors.n, table)


def _fulfilled(condition: Condition, cells: NDArray[Any]) -> Mask:
    numbers = cells.dtype.kind == "f"
    if condition.test in ORDERED and not numbers:
        raise InputError(f"filter {condition}: the column {condition.column!r} holds text", remedy="Use =, != or ~.")
    if condition.test == "~":
        if not condition.value:
            raise InputError(f"filter {condition}: nothing to look for", remedy="Give a part of the text.")
        part = condition.value.casefold()
        texts = map(_shown, cells) if numbers else cells
        return np.array([part in text.casefold() and text != "" for text in texts], bool)
    if condition.value == "" and condition.test in ("=", "!="):
        equal: Mask = np.isnan(cells) if numbers else cells == ""
    else:
        with np.errstate(invalid="ignore"):
            value = condition.number() if numbers else condition.value
            equal = _TESTS[condition.test.replace("!=", "=")](cells, value)
    return ~equal if condition.test == "!=" else equal


def _shown(value: Any) -> str:
    """A cell as text; a missing number is nothing."""
    if isinstance(value, str):
        return value
    number = float(value)
    if number != number:
        return ""
    return str(int(number)) if number.is_integer() and abs(number) < 1e15 else repr(number)
