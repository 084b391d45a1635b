"""Analogies between rows of a matrix of embeddings, exactly: the k best of all pairs, or of all triples.

The score of A : B :: C : D is the cosine of A - B and C - D, or of A + B and C + D, of the vectors as they are (not
brought to length 1). a, b, c and d are four different rows; where A - B or C - D (A + B, C + D) is zero there is no
cosine and no analogy. Thresholds are applied before ranking, so k analogies are returned wherever k exist. Scores are
computed in float64 from the vectors given; of equal scores the smaller rows come first. Memory is that of the vectors
and of a block of products, not of the n² pairs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from esm2_amp.errors import InputError
from esm2_amp.neighbours.analogy_bounds import SIGNS, Operation, blocks
from esm2_amp.neighbours.analogy_one import best_triples
from esm2_amp.neighbours.analogy_pairs import best_pairs
from esm2_amp.neighbours.analogy_scan import Question
from esm2_amp.neighbours.best import Doubles, Floats, Indices, Masks


class Analogies(NamedTuple):
    """Analogies of one pair or of one row, best first: A : B :: C : D.

    Attributes:
        b: (found,) rows.
        c: (found,) rows.
        d: (found,) rows.
        score: (found,) cosines.
    """

    b: Indices
    c: Indices
    d: Indices
    score: Doubles


def analogies_of_pair(
    vectors: Floats,
    a: int,
    b: int,
    k: int,
    max_similarity: float | None,
    op: Operation,
    reach: Floats | None = None,
    advance: Callable[[int], object] | None = None,
) -> Analogies:
    """The k best (c, d) for a pair (a, b).

    Differences are taken of ordered pairs: (c, d) and (d, c) have opposite scores. Sums are taken of unordered pairs,
    each once: as c < d, or if the thresholds allow only c > d, in that order.

    Args:
        vectors: (n, d).
        a: row.
        b: another row.
        k: how many, 1 or more.
        max_similarity: c is left out if cos(a, c) is larger, and d if cos(b, d) is; the cosine with a zero vector is 0.
            None: nobody is left out.
        op: what is compared.
        reach: ``nearest_distances(vectors, op)``, which makes the search several times faster.
        advance: called with the number of rows done, n in all.

    Raises:
        InputError: a row that is not there, a and b equal or with vectors whose difference (sum) is zero, k below 1.
    """
    vectors = _checked(vectors, k, {"a": a, "b": b})
    as_c, as_d = _dissimilar(vectors, a, max_similarity), _dissimilar(vectors, b, max_similarity)
    for row in (a, b):
        as_c[row] = as_d[row] = False
    question = Question(vectors, _direction(vectors, a, b, op), SIGNS[op], as_c, as_d)
    rows, score = best_pairs(question, k, reach, advance)
    return Analogies(np.full(score.size, b, np.int64), rows[:, 0], rows[:, 1], score)


def analogies_of_one(
    vectors: Floats,
    a: int,
    k: int,
    max_similarity: float | None,
    op: Operation,
    advance: Callable[[int], object] | None = None,
) -> Analogies:
    """The k best (b, c, d) for one row a, as if ``analogies_of_pair`` were asked for every b.

    Args:
        vectors: (n, d).
        a: row.
        k: how many, 1 or more.
        max_similarity: as in ``analogies_of_pair``.
        op: what is compared.
        advance: called with the number of rows done, n in all.

    Raises:
        InputError: a row that is not there, k below 1.
    """
    vectors = _checked(vectors, k, {"a": a})
    as_c = _dissimilar(vectors, a, max_similarity)
    as_c[a] = False
    rows, score = best_triples(vectors, a, as_c, k, max_similarity, SIGNS[op], advance)
    return Analogies(rows[:, 0], rows[:, 1], rows[:, 2], score)


def completions(
    vectors: Floats, a: int, b: int, c: int, k: int, max_similarity: float | None, op: Operation
) -> Analogies:
    """The k best d for A : B :: C : ?, by the same score as every analogy here: the direction of C - D.

    This is PairDirection (Levy and Goldberg 2014, W14-1618). 3CosAdd, better known, ranks d by cos(D, C - A + B): it
    asks for a D near one point, and so for C - D as long as A - B; here the length is free.

    Args:
        vectors: (n, d).
        a: row.
        b: row.
        c: row.
        k: how many, 1 or more.
        max_similarity: d is left out if cos(b, d) is larger; c is as given. None: nobody is left out.
        op: what is compared.

    Raises:
        InputError: as for ``analogies_of_pair``.
    """
    vectors = _checked(vectors, k, {"a": a, "b": b, "c": c})
    direction, origin = _direction(vectors, a, b, op), vectors[c].astype(np.float64)
    score = np.full(len(vectors), np.nan)
    for some in blocks(len(vectors)):
        step = origin + SIGNS[op] * vectors[some].astype(np.float64)
        length = np.sqrt(np.einsum("ij,ij->i", step, step))
        score[some] = np.divide(step @ direction, length, out=np.full(length.size, np.nan), where=length > 0)
    allowed = _dissimilar(vectors, b, max_similarity) & ~np.isnan(score)
    allowed[[a, b, c]] = False
    rows = np.flatnonzero(allowed)
    rows = rows[np.lexsort((rows, -score[rows]))][:k]
    return Analogies(np.full(rows.size, b, np.int64), np.full(rows.size, c, np.int64), rows, score[rows].clip(-1, 1))


def _checked(vectors: Floats, k: int, rows: dict[str, int]) -> Floats:
    """The vectors as the inner loops want them."""
    if k < 1:
        raise InputError(f"k is {k}", remedy="Ask for one analogy or more.")
    for name, row in rows.items():
        if not 0 <= row < len(vectors):
            raise InputError(f"{name} is row {row} of {len(vectors)}", remedy="Rows are counted from 0.")
    if len(set(rows.values())) < len(rows):
        same = ", ".join(f"{name} = {row}" for name, row in rows.items())
        raise InputError(f"an analogy is made of different rows, not of {same}")
    return np.ascontiguousarray(vectors, dtype=np.float32)


def _direction(vectors: Floats, a: int, b: int, op: Operation) -> Doubles:
    """(d,) A - B or A + B, at length 1."""
    step = vectors[a].astype(np.float64) + SIGNS[op] * vectors[b].astype(np.float64)
    length = np.sqrt(step @ step)
    if length == 0:
        which = "equal" if op == "difference" else "opposite"
        raise InputError(f"the vectors of rows {a} and {b} are {which}: their {op} is zero and has no direction")
    return np.asarray(step / length)


def _dissimilar(vectors: Floats, row: int, max_similarity: float | None) -> Masks:
    """(n,) whether the cosine with a row is at most ``max_similarity``."""
    if max_similarity is None:
        return np.ones(len(vectors), np.bool_)
    own = vectors[row].astype(np.float64)
    similar = np.zeros(len(vectors))
    for some in blocks(len(vectors)):
        block = vectors[some].astype(np.float64)
        lengths = np.sqrt(np.einsum("ij,ij->i", block, block) * (own @ own))
        np.divide(block @ own, lengths, out=similar[some], where=lengths > 0)
    return np.asarray(similar.clip(-1, 1) <= max_similarity)
