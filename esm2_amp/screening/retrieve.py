"""Look up the pairs that a student scores highest, through the vectors and the index of :mod:`esm2_amp.neighbours`."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from esm2_amp.neighbours.index import Index, open_index
from esm2_amp.neighbours.index_build import build_index
from esm2_amp.neighbours.ingest import write_vectors
from esm2_amp.neighbours.plan import PART_ROWS, make_plan
from esm2_amp.neighbours.search import search
from esm2_amp.neighbours.vectors import Vectors
from esm2_amp.screening.pair_list import Eligible, PairList, keys_of
from esm2_amp.screening.student import Student
from esm2_amp.screening.work import Rows

Values = NDArray[np.float32]

_BREADTH = 4
"""A protein is asked for so many times the partners that an average one gets: some get many more than others. A pair
is missed only if it is beyond that for both of its proteins."""
_HELD = 2
"""So many times the wanted pairs are held before the worse ones are let go of."""
_QUERIES = 512
_FOUND = 1 << 21
"""Partners that are looked up at a time, at most."""
_PROTEINS = 8192
"""Proteins that go through the towers at once."""


@dataclass(frozen=True)
class Search:
    """Where and how proposals are looked up.

    Attributes:
        count: pairs to propose.
        each: the best so many of every protein are among them, as far as the count allows.
        edge: see :class:`~esm2_amp.screening.pair_list.PairList`.
        folder: for the vectors and the index, which are removed again.
        memory_gb: for building an index, where there are so many proteins that one is needed.
        factory: of the index; None: as suits the number of proteins, "exact": none.
        threads: of faiss.
        seed: of the index.
    """

    count: int
    each: int
    edge: int
    folder: Path
    memory_gb: float
    factory: str | None
    threads: int
    seed: int


def propose(
    student: Student, inputs: Tensor, law: Eligible, known: Rows, wanted: Search, advance: Callable[[int], None]
) -> PairList:
    """The eligible pairs that a student scores highest, without those that are known.

    Args:
        student: taught.
        inputs: (n, K) components of all proteins.
        law: which pairs there are.
        known: keys of pairs that are not to be proposed; see :func:`~esm2_amp.screening.pair_list.keys_of`.
        wanted: how many, and how they are looked up.
        advance: told the proteins whose partners were looked up.

    Returns:
        ``wanted.count`` pairs, or all that were found: first the best of each protein, then the best of all.
    """
    queries, keys = vectors_of(student, inputs)
    known = np.sort(known)
    degrees = np.bincount(np.concatenate([known // law.n, known % law.n]), minlength=law.n)
    best, leading = _Best(wanted.count), _Best(wanted.count)
    with _scratch(wanted.folder) as scratch:
        vectors = write_vectors(scratch / "vectors", [str(number) for number in range(law.n)], keys)
        index = _index(vectors, scratch / "index", wanted)
        for asked, allowed in _questions(law):
            partners = _BREADTH * -(-2 * wanted.count // len(asked)) + wanted.each
            for some, most in _alike(asked, degrees, partners, int(allowed.sum())):
                exclude = None if law.with_self else some
                found = search(
                    vectors, index, queries[some], most, "ip", candidates=2 * most, allowed=allowed, exclude=exclude
                )
                pairs, scores, own = _unknown(some, *found, known, law.n)
                best.add(pairs, scores)
                leading.add(pairs[own < wanted.each], scores[own < wanted.each])
                advance(len(some))
    chosen, _ = leading.ranked()
    others, _ = best.ranked()
    chosen = np.concatenate([chosen, others[~np.isin(others, chosen)]])[: wanted.count]
    return PairList(chosen // law.n, chosen % law.n, wanted.edge)


def vectors_of(student: Student, inputs: Tensor) -> tuple[Values, Values]:
    """What is asked with and what is looked up, (n, 2 R + 3) float32 each; their inner product is the score.

    The vectors that are looked up get one value more that makes all of them equally long, and those asked with a zero
    there: then the largest inner product is the smallest angle, which is what an index goes by (Bachrach et al. 2014,
    doi 10.1145/2645710.2645741).
    """
    with torch.inference_mode():
        blocks = [student.vectors(inputs[start : start + _PROTEINS]) for start in range(0, len(inputs), _PROTEINS)]
    queries, keys = (torch.cat(side).numpy() for side in zip(*blocks, strict=True))
    squares = np.einsum("nd,nd->n", keys, keys)
    level = np.sqrt(np.maximum(squares.max() - squares, 0))
    return np.pad(queries, ((0, 0), (0, 1))), np.concatenate([keys, level[:, None]], axis=1)


def _questions(law: Eligible) -> Iterator[tuple[Rows, NDArray[np.bool_]]]:
    """Proteins, and which may be their partners: both sides ask, as the best of one is not that of the other."""
    numbers = np.arange(law.n)
    rows, columns = numbers < law.first, numbers >= law.second
    yield numbers[rows], columns
    if not (rows.all() and columns.all()):
        yield numbers[columns], rows


def _alike(asked: Rows, degrees: Rows, partners: int, most: int) -> Iterator[tuple[Rows, int]]:
    """Proteins with similar numbers of known partners, and how many to look up so that enough unknown are found."""
    asked = asked[np.argsort(degrees[asked], kind="stable")]
    start = 0
    while start < len(asked):
        step = max(1, min(_QUERIES, _FOUND // max(1, min(partners + int(degrees[asked[start]]), most))))
        some = asked[start : start + step]
        yield some, max(1, min(partners + int(degrees[some].max()), most))
        start += step


def _unknown(asked: Rows, found: Rows, scores: Values, known: Rows, n: int) -> tuple[Rows, Values, Rows]:
    """Keys and scores of what was found and is not known, and which each is among those of the protein asked for."""
    pairs = keys_of(asked[:, None], found, n)
    place = np.minimum(np.searchsorted(known, pairs), max(len(known) - 1, 0))
    new = (found >= 0) & (known[place] != pairs if len(known) else True)
    return pairs[new], scores[new], (np.cumsum(new, axis=1) - 1)[new]


def _index(vectors: Vectors, folder: Path, wanted: Search) -> Index | None:
    """Their index, or None where looking at all of them is no work."""

    def unseen(_: int) -> None:
        pass

    plan = make_plan(vectors.n, vectors.dim, wanted.memory_gb, wanted.factory)
    build_index(vectors, folder, plan, wanted.seed, wanted.threads, PART_ROWS, unseen, unseen)
    return open_index(folder, vectors, wanted.threads)


@contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    """A folder that is empty at the start, whatever a killed process left, and gone at the end."""
    scratch = folder / "lookup"
    shutil.rmtree(scratch, ignore_errors=True)
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


class _Best:
    """The pairs with the highest scores so far, each once, in memory that does not grow with their number."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._keys, self._scores = [np.zeros(0, np.int64)], [np.zeros(0, np.float32)]

    def add(self, keys: Rows, scores: Values) -> None:
        """Let pairs take part; one that comes again has the higher of its scores."""
        self._keys.append(keys)
        self._scores.append(scores)
        if sum(map(len, self._keys)) > _HELD * max(self._count, _FOUND):
            kept = self.ranked()
            self._keys, self._scores = [kept[0]], [kept[1]]

    def ranked(self) -> tuple[Rows, Values]:
        """Keys and scores of the best, best first; of equal ones the lower key."""
        keys, scores = np.concatenate(self._keys), np.concatenate(self._scores)
        order = np.lexsort((-scores, keys))
        order = order[np.diff(keys[order], prepend=-1) != 0]
        order = order[np.lexsort((keys[order], -scores[order]))][: self._count]
        return keys[order], scores[order]
