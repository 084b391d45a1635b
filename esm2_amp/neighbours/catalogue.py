"""Names of vectors: ids, and what the metadata add: other names, descriptions, links, filters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from esm2_amp.errors import InputError
from esm2_amp.neighbours.vectors import Vectors


class Card(NamedTuple):
    """What is known of a vector: its id, what the metadata say in a line, and an ``https`` address."""

    name: str
    about: str
    url: str | None


class Catalogue:
    """Finds vectors by name and says what is known of them.

    Args:
        vectors: their ids count before any other name.
        link: a template of addresses, or its name; None: no links.
    """

    def __init__(self, vectors: Vectors, link: str | None) -> None:
        self.vectors, self.link = vectors, link
        self.has_metadata = False

    def rows_of(self, names: Sequence[str]) -> NDArray[np.int64]:
        return self.vectors.rows_of(names)

    def complete(self, prefix: str, limit: int) -> list[str]:
        return self.vectors.complete(prefix, limit)

    def cards(self, rows: NDArray[np.int64] | Sequence[int]) -> list[Card]:
        return [Card(self.vectors.id(row), "", None) if row >= 0 else Card("", "", None) for row in rows]

    def column(self, name: str, rows: NDArray[np.int64]) -> list[str]:
        raise InputError(f"there is no column {name!r}: these vectors have no metadata")

    def allowed(self, expression: str | None) -> NDArray[np.bool_] | None:
        return None
