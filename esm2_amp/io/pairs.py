"""Lists of protein pairs, read in the forms people have."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from decimal import Decimal
from io import BufferedReader
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from esm2_amp.errors import InputError
from esm2_amp.io.text import FilePath, is_text, lines_of, open_bytes
from esm2_amp.records import Pair

NAME_THE_COLUMNS = "Name the columns protein_a, protein_b and, if there are labels, label."
"""The remedy where the columns of a pair list are not understood."""
ID_COLUMNS = (("protein_a", "protein_b"), ("protein1", "protein2"), ("id1", "id2"))
"""Names of the two id columns; of several such couples in one header the first listed here is read."""
_LABEL_COLUMN = "label"
_LABELS = {"0": 0, "1": 1, "0.0": 0, "1.0": 1, "": None}
_PARQUET_ROWS = 65_536


class _Columns(NamedTuple):
    """Where the ids and the label stand in a row (label -1: nowhere), and how many cells a row has."""

    a: int
    b: int
    label: int
    width: int


def iter_pairs(path: FilePath) -> Iterator[Pair]:
    """Stream the rows of a pair list in constant memory: TSV, CSV, words apart by spaces, or Parquet.

    Text may be gzip-compressed. What a file is, is read from its content, not from its name. Columns are found by a
    header with ``protein_a`` and ``protein_b`` (or ``protein1``, ``protein2``; ``id1``, ``id2``) and, optionally,
    ``label``, in any order and case, among others; without a header a row is two ids and, optionally, a label. A
    first row of three cells that ends in 0 or 1 is a row, not a header. Blank lines are skipped.

    Raises:
        InputError: at the first row asked for, or at the row it concerns, with file and line.
    """
    with open_bytes(path) as stream:
        # a protein may be called PAR1: in a Parquet file a control character follows
        parquet = re.match(rb"PAR1[\0-\x08\x0e-\x1f]", stream.peek(5))
        rows = _parquet_pairs(stream, path) if parquet else _text_pairs(stream, path)
        first = next(rows, None)
        if first is None:
            raise InputError("the file holds no pair", file=path, remedy="Give at least one row with two ids.")
        yield first
        yield from rows


def counted(count: int, noun: str) -> str:
    """A number and its noun: "1 row", "2,000 rows"."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def _text_pairs(stream: BufferedReader, path: FilePath) -> Iterator[Pair]:
    columns, delimiter = None, ""
    for line, text in lines_of(stream, path):
        if not text.strip():
            continue
        if not is_text(text):
            raise InputError("bytes that are not UTF-8 text", file=path, line=line, remedy="Save the file as UTF-8.")
        if columns is None:
            delimiter = "\t" if "\t" in text else "," if "," in text else " "
            cells = split_cells(text, delimiter, path, line)
            header = _header(cells, path, line)
            columns = header or _unnamed(cells, path, line)
            if header:
                continue
        else:
            cells = split_cells(text, delimiter, path, line)
        yield _row(cells, columns, path, line)


def split_cells(text: str, delimiter: str, path: FilePath, line: int) -> list[str]:
    """Cut one line into cells; a quoted cell ends on its line."""
    if delimiter == " ":
        text = " ".join(text.split())
    if '"' not in text:
        return [cell.strip() for cell in text.split(delimiter)]
    try:
        return [cell.strip() for cell in next(csv.reader([text], delimiter=delimiter, strict=True))]
    except csv.Error as error:
        raise InputError(
            f"quotes that do not match ({error})", file=path, line=line, remedy="Close or remove the quotes."
        ) from error


def _header(cells: Sequence[str], path: FilePath, line: int | None) -> _Columns | None:
    """Find the columns by their names; None if this row does not look like a header."""
    names = [cell.lower() for cell in cells]
    couple = next((couple for couple in ID_COLUMNS if set(couple) <= set(names)), None)
    if len(names) == 3 and _LABELS.get(names[2]) is not None:
        return None  # proteins may be called id1 and id2
    if couple is None:
        lonely = [name for name in names if any(name in couple for couple in ID_COLUMNS)]
        if lonely:
            raise InputError(
                f"only one id column in the header: '{lonely[0]}'", file=path, line=line, remedy=NAME_THE_COLUMNS
            )
        return None
    twice = [name for name in (*couple, _LABEL_COLUMN) if names.count(name) > 1]
    if twice:
        raise InputError(f"two columns are called '{twice[0]}'", file=path, line=line, remedy="Rename one of them.")
    label = names.index(_LABEL_COLUMN) if _LABEL_COLUMN in names else -1
    return _Columns(names.index(couple[0]), names.index(couple[1]), label, len(names))


