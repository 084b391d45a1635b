"""Scored pairs as Parquet: two columns of ids, each id stored once a row group, and columns of numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from esm2_amp.screening.work import Rows

ID_COLUMNS = ("protein_a", "protein_b")


class PairTable:
    """Turns proteins' numbers into ids in Parquet tables, and back.

    Args:
        ids: (n,) of the proteins, in the order of their numbers.
        columns: names of the float32 columns behind the two of ids.
    """

    def __init__(self, ids: Sequence[str], columns: Sequence[str]) -> None:
        self._ids = pa.array(ids, pa.string())
        self._numbers = {name: number for number, name in enumerate(ids)}
        words = pa.dictionary(pa.int32(), pa.string())
        self._schema = pa.schema([*((name, words) for name in ID_COLUMNS), *((name, pa.float32()) for name in columns)])

    def writer(self, path: Path) -> pq.ParquetWriter:
        """A new file; settings that make equal rows equal bytes."""
        numbers = self._schema.names[len(ID_COLUMNS) :]
        # floats hardly repeat: a dictionary of them only costs time, while their bytes apart compress
        return pq.ParquetWriter(
            path, self._schema, compression="zstd", use_dictionary=list(ID_COLUMNS), use_byte_stream_split=numbers
        )

    def table(self, a: Rows, b: Rows, columns: Mapping[str, NDArray[np.float32]]) -> pa.Table:
        """Rows of the pairs (m,) of ``a`` and ``b`` with the other columns (m,) by name."""
        return pa.table([self._words(a), self._words(b), *map(pa.array, columns.values())], schema=self._schema)

    def numbers(self, column: pa.ChunkedArray) -> Rows:
        """The numbers (m,) of the proteins in a column of ids.

        Raises:
            KeyError: an id that is none of the proteins'.
        """
        parts = [np.empty(0, np.int64)]
        for chunk in column.chunks:
            known = np.array([self._numbers[name] for name in chunk.dictionary.to_pylist()], np.int64)
            parts.append(known[chunk.indices.to_numpy()])
        return np.concatenate(parts)

    def _words(self, numbers: Rows) -> pa.DictionaryArray:
        used = np.zeros(len(self._ids), bool)
        used[numbers] = True
        places = np.cumsum(used, dtype=np.int32) - np.int32(1)
        return pa.DictionaryArray.from_arrays(places[numbers], self._ids.take(np.flatnonzero(used)))
