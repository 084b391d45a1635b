"""A user's table about the vectors, read, matched to their ids and kept beside them as ``metadata.parquet``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from esm2_amp.errors import InputError
from esm2_amp.io.atomic import atomic_path
from esm2_amp.io.pairs import split_cells
from esm2_amp.io.text import is_text, open_bytes, text_lines
from esm2_amp.neighbours.accessions import accession, accessions
from esm2_amp.neighbours.string_table import StringTable
from esm2_amp.neighbours.vectors import Vectors

METADATA = "metadata.parquet"
ROW = "esm2_amp_row"
DIGEST = b"esm2_amp_vectors"
_ID_NAMES = ("id", "ids", "protein", "proteinid", "entry", "accession", "uniprot", "gene", "geneid", "ensembl")
_NUMBER = re.compile(r"[+-]?(0|[1-9]\d*)(\.\d*)?([eE][+-]?\d+)?")
_NO_NUMBER = ("", "NA", "NaN", "nan")
_DIGITS = 15
_SHOWN = 3


@dataclass(frozen=True)
class MetadataReport:
    """What a table said: its rows; how many vectors it is about; ids that are no vector's; columns not kept."""

    rows: int
    described: int
    unknown: tuple[str, ...]
    left_out: tuple[str, ...]


def attach_metadata(vectors: Vectors, file: str, id_column: str | None) -> MetadataReport:
    """Keep a table with the vectors, in place of the one before.

    Args:
        vectors: whom it is about.
        file: TSV, CSV (plain or gzip, with a header) or Parquet. A cell that is empty is a missing value; a column of
            nothing but numbers is one of numbers.
        id_column: the column of ids; None: one of a usual name (``id``, ``protein``, ``entry``, ...), else the first.
            An id may be the accession of a UniProt id ``db|ACCESSION|NAME``.

    Raises:
        InputError: the table cannot be read, repeats an id or a column, or is about none of the vectors.
    """
    key, ids, table = (_read_parquet if _is_parquet(file) else _read_text)(file, id_column)
    rows = _matched(vectors, ids)
    if not (rows >= 0).any():
        raise InputError(
            f"none of its {len(ids)} ids in the column {key!r} is that of a vector, first {(ids or [''])[0]!r}",
            file=file,
            remedy=f"The first id of the vectors is {vectors.id(0)!r}. Call the column of such ids 'id'.",
        )
    _refuse_repeats(rows, ids, file)
    kept = [name for name in table.column_names if _is_kept(table.schema.field(name).type)]
    order = np.argsort(rows, kind="stable")[int((rows < 0).sum()) :]
    chosen = table.select(kept).take(order)
    columns = {ROW: pa.array(rows[order]), **{name: _plain(chosen.column(name)) for name in kept}}
    written = pa.table(columns).replace_schema_metadata({DIGEST: vectors.digest.encode()})
    with atomic_path(vectors.folder / METADATA) as path:
        pq.write_table(written, path)
    unknown = tuple(ids[i] for i in np.flatnonzero(rows < 0).tolist())
    return MetadataReport(len(ids), len(order), unknown, tuple(set(table.column_names) - set(kept)))


def _matched(vectors: Vectors, ids: Sequence[str]) -> NDArray[np.int64]:
    """(m,) row of each id or accession, -1 where there is none."""
    rows = vectors.find(ids)
    rest = np.flatnonzero(rows < 0)
    names = accessions(vectors) if len(rest) else []
    if names:
        table = StringTable.of(accession(id_) for id_, _ in names)
        found = table.find([ids[i] for i in rest.tolist()])
        of_name = np.array([row for _, row in names], np.int64)
        rows[rest] = np.where(found >= 0, of_name[np.maximum(found, 0)], -1)
    return rows


def _refuse_repeats(rows: NDArray[np.int64], ids: Sequence[str], file: str) -> None:
    known = rows[rows >= 0]
    values, counts = np.unique(known, return_counts=True)
    if (counts > 1).any():
        twice = [ids[int(np.flatnonzero(rows == row)[1])] for row in values[counts > 1][:_SHOWN]]
        raise InputError(
            f"{int((counts > 1).sum())} ids have several rows, such as {', '.join(map(repr, twice))}",
            file=file,
            remedy="Give one row for each id; several names of one go into a column 'aliases', with ';' between.",
        )


