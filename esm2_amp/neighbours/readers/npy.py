"""A matrix in a .npy file and its ids in a text file, one a line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from esm2_amp.errors import InputError
from esm2_amp.io.text import is_text, text_lines
from esm2_amp.neighbours.readers.source import BATCH_IDS, Block, not_vectors, rows_of_block

_BESIDE = ("{stem}.ids", "{stem}.ids.txt", "{stem}.txt", "{stem}_ids.txt", "ids.txt")


class NpySource:
    """See :class:`~esm2_amp.neighbours.readers.source.VectorSource`.

    Args:
        name: the .npy file, (n, d) floating-point numbers.
        ids: the text file; None: one beside it, ``X.ids``, ``X.ids.txt``, ``X.txt``, ``X_ids.txt`` or ``ids.txt``.

    Raises:
        InputError: a file is missing or damaged, or not (n, d).
    """

    form = "npy"

    def __init__(self, name: str, ids: str | None) -> None:
        self.name, file = name, Path(name)
        self._ids = Path(ids) if ids else _beside(file)
        self.files: Sequence[Path] = [file, self._ids]
        if not self._ids.exists():
            raise InputError("no such file", file=self._ids, remedy="Give the file of the ids.")
        try:
            self._matrix = np.load(file, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise InputError(f"not an array that can be read ({str(error)[:200]})", file=file) from error
        shape, dtype = self._matrix.shape, self._matrix.dtype
        if len(shape) != 2 or dtype.kind != "f":
            raise not_vectors(f"an array of {dtype}, shape {shape}, where one of (n, d) floats belongs", file)
        self.dim = shape[1]
        self.details: dict[str, Any] = {"ids": self._ids.name}

    def ids(self) -> Iterator[Sequence[str]]:
        """See :class:`~esm2_amp.neighbours.readers.source.VectorSource`."""
        count, batch = 0, list[str]()
        for line, text in text_lines(self._ids):
            if not is_text(text):
                raise InputError("this id is not UTF-8 text", file=self._ids, line=line, remedy="Save it as UTF-8.")
            batch.append(text)
            if len(batch) == BATCH_IDS:
                count += len(batch)
                yield batch
                batch = []
        count += len(batch)
        if count != len(self._matrix):
            raise InputError(
                f"{count} lines for the {len(self._matrix)} vectors of {self.name}",
                file=self._ids,
                remedy="Give one id a line, in the order of the vectors, without a header.",
            )
        yield batch

    def blocks(self, start: int) -> Iterator[Block]:
        """See :class:`~esm2_amp.neighbours.readers.source.VectorSource`."""
        step = rows_of_block(max(1, self.dim), self._matrix.itemsize)
        for at in range(start, len(self._matrix), step):
            yield np.asarray(self._matrix[at : at + step])

    def place(self, position: int) -> str:
        """See :class:`~esm2_amp.neighbours.readers.source.VectorSource`."""
        return f"{self._ids}, line {position + 1}"


def _beside(file: Path) -> Path:
    for name in _BESIDE:
        found = file.parent / name.format(stem=file.stem)
        if found.exists():
            return found
    raise InputError(
        f"no file of ids beside it: none of {', '.join(name.format(stem=file.stem) for name in _BESIDE)}",
        file=file,
        remedy="Give the file with ids=FILE: one id a line, in the order of the vectors.",
    )