def _unnamed(cells: Sequence[str], path: FilePath, line: int) -> _Columns:
    """The columns of a file without a header: two ids and perhaps a label."""
    if cells[0].startswith(">"):
        raise InputError("this is a FASTA file, not a list of pairs", file=path, line=line, remedy=NAME_THE_COLUMNS)
    if len(cells) == 1:
        raise InputError(
            f"one column only: '{cells[0][:60]}'",
            file=path,
            line=line,
            remedy="Is the delimiter wrong? Columns are divided by tabs, commas or spaces.",
        )
    if len(cells) > 3:
        raise InputError(f"{len(cells)} columns without a header", file=path, line=line, remedy=NAME_THE_COLUMNS)
    return _Columns(0, 1, 2 if len(cells) == 3 else -1, len(cells))


def _row(cells: Sequence[str], columns: _Columns, path: FilePath, line: int) -> Pair:
    if len(cells) != columns.width:
        raise InputError(
            f"{counted(len(cells), 'column')} where the first row has {columns.width}",
            file=path,
            line=line,
            remedy="Give every row the same columns.",
        )
    a, b = cells[columns.a], cells[columns.b]
    if not a or not b:
        which = "first" if not a else "second"
        raise InputError(f"the {which} id is empty", file=path, line=line, remedy="Fill it in or remove the row.")
    label = cells[columns.label] if columns.label >= 0 else ""
    return Pair(a, b, parse_label(label, path, line), line)


def parse_label(cell: str, path: FilePath, line: int) -> int | None:
    """A label as a number; None for an empty cell.

    Raises:
        InputError: it is not 0 or 1.
    """
    try:
        return _LABELS[cell]
    except KeyError:
        hint = f" If this row is a header: {NAME_THE_COLUMNS[0].lower()}{NAME_THE_COLUMNS[1:]}" if line == 1 else ""
        remedy = f"A label is 0 (does not interact), 1 (interacts) or empty.{hint}"
        raise InputError(f"the label '{cell}' is not 0 or 1", file=path, line=line, remedy=remedy) from None


def _parquet_pairs(stream: BufferedReader, path: FilePath) -> Iterator[Pair]:
    """Stream a Parquet file by batches of rows; ``line`` is the number of the row."""
    try:
        with pq.ParquetFile(stream) as file:
            names = file.schema_arrow.names
            columns = _header(names, path, None)
            if columns is None:
                found = f"no columns protein_a and protein_b among: {', '.join(names)}"
                raise InputError(found, file=path, remedy=NAME_THE_COLUMNS)
            used = [names[i] for i in columns[:3] if i >= 0]
            line = 0
            for batch in file.iter_batches(batch_size=_PARQUET_ROWS, columns=used):
                for row in zip(*(batch.column(name).to_pylist() for name in used), strict=True):
                    line += 1
                    yield _parquet_row(row, path, line)
    except (pa.ArrowException, OSError) as error:
        raise InputError("the Parquet file is damaged", file=path, remedy="Write or download it again.") from error


def _parquet_row(row: tuple[Any, ...], path: FilePath, line: int) -> Pair:
    """One row of Parquet values: ids are text or whole numbers, a label is text, a number or a boolean."""
    for value in row[:2]:
        if isinstance(value, bool) or not isinstance(value, str | int | None):
            raise InputError(f"the id {value!r} is not text", file=path, line=line, remedy="Write ids as text.")
    label = row[2] if len(row) == 3 else None
    if label is None or label != label:  # a missing number may be NaN, which differs from itself
        label = ""
    text = str(float(label)) if isinstance(label, int | float | Decimal) else str(label)
    cells = ["" if value is None else str(value).strip() for value in (*row[:2], text)]
    return _row(cells, _Columns(0, 1, 2, 3), path, line)
