"""Homology search without a program to install: shared k-mers choose candidates, pyopal aligns them (SIMD)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.metadata import version as version_of
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from esm2_amp.records import STANDARD_RESIDUES

K = 4
"""Length of the words: by chance two proteins of 450 residues share about one, at 40 % identity ten or more."""
ALIKE = 0.03
"""Targets are aligned whose words resemble the query's at least so much: weighted by rarity, the shared words over the
geometric mean of both proteins' words. On 8,000 human proteins that is two or three a query, and nearly all of those
above 40 % identity; below, fewer and fewer."""
CANDIDATES = 200
"""Targets aligned for a query, at most."""
FREQUENT = 0.02
"""Words in a larger share of the targets are left out: repeats and low complexity."""
ROWS = 256
CELLS, PIECE = 10_000_000, 1000
"""Longer alignments (12 bytes a cell) are made in pieces of so many residues."""
GAP_OPEN, GAP_EXTEND = 11, 1
LAMBDA, KARLIN_K = 0.267, 0.041
"""Karlin-Altschul parameters of BLOSUM62 with gaps 11 + 1 (NCBI BLAST, blast_stat.c)."""
_AS_IN_BLOSUM = str.maketrans("JOU", "LKC")
_CODE = np.full(128, -1, dtype=np.int64)
_CODE[[ord(letter) for letter in STANDARD_RESIDUES]] = np.arange(20)


def version() -> str | None:
    """``pyopal`` and its version; None if it is not installed."""
    return f"pyopal {version_of('pyopal')}" if find_spec("pyopal") else None


def search(
    queries: Sequence[str], targets: Sequence[str], coverage: float, max_e_value: float, threads: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Alignments that cover both sequences; see :class:`esm2_amp.data.homology.HomologyEngine`.

    Queries go in blocks of :data:`ROWS`, so memory does not grow with their number.
    """
    words = _words(targets)
    rarity = _rarity(words)
    by_word = (words * rarity).T.tocsr()
    by_word.eliminate_zeros()
    weight = words @ rarity
    lengths = np.array([len(sequence) for sequence in targets])
    found: list[tuple[int, int, float]] = []
    for start in range(0, len(queries), ROWS):
        block = queries[start : start + ROWS]
        own = _words(block)
        alike, own_weight = (own @ by_word).tocsr(), own @ rarity
        for row, query in enumerate(block):
            inside = slice(alike.indptr[row], alike.indptr[row + 1])
            target = alike.indices[inside].astype(np.int64)
            score = alike.data[inside] / np.sqrt(own_weight[row] * weight[target])
            fits = np.minimum(lengths[target], len(query)) >= coverage * np.maximum(lengths[target], len(query))
            chosen = _best(target, np.where(fits, score, 0))
            hits = _aligned(query, [targets[i] for i in chosen], int(lengths.sum()), max_e_value, threads)
            found += [(start + row, int(chosen[i]), identity) for i, identity, part in hits if part >= coverage]
    columns = np.array(found, dtype=np.float64).reshape(-1, 3)
    return columns[:, 0].astype(np.int64), columns[:, 1].astype(np.int64), columns[:, 2]


def _rarity(words: csr_array) -> NDArray[np.float32]:
    """Weight of every word: the logarithm of how rare it is among n sequences, 0 for the frequent ones."""
    n = words.shape[0]
    held = np.bincount(words.indices, minlength=20**K)
    weight = np.where(held > max(FREQUENT * n, 50), 0, np.log1p(n / np.maximum(held, 1)))
    return weight.astype(np.float32)


def _best(target: NDArray[np.int64], score: NDArray[np.float64]) -> NDArray[np.int64]:
    """The targets of the highest scores, equal ones by position."""
    order = np.lexsort((target, -score))[:CANDIDATES]
    return target[order[score[order] >= ALIKE]]


def _words(sequences: Sequence[str]) -> csr_array:
    """(n, 20**K) 1.0 where a sequence holds a word of K standard residues."""
    rows, indices = [0], []
    for sequence in sequences:
        code = _CODE[np.frombuffer(sequence.encode("ascii"), dtype=np.uint8)]
        starts = len(code) - K + 1
        parts = [code[i : i + starts] for i in range(K)] if starts > 0 else [np.empty(0, np.int64)]
        valid = np.all([part >= 0 for part in parts], axis=0)
        words = np.unique(sum(part * 20**i for i, part in enumerate(parts))[valid])
        indices.append(words.astype(np.int32))
        rows.append(rows[-1] + len(words))
    columns = np.concatenate(indices)
    return csr_array(
        (np.ones(len(columns), np.float32), columns, np.array(rows, np.int32)), shape=(len(sequences), 20**K)
    )


def _aligned(
    query: str, targets: Sequence[str], residues: int, max_e_value: float, threads: int
) -> list[tuple[int, float, float]]:
    """(position, identity, smaller coverage) of the targets whose local alignment has an E-value small enough."""
    least = np.log(KARLIN_K * len(query) * residues / max_e_value) / LAMBDA
    query, plain = query.translate(_AS_IN_BLOSUM), [target.translate(_AS_IN_BLOSUM) for target in targets]
    others = [i for i, target in enumerate(plain) if target != query]
    scores = _local(query, [plain[i] for i in others], "score", threads)
    good = [i for i, result in zip(others, scores, strict=True) if result.score >= least]
    small = [i for i in good if len(query) * len(plain[i]) <= CELLS]
    parts = dict(zip(small, _local(query, [plain[i] for i in small], "full", threads), strict=True))
    found = [(i, 1.0, 1.0) for i, target in enumerate(plain) if target == query]
    for i in good:
        pieces = [parts[i]] if i in parts else list(_in_pieces(query, plain[i], least, threads))
        equal, columns = sum(p.alignment.count("M") for p in pieces), sum(len(p.alignment) for p in pieces)
        ends = ("query", len(query)), ("target", len(plain[i]))
        covered = [sum(getattr(p, f"{e}_end") - getattr(p, f"{e}_start") + 1 for p in pieces) / n for e, n in ends]
        found.append((i, equal / max(columns, 1), min(covered)))
    return found


def _in_pieces(query: str, target: str, least: float, threads: int) -> Iterator[Any]:
    """Alignments of successive pieces of a long query, each to the stretch of the target where the last one ended.

    The memory and time of a whole alignment grow with the product of the lengths.
    """
    reached = 0
    for start in range(0, len(query), PIECE):
        piece = query[start : start + PIECE]
        first = max(0, min(reached - PIECE // 2, len(target) - PIECE))  # never beyond the end
        result = _local(piece, [target[first : first + 3 * PIECE]], "full", threads)[0]
        if result.score >= min(least, len(piece)):
            reached = first + result.target_end + 1
            yield result
        else:
            reached += PIECE


def _local(query: str, targets: list[str], mode: str, threads: int) -> list[Any]:
    import pyopal

    options = {"gap_open": GAP_OPEN, "gap_extend": GAP_EXTEND, "algorithm": "sw", "threads": threads, "ordered": True}
    # pyopal 0.7.3 loses memory with each score above 255 that its other way of coping with overflow, "buckets", meets
    return list(pyopal.align(query, targets, "BLOSUM62", **options, mode=mode, overflow="simple"))
