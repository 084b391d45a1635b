"""Names of vectors: ids, and what the metadata add: other names, descriptions, addresses, filters."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from esm2_amp.errors import InputError
from esm2_amp.neighbours.aliases import Aliases
from esm2_amp.neighbours.links import Link
from esm2_amp.neighbours.metadata import open_metadata
from esm2_amp.neighbours.vectors import Vectors

_ABOUT = ("symbol", "name", "description", "organism")
"""Columns that say what a vector is of, in this order, whatever their capitals."""

_TOLD = 10


class Card(NamedTuple):
    """What is known of a vector: its id, what the metadata say in a line, and an ``https`` address."""

    name: str
    about: str
    url: str | None


class Catalogue:
    """Finds vectors by name and says what is known of them.

    Args:
        vectors: their ids count before any other name.
        link: where names lead; see :class:`~esm2_amp.neighbours.links.Link`. None: nowhere.

    Raises:
        InputError: an impossible link, or damaged metadata.
    """

    def __init__(self, vectors: Vectors, link: str | None) -> None:
        self.vectors, self.metadata = vectors, open_metadata(vectors)
        columns = () if self.metadata is None else self.metadata.columns
        self._link = None if link is None else Link(link, columns)
        self._about = [column for name in _ABOUT for column in columns if column.casefold() == name]

    @property
    def describes(self) -> bool:
        """Whether cards say what a vector is of."""
        return bool(self._about)

    def rows_of(self, names: Sequence[str]) -> NDArray[np.int64]:
        """Row of each of m ids or other names; (m,).

        Raises:
            InputError: a name is unknown, or that of several vectors.
        """
        rows = self.vectors.find(names)
        return rows if (rows >= 0).all() else self._aliases.rows_of(names)

    def translations(self, names: Sequence[str], rows: NDArray[np.int64]) -> list[str]:
        """A sentence for each name, at most ten, that is not the id of its vector."""
        ids = self.vectors.ids(rows)
        others = dict.fromkeys((name, id_) for name, id_ in zip(names, ids, strict=True) if name != id_)
        more = [f"And {len(others) - _TOLD:,} more names that are no ids."] if len(others) > _TOLD else []
        return [f"{name} is {id_}." for name, id_ in list(others)[:_TOLD]] + more

    def complete(self, prefix: str, limit: int) -> list[str]:
        """Up to ``limit`` ids, then other names, that begin so."""
        found = self.vectors.complete(prefix, limit)
        more = self._aliases.complete(prefix, limit) if len(found) < limit else []
        return list(dict.fromkeys([*found, *more]))[:limit]

    def cards(self, rows: NDArray[np.int64] | Sequence[int]) -> list[Card]:
        """What is known of some vectors; an empty card for row -1."""
        rows = np.asarray(rows, np.int64)
        stored = rows[rows >= 0]
        about = [self.column(name, stored) for name in self._about]
        told = {name: self.column(name, stored) for name in self._places}
        cards = []
        for i, name in enumerate(self.vectors.ids(stored)):
            said = " \N{MIDDLE DOT} ".join(column[i] for column in about if column[i])
            here = {place: column[i] for place, column in told.items()}
            cards.append(Card(name, said, None if self._link is None else self._link.url(name, here.__getitem__)))
        every = iter(cards)
        return [next(every) if row >= 0 else Card("", "", None) for row in rows.tolist()]

    def column(self, name: str, rows: NDArray[np.int64]) -> list[str]:
        """What a column of the metadata says about some vectors, "" where nothing.

        Raises:
            InputError: there is no such column.
        """
        if self.metadata is None:
            raise self._without(f"a column {name!r}")
        return self.metadata.values(name, rows)

    def allowed(self, expression: str | None) -> NDArray[np.bool_] | None:
        """Which vectors a filter lets through, (n,); None for no filter.

        Raises:
            InputError: the filter cannot be understood, or lets none through.
        """
        if expression is None:
            return None
        if self.metadata is None:
            raise self._without(f"filter={expression}")
        allowed = self.metadata.allowed(expression)
        if not allowed.any():
            raise InputError(f"no vector fulfils filter={expression}", remedy="Ask for less.")
        return allowed

    @cached_property
    def _aliases(self) -> Aliases:
        return Aliases(self.vectors, self.metadata)

    @property
    def _places(self) -> list[str]:
        """The columns that addresses are made of."""
        places = [] if self._link is None else self._link.places
        return [place for place in places if place not in ("id", "accession")]

    def _without(self, asked: str) -> InputError:
        return InputError(
            f"{asked} is asked for, but these vectors have no metadata",
            file=self.vectors.folder,
            remedy="Ingest them with metadata=TABLE.",
        )
