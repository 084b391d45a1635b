"""Our own feature store as a source: one token of every protein, or several one after the other."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from esm2_amp.errors import InputError
from esm2_amp.features.store import FeatureStore
from esm2_amp.layout import MEAN, STORED_TOKENS
from esm2_amp.neighbours.readers.source import BATCH_IDS, Block, rows_of_block

ALL_IDS, FIRST_ID = "all", "first"


class StoreSource:
    """See :class:`~esm2_amp.neighbours.readers.source.VectorSource`; in the order of the store's rows.

    A row whose sequence has several ids is a vector for each of them, or for the first one alone; a row without any id
    goes by the key of its sequence.

    Args:
        name: the store's folder.
        tokens: what a vector is made of, concatenated; none: the mean.
        ids: "all" or "first".

    Raises:
        InputError: no store, an unknown token or one that it does not hold, or neither "all" nor "first".
    """

    form = "store"

    def __init__(self, name: str, tokens: Sequence[str], ids: str) -> None:
        self.name, self._store, tokens = name, FeatureStore(name), tokens or MEAN.names
        for token in tokens:
            if token not in STORED_TOKENS or list(tokens).count(token) > 1:
                what = "unknown" if token not in STORED_TOKENS else "there twice"
                raise InputError(f"token {token!r} is {what}", remedy=f"The tokens are {', '.join(STORED_TOKENS)}.")
        if ids not in (ALL_IDS, FIRST_ID):
            raise InputError(f"ids is {ids!r}", remedy="For a feature store, use all or first.")
        self._tokens = [STORED_TOKENS.index(token) for token in tokens]
        self._store.check_tokens(self._tokens)
        self.files: Sequence[Path] = [
            file for file in (*self._store.files(), self._store.data / "ids.tsv") if file.exists()
        ]
        self.dim = len(tokens) * self._store.width
        self.details: dict[str, Any] = {
            "tokens": list(tokens),
            "ids": ids,
            "encoder": asdict(self._store.encoder),
            "long": asdict(self._store.long),
        }
        self._names, self._rows = self._in_order(ids)

    def ids(self) -> Iterator[Sequence[str]]:
        """See :class:`~esm2_amp.neighbours.readers.source.VectorSource`."""
        for at in range(0, len(self._names), BATCH_IDS):
            yield self._names[at : at + BATCH_IDS]

    def blocks(self, start: int) -> Iterator[Block]:
        """See :class:`~esm2_amp.neighbours.readers.source.VectorSource`."""
        step = rows_of_block(self.dim, 2)
        for at in range(start, len(self._rows), step):
            rows = self._rows[at : at + step]
            yield self._store.gather(rows, self._tokens).reshape(len(rows), self.dim)

    def place(self, position: int) -> str:
        """See :class:`~esm2_amp.neighbours.readers.source.VectorSource`."""
        return f"{self.name}, row {self._rows[position]}"

    def _in_order(self, ids: str) -> tuple[list[str], NDArray[np.int64]]:
        """Ids and the row of each, by row; the ids of one row in the order in which they came."""
        names, keys, numbers = list[str](), list[str](), array("q")
        for name, key in self._store.ids():
            names.append(name)
            keys.append(key)
            if len(keys) == BATCH_IDS:
                numbers.extend(self._store.find(keys).tolist())
                keys.clear()
        numbers.extend(self._store.find(keys).tolist())
        rows = np.array(numbers, np.int64)
        if (rows < 0).any():
            lost = names[int(np.argmax(rows < 0))]
            raise InputError(f"the store has the id {lost!r} but not its sequence", file=self.name)
        unnamed = np.setdiff1d(np.arange(len(self._store)), rows)
        names += self._store.keys(unnamed)
        rows = np.concatenate([rows, unnamed])
        order = np.argsort(rows, kind="stable")
        if ids == FIRST_ID and len(rows):
            order = order[np.insert(np.diff(rows[order]) > 0, 0, True)]
        return [names[i] for i in order.tolist()], rows[order]
