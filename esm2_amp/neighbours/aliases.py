"""Other names of vectors: accessions inside their ids, and symbols, names and aliases of the metadata."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from esm2_amp.errors import InputError
from esm2_amp.neighbours.accessions import accession, accessions
from esm2_amp.neighbours.metadata import Metadata
from esm2_amp.neighbours.string_table import StringTable
from esm2_amp.neighbours.vectors import Vectors

_ONE = ("symbol", "gene", "genesymbol", "genename", "hgncsymbol", "name", "entryname", "entry", "accession", "uniprot")
"""Columns of one name in a cell: their headers in small letters, without spaces and underscores."""
_SEVERAL = ("aliases", "alias", "synonyms", "synonym", "symbols", "accessions")
"""Columns of several, with ';' or '|' between."""
_SPACED = ("genenames",)
"""UniProt's column of several with spaces between."""
_BETWEEN = re.compile(r"\s*[;|]\s*")
_SAME = "\x1f"
_SHOWN = 5


class Aliases:
    """Find vectors by any of their names: the id first, then other names, then those in other capitals.

    Args:
        vectors: whose ids.
        metadata: their table; None: only the accessions inside ids count.
    """

    def __init__(self, vectors: Vectors, metadata: Metadata | None) -> None:
        self._vectors, self._metadata = vectors, metadata
        names, rows = list[str](), list[int]()
        for name, row in _every_name(vectors, metadata):
            names.append(f"{name.casefold()}{_SAME}{name}")  # sorted by what ignores capitals, the name itself kept
            rows.append(row)
        self._table, self._rows = StringTable.of(names), np.array(rows, np.int64)

    def rows_of(self, names: Sequence[str]) -> NDArray[np.int64]:
        """Row of each of m names; (m,) int64.

        Raises:
            InputError: a name is unknown, or that of several vectors; the message names them.
        """
        rows = self._vectors.find(names)
        for i in np.flatnonzero(rows < 0).tolist():
            found = self.candidates(names[i])
            if len(found) > 1:
                raise self._ambiguous(names[i], found)
            if len(found):
                rows[i] = found[0]
        unknown = [names[i] for i in np.flatnonzero(rows < 0).tolist()]
        if unknown:
            self._vectors.rows_of(unknown)  # raises
        return rows

    def candidates(self, name: str) -> NDArray[np.int64]:
        """The vectors with this other name, ascending: exactly so, else in any capitals."""
        first, last = self._table.with_prefix(f"{name.casefold()}{_SAME}")
        places = self._table.order[first:last]
        exact = [place for place, full in zip(places, self._table.many(places), strict=True) if _name(full) == name]
        return np.unique(self._rows[exact or places])

    def names_of(self, row: int) -> list[str]:
        """The other names of a vector, each once."""
        return list(dict.fromkeys(_names_of(self._vectors, self._metadata, [row])[0]))

    def complete(self, prefix: str, limit: int) -> list[str]:
        """Up to ``limit`` other names that begin so, in any capitals."""
        first, last = self._table.with_prefix(prefix.casefold())
        found = map(_name, self._table.many(self._table.order[first : min(last, first + 4 * limit)]))
        return list(dict.fromkeys(found))[:limit]

    def _ambiguous(self, name: str, rows: NDArray[np.int64]) -> InputError:
        shown = ", ".join(map(repr, self._vectors.ids(rows[:_SHOWN])))
        more = f" and {len(rows) - _SHOWN} more" if len(rows) > _SHOWN else ""
        return InputError(
            f"{name!r} is a name of {len(rows)} vectors: {shown}{more}",
            file=self._vectors.folder,
            remedy="Give the id of the one that is meant.",
        )


def _every_name(vectors: Vectors, metadata: Metadata | None) -> Iterator[tuple[str, int]]:
    for id_, row in accessions(vectors):
        yield from ((part, row) for part in (accession(id_), id_.rsplit("|", 1)[-1]) if part)
    if metadata is not None:
        for row, names in zip(metadata.rows.tolist(), _of_columns(metadata, metadata.rows), strict=True):
            yield from ((name, row) for name in names)


def _names_of(vectors: Vectors, metadata: Metadata | None, rows: Sequence[int]) -> list[list[str]]:
    parts = [id_.split("|")[1:] if accession(id_) != id_ else [] for id_ in vectors.ids(rows)]
    more = _of_columns(metadata, rows) if metadata is not None else [[] for _ in rows]
    return [[*first, *others] for first, others in zip(parts, more, strict=True)]


def _of_columns(metadata: Metadata, rows: NDArray[np.int64] | Sequence[int]) -> list[list[str]]:
    """The names of some vectors in the columns that hold names."""
    names: list[list[str]] = [[] for _ in rows]
    for column in metadata.columns:
        kind = column.casefold().replace("_", "").replace(" ", "")
        if kind not in (*_ONE, *_SEVERAL, *_SPACED):
            continue
        for here, cell in zip(names, metadata.values(column, rows), strict=True):
            if kind in _SEVERAL:
                here.extend(part for part in _BETWEEN.split(cell.strip()) if part)
            else:
                here.extend(cell.split() if kind in _SPACED else [cell] if cell else [])
    return names


def _name(full: str) -> str:
    return full.rsplit(_SAME, 1)[1]
