"""A faiss index of some vectors, opened: it names candidates for a query."""

from __future__ import annotations

import os
from pathlib import Path

import faiss
import numpy as np
from numpy.typing import NDArray

from esm2_amp.errors import InputError
from esm2_amp.neighbours.index_card import IndexCard, read_card
from esm2_amp.neighbours.index_train import reason, unit
from esm2_amp.neighbours.plan import EXACT
from esm2_amp.neighbours.scores import Rows, Scores
from esm2_amp.neighbours.vectors import Vectors

FILE = "index.faiss"
_CANDIDATES = 1 << 20
"""Candidates of one call of faiss."""


class Index:
    """An index on disk, opened; made by :func:`open_index`.

    Args:
        folder: where it lies.
        card: what it says about itself.
        index: faiss's.
    """

    def __init__(self, folder: Path, card: IndexCard, index: faiss.Index) -> None:
        self.folder, self.card, self._index = folder, card, index

    def check(self, vectors: Vectors) -> None:
        """Refuse vectors that it was not built of."""
        if vectors.digest != self.card.vectors:
            raise InputError(
                f"this index is of other vectors ({self.card.rows:,} x {self.card.dim}, digest "
                f"{self.card.vectors[:12]}...) than these ({vectors.n:,} x {vectors.dim}, digest "
                f"{vectors.digest[:12]}...)",
                file=self.folder,
                remedy="Build an index of these into another folder.",
            )

    def candidates(
        self, queries: Scores, count: int, nprobe: int | None, allowed: NDArray[np.bool_] | None = None
    ) -> Rows:
        """Rows whose angle to a query is small, by their codes; (m, count) int64, -1 where there are fewer.

        Args:
            queries: (m, d) float32.
            count: how many.
            nprobe: lists that are looked through; None: as the card says.
            allowed: (n,) True for rows that may be among them; None: all.
        """
        count = min(count, self.card.rows)
        nprobe = min(nprobe or self.card.nprobe, self.card.lists)
        bits = None if allowed is None else np.packbits(allowed, bitorder="little")
        chooser = None if bits is None else faiss.IDSelectorBitmap(bits)
        settings = faiss.SearchParametersIVF(nprobe=nprobe, sel=chooser)
        if isinstance(self._index, faiss.IndexPreTransform):
            settings = faiss.SearchParametersPreTransform(index_params=settings)
        step = max(1, _CANDIDATES // count)
        found = [
            self._index.search(unit(queries[start : start + step]), count, params=settings)[1]
            for start in range(0, len(queries), step)
        ]
        return np.concatenate(found) if found else np.zeros((0, count), np.int64)


def open_index(folder: str | os.PathLike[str], vectors: Vectors, threads: int) -> Index | None:
    """Open the index of some vectors; None if it was found that they need none.

    Its file is mapped where its codec allows: a search reads the lists it looks through, and they stay in memory only
    as long as the system has room.

    Args:
        folder: where it was built.
        vectors: that it is of.
        threads: of faiss, in this process.

    Raises:
        InputError: there is none, it is damaged, or of other vectors.
    """
    folder = Path(folder)
    card = read_card(folder)
    faiss.omp_set_num_threads(threads)
    if card.factory == EXACT:
        Index(folder, card, None).check(vectors)
        return None
    opened = Index(folder, card, _read(folder / FILE, card))
    opened.check(vectors)
    return opened


def _read(file: Path, card: IndexCard) -> faiss.Index:
    size = file.stat().st_size if file.exists() else 0
    if size != card.file_bytes:
        raise InputError(
            f"damaged: {size} bytes where the card promises {card.file_bytes}",
            file=file,
            remedy="Delete the folder of the index, and build it again.",
        )
    try:
        return faiss.read_index(str(file), faiss.IO_FLAG_MMAP | faiss.IO_FLAG_READ_ONLY if card.mapped else 0)
    except RuntimeError as error:
        raise InputError(f"faiss cannot read it ({reason(error)})", file=file) from error
