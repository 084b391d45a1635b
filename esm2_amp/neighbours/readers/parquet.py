"""Parquet files: a column of ids, and a column of lists or one column for each dimension."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from esm2_amp.errors import InputError
from esm2_amp.neighbours.readers.source import Block, not_vectors, rows_of_block

_ID_NAMES = ("id", "ids", "protein", "protein_id", "gene", "gene_id", "name", "accession", "key")
_ID_BATCH = 16_384


class ParquetSource:
    """See :class:`~esm2_amp.neighbours.readers.source.VectorSource`.

    Args:
        name: what the user gave.
        files: the files, of the same columns.
        ids: name of the column of ids; None: the one of a usual name, else the only one of text.
        key: name of the column of lists; None: the only one, else every column of floating-point numbers.

    Raises:
        InputError: a file is damaged, or the columns cannot be told.
    """

    form = "parquet"

    def __init__(self, name: str, files: Sequence[Path], ids: str | None, key: str | None) -> None:
        self.name, self.files = name, files
        schema = _opened(files[0]).schema_arrow
        for file in files[1:]:
            if not _opened(file).schema_arrow.equals(schema):
                raise InputError(f"its columns are not those of {files[0]}", file=file, remedy="Ingest them apart.")
        self._id = _id_column(schema, ids, files[0])
        self._columns = _vector_columns(schema, key, files[0])
        self._listed = _is_list(schema.field(self._columns[0]).type)
        self._ends = list(accumulate(_opened(file).metadata.num_rows for file in files))
        self.dim = len(self._columns) if not self._listed else self._first_length()
        left_out = [name for name in schema.names if name not in (self._id, *self._columns)]
        self.details: dict[str, Any] = {"id_column": self._id, "columns": self._columns, "left_out": left_out}

    def ids(self) -> Iterator[Sequence[str]]:
        """See :class:`~esm2_amp.neighbours.readers.source.VectorSource`."""
        for number, file in enumerate(self.files):
            row = self._ends[number - 1] if number else 0
            for batch in _batches(file, [self._id], _ID_BATCH, 0):
                values = batch.column(0)
                if values.null_count:
                    bad = row + values.is_null().to_pylist().index(True)
                    raise InputError("no id", file=self.place(bad), remedy="Fill it in or remove the row.")
                yield [str(value) for value in values.to_pylist()]
                row += len(values)

    def blocks(self, start: int) -> Iterator[Block]:
        """See :class:`~esm2_amp.neighbours.readers.source.VectorSource`."""
        rows = rows_of_block(max(1, self.dim), 8)
        for number, (file, end) in enumerate(zip(self.files, self._ends, strict=True)):
            first = self._ends[number - 1] if number else 0
            if start < end:
                for batch in _batches(file, self._columns, rows, start - first):
                    yield self._block(batch, start)
                    start += len(batch)

    def place(self, position: int) -> str:
        """See :class:`~esm2_amp.neighbours.readers.source.VectorSource`."""
        number = next(i for i, end in enumerate(self._ends) if position < end)
        return f"{self.files[number]}, row {position - (self._ends[number - 1] if number else 0) + 1}"

    def _first_length(self) -> int:
        for file in self.files:
            for batch in _batches(file, self._columns, 1, 0):
                return len(batch.column(0)[0].as_py() or ())
        return 0

    def _block(self, batch: pa.RecordBatch, start: int) -> Block:
        """(m, d) of m rows."""
        columns = batch.columns
        for values in columns:
            if values.null_count:
                bad = start + values.is_null().to_pylist().index(True)
                raise InputError("a vector with missing values", file=self.place(bad), remedy="Remove the row.")
        if not self._listed:
            return np.stack([values.to_numpy(zero_copy_only=False) for values in columns], axis=1)
        (lists,) = columns
        lengths = np.diff(_offsets(lists))
        if (lengths != self.dim).any():
            bad = int(np.argmax(lengths != self.dim))
            raise InputError(f"{lengths[bad]} values, the first row has {self.dim}", file=self.place(start + bad))
        flat = lists.flatten()
        if flat.null_count:
            bad = flat.is_null().to_pylist().index(True) // self.dim
            raise InputError("a vector with missing values", file=self.place(start + bad), remedy="Remove the row.")
        values = flat.to_numpy(zero_copy_only=False)
        return values.reshape(len(lists), self.dim)


def _offsets(lists: Any) -> np.ndarray[Any, np.dtype[Any]]:
    if pa.types.is_fixed_size_list(lists.type):
        return np.arange(len(lists) + 1) * lists.type.list_size
    return lists.offsets.to_numpy(zero_copy_only=False)


def _opened(file: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(file, memory_map=False)
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"not a Parquet file, or damaged ({str(error)[:200]})", file=file) from error


def _batches(file: Path, columns: Sequence[str], rows: int, start: int) -> Iterator[pa.RecordBatch]:
    """The rows from number ``start`` on, reading no row group before it."""
    with _opened(file) as opened:
        sizes = [opened.metadata.row_group(i).num_rows for i in range(opened.metadata.num_row_groups)]
        group = 0
        while group < len(sizes) and start >= sizes[group]:
            start -= sizes[group]
            group += 1
        try:
            for batch in opened.iter_batches(rows, list(range(group, len(sizes))), list(columns)):
                if start < len(batch):
                    yield batch.select(list(columns)).slice(start)
                start = max(0, start - len(batch))
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            raise InputError(f"the Parquet file is damaged ({str(error)[:200]})", file=file) from error


def _id_column(schema: pa.Schema, asked: str | None, file: Path) -> str:
    if asked is not None:
        if asked not in schema.names:
            raise InputError(f"no column {asked!r} among {_shown(schema.names)}", file=file)
        if not _is_text(schema.field(asked).type) and not pa.types.is_integer(schema.field(asked).type):
            raise InputError(f"column {asked!r} holds {schema.field(asked).type}, no ids", file=file)
        return asked
    by_name = {name.casefold(): name for name in reversed(schema.names)}
    texts = [field.name for field in schema if _is_text(field.type)]
    usual = [by_name[name] for name in _ID_NAMES if by_name.get(name) in texts]
    found = usual[:1] or (texts if len(texts) == 1 else [])
    if not found:
        raise InputError(
            f"which of the columns {_shown(schema.names)} has the ids cannot be told",
            file=file,
            remedy="Name it with ids=COLUMN.",
        )
    return found[0]


def _vector_columns(schema: pa.Schema, key: str | None, file: Path) -> list[str]:
    if key is not None:
        if key not in schema.names or not _is_list(schema.field(key).type):
            raise InputError(f"no column {key!r} of lists of numbers among {_shown(schema.names)}", file=file)
        return [key]
    lists = [field.name for field in schema if _is_list(field.type)]
    if len(lists) > 1:
        raise InputError(f"several columns of lists: {_shown(lists)}", file=file, remedy="Name one with key=COLUMN.")
    numbers = lists or [field.name for field in schema if pa.types.is_floating(field.type)]
    if not numbers:
        raise not_vectors("no column of lists of floats, and none of floats", file)
    return numbers


def _is_text(kind: pa.DataType) -> bool:
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def _is_list(kind: pa.DataType) -> bool:
    nested = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    return nested and pa.types.is_floating(kind.value_type)


def _shown(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:8])) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