def _is_parquet(file: str) -> bool:
    with open_bytes(file) as stream:
        return stream.read(4) == b"PAR1"


def _read_parquet(file: str, id_column: str | None) -> tuple[str, list[str], pa.Table]:
    try:
        table = pq.read_table(file)
        names = table.column_names
        _check_names(names, file, None)
        key = _id_column(names, id_column, file)
        kind = table.schema.field(key).type
        if pa.types.is_floating(kind) or not _is_kept(kind):
            raise InputError(f"the column {key!r} holds {kind}, no ids", file=file, remedy="Write ids as text.")
        return key, ["" if value is None else str(value) for value in table.column(key).to_pylist()], table
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise InputError(f"the Parquet file cannot be read ({str(error)[:200]})", file=file) from error


def _read_text(file: str, id_column: str | None) -> tuple[str, list[str], pa.Table]:
    names, delimiter, columns = list[str](), "", list[list[str]]()
    for line, text in text_lines(Path(file)):
        if not text.strip():
            continue
        if not is_text(text):
            raise InputError("bytes that are not UTF-8 text", file=file, line=line, remedy="Save the file as UTF-8.")
        delimiter = delimiter or ("\t" if "\t" in text else ",")
        cells = split_cells(text, delimiter, file, line)
        if not names:
            names, columns = cells, [[] for _ in cells]
            _check_names(names, file, line)
            continue
        if len(cells) != len(names):
            what = f"{len(cells)} cells where the header has {len(names)}"
            raise InputError(what, file=file, line=line, remedy="Give every row the same columns.")
        for column, cell in zip(columns, cells, strict=True):
            column.append(cell)
    if not names:
        raise InputError("the table is empty", file=file, remedy="Give a header and one row for each id.")
    key = _id_column(names, id_column, file)
    by_name = dict(zip(names, columns, strict=True))
    arrays = {name: pa.array(cells, pa.string()) if name == key else _typed(cells) for name, cells in by_name.items()}
    return key, by_name[key], pa.table(arrays)


def _check_names(names: Sequence[str], file: str, line: int | None) -> None:
    wrong = next((name for name in names if not name or name == ROW or list(names).count(name) > 1), None)
    if wrong is not None:
        what = f"two columns are called {wrong!r}" if wrong else "a column without a name"
        raise InputError(what, file=file, line=line, remedy="Give each column a name of its own in the first row.")


def _typed(cells: list[str]) -> pa.Array:
    """Numbers where all cells are; text like "0012", or with more digits than a float64 has, is none."""
    values = [cell for cell in cells if cell not in _NO_NUMBER]
    if values and all(_NUMBER.fullmatch(value) and len(value) <= _DIGITS for value in values):
        return pa.array([None if cell in _NO_NUMBER else float(cell) for cell in cells], pa.float64())
    return pa.array([cell or None for cell in cells], pa.string())


def _id_column(names: Sequence[str], asked: str | None, file: str) -> str:
    if asked is not None and asked not in names:
        shown = ", ".join(map(repr, names[:20]))
        raise InputError(f"no column {asked!r}", file=file, remedy=f"The columns are {shown}.")
    usual = {name.casefold().replace("_", "").replace(" ", ""): name for name in reversed(names)}
    return asked or next((usual[name] for name in _ID_NAMES if name in usual), names[0])


def _is_kept(kind: pa.DataType) -> bool:
    nested = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    if nested:
        return pa.types.is_string(kind.value_type) or pa.types.is_large_string(kind.value_type)
    return not pa.types.is_nested(kind) and not pa.types.is_binary(kind) and not pa.types.is_large_binary(kind)


def _plain(column: Any) -> Any:
    """Numbers as float64, where it holds them exactly, everything else as text; lists of text with ';' between."""
    kind = column.type
    if pa.types.is_floating(kind):
        return column.cast(pa.float64())
    if pa.types.is_integer(kind):
        values = column.to_pylist()
        exact = all(value is None or abs(value) < 10**_DIGITS for value in values)
        return column.cast(pa.float64() if exact else pa.string())
    if pa.types.is_nested(kind):
        rows = [None if row is None else ";".join(one or "" for one in row) for row in column.to_pylist()]
        return pa.array(rows, pa.string())
    return column.cast(pa.string())
