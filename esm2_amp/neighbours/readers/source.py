"""What a reader of embeddings offers, and the one that reads arrays in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from esm2_amp.errors import InputError

BATCH_IDS = 65_536
BLOCK_BYTES = 16 << 20

Block = NDArray[np.floating[Any]]


class VectorSource(Protocol):
    """Ids and vectors, in one order that every reading keeps.

    Attributes:
        form: of the files, as the option ``form`` names it.
        name: what the user gave.
        files: what is read, to tell whether it has changed.
        dim: d, of every vector.
        details: what the manifest of the vectors keeps about the source: plain values for JSON.
    """

    form: str
    name: str
    files: Sequence[Path]
    dim: int
    details: dict[str, Any]

    def ids(self) -> Iterator[Sequence[str]]:
        """Every id, by batches.

        Raises:
            InputError: the source is damaged.
        """
        ...

    def blocks(self, start: int) -> Iterator[Block]:
        """The vectors from number ``start`` on, (rows, d) floating-point numbers at a time, some 16 MiB.

        Raises:
            InputError: the source is damaged.
        """
        ...

    def place(self, position: int) -> str:
        """Where vector number ``position`` (from 0) stands, for messages: a file, and what in it."""
        ...


class ArraySource:
    """Vectors in memory.

    Args:
        ids: n of them.
        vectors: (n, d) floating-point numbers.

    Raises:
        ValueError: the shapes do not fit.
    """

    form = name = "array"
    files: Sequence[Path] = ()

    def __init__(self, ids: Sequence[str], vectors: Block) -> None:
        if vectors.ndim != 2 or len(ids) != len(vectors) or vectors.dtype.kind != "f":
            raise ValueError(f"{len(ids)} ids and {vectors.dtype}{vectors.shape}")
        self._ids, self._vectors, self.dim = ids, vectors, vectors.shape[1]
        content = hashlib.sha256(repr(list(ids)).encode())
        content.update(np.ascontiguousarray(vectors).data)
        self.details: dict[str, Any] = {"content": content.hexdigest()}

    def ids(self) -> Iterator[Sequence[str]]:
        """See :class:`VectorSource`."""
        yield self._ids

    def blocks(self, start: int) -> Iterator[Block]:
        """See :class:`VectorSource`."""
        rows = rows_of_block(self.dim, self._vectors.itemsize)
        for at in range(start, len(self._vectors), rows):
            yield self._vectors[at : at + rows]

    def place(self, position: int) -> str:
        """See :class:`VectorSource`."""
        return f"row {position}"


def rows_of_block(dim: int, itemsize: int) -> int:
    """How many vectors make a block."""
    return max(1, BLOCK_BYTES // (dim * itemsize))


def is_float(dtype: np.dtype[Any]) -> bool:
    """Whether values of this type are real floating-point numbers."""
    return dtype.kind == "f"


def not_vectors(what: str, file: Path | str) -> InputError:
    """The mistake of a file that holds something else."""
    return InputError(what, file=file, remedy="A vector is one row of floating-point numbers for each id.")
