"""Which proteins resemble which: identity of held-out proteins to training ones, and clusters that belong together.

Two proteins are compared by their best local alignment (BLOSUM62, gaps 11 + 1 a residue). It counts where its E-value
is at most :data:`MAX_E_VALUE` and it covers at least ``coverage`` of the residues of both proteins, whose lengths
therefore may not differ more than that. Identity is the share of alignment columns, gaps included, with the same
residue on both sides. Proteins that share a domain only are no homologues in this sense.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from esm2_amp.data import homology_kmers, homology_mmseqs
from esm2_amp.errors import InputError

MAX_E_VALUE = 1e-3
ENGINES = ("auto", "mmseqs", "kmers")


class Hits(NamedTuple):
    """Alignments that count: positions of query and target, and identity in [0, 1]; arrays of one length."""

    query: NDArray[np.int64]
    target: NDArray[np.int64]
    identity: NDArray[np.float64]


@dataclass(frozen=True)
class HomologyEngine:
    """What finds the alignments.

    ``search(queries, targets, coverage, max_e_value, threads)`` gives (query, target, identity) arrays; every
    protein is found by itself.
    """

    name: str
    version: str
    search: Callable[
        [Sequence[str], Sequence[str], float, float, int],
        tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]],
    ]

    def hits(self, queries: Sequence[str], targets: Sequence[str], coverage: float, threads: int) -> Hits:
        """Alignments of queries to targets that count; see the top of this module.

        Raises:
            InputError: the engine does not run on this machine.
        """
        if not queries or not targets:
            return Hits(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float64))
        return Hits(*self.search(queries, targets, coverage, MAX_E_VALUE, threads))


def homology_engine(choice: str) -> HomologyEngine:
    """MMseqs2 where it is installed, else k-mers and pyopal's aligner; or the one that is asked for.

    Args:
        choice: ``auto``, ``mmseqs`` or ``kmers``.

    Raises:
        InputError: another choice, or one that is not installed.
    """
    if choice not in ENGINES:
        raise InputError(f"homology is {choice!r}", remedy=f"Use {', '.join(ENGINES)}.")
    mmseqs = homology_mmseqs.version() if choice != "kmers" else None
    if mmseqs is not None:
        return HomologyEngine("mmseqs", mmseqs, homology_mmseqs.search)
    if choice == "mmseqs":
        raise InputError("homology=mmseqs: there is no program mmseqs", remedy="Install MMseqs2, or use kmers.")
    pyopal = homology_kmers.version()
    if pyopal is None:
        raise InputError("no program mmseqs and no package pyopal: homology cannot be searched", remedy=_INSTALL)
    return HomologyEngine("kmers", pyopal, homology_kmers.search)


def estimated_seconds(engine: str, query_residues: int, target_residues: int, threads: int) -> float:
    """Roughly how long a search takes, from :data:`COST`; for deciding whether to begin one unasked."""
    start, per_pair = COST[engine]
    return start + per_pair * query_residues * target_residues / threads


COST = {"mmseqs": (2.0, 2e-12), "kmers": (0.3, 3.3e-12)}
"""Seconds to start and per residue of query and of target on one core, measured on 8,000 human proteins."""
_INSTALL = "Install MMseqs2 (package mmseqs2 of Debian and bioconda), or pip install pyopal (Python up to 3.13)."


def max_identity(
    queries: Sequence[str], targets: Sequence[str], coverage: float, engine: HomologyEngine, threads: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Find each query's most similar target.

    Returns:
        (n,) its identity, 0 where no alignment counts, and (n,) its position, -1 there.

    Raises:
        InputError: as :meth:`HomologyEngine.hits`.
    """
    hits = engine.hits(queries, targets, coverage, threads)
    identity, nearest = np.zeros(len(queries)), np.full(len(queries), -1, dtype=np.int64)
    rising = np.lexsort((-hits.target, hits.identity))  # the last one written wins
    identity[hits.query[rising]], nearest[hits.query[rising]] = hits.identity[rising], hits.target[rising]
    return identity, nearest


def cluster_sequences(
    sequences: Sequence[str], identity: float, coverage: float, engine: HomologyEngine, threads: int
) -> NDArray[np.int64]:
    """Cluster sequences such that no two of different clusters have an alignment that counts above ``identity``.

    Clusters are connected components (single linkage): within one, two proteins may be joined through others only.

    Args:
        sequences: n of them; equal ones come into one cluster.
        identity: in [0, 1]; joined are pairs strictly above.
        coverage: of both proteins; see the top of this module.
        engine: see :func:`homology_engine`.
        threads: processor cores to use.

    Returns:
        (n,) numbers of clusters, counted from 0 by first member.

    Raises:
        InputError: as :meth:`HomologyEngine.hits`.
    """
    distinct, position = list(dict.fromkeys(sequences)), dict[str, int]()
    for number, sequence in enumerate(distinct):
        position[sequence] = number
    joined = clusters_of_hits(engine.hits(distinct, distinct, coverage, threads), len(distinct), identity)
    return joined[[position[sequence] for sequence in sequences]]


def clusters_of_hits(hits: Hits, n: int, identity: float) -> NDArray[np.int64]:
    """Connected components of n sequences over the hits above ``identity``, numbered by first member."""
    close = hits.identity > identity
    graph = coo_array((np.ones(close.sum(), np.int8), (hits.query[close], hits.target[close])), shape=(n, n))
    _, component = connected_components(graph, directed=False)
    _, first, number = np.unique(component, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    clusters: NDArray[np.int64] = rank[number]
    return clusters


def cluster_classes(
    a_cluster: NDArray[np.int64], b_cluster: NDArray[np.int64], train_clusters: Iterable[int]
) -> NDArray[np.str_]:
    """C1, C2 or C3 of each pair by cluster: a protein counts as seen if its cluster holds a training protein.

    Args:
        a_cluster: (n,) clusters of the first proteins.
        b_cluster: (n,) clusters of the second proteins.
        train_clusters: clusters of the training proteins.

    Returns:
        (n,) ``C1`` (both seen), ``C2`` (one) or ``C3`` (none).
    """
    seen = np.array(sorted(set(train_clusters)), dtype=np.int64)
    unseen = (~np.isin(a_cluster, seen)).astype(np.int64) + ~np.isin(b_cluster, seen)
    return np.array(["C1", "C2", "C3"])[unseen]
