"""How similar held-out proteins are to training proteins that they are not equal to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from esm2_amp.data.audit import Declared
from esm2_amp.data.findings import AuditSplit, Finding, Numbered, Severity
from esm2_amp.data.homology import Hits, HomologyEngine, clusters_of_hits

MANY = 0.1
"""A doubt where more than this share of the held-out proteins have a homologue in training..."""
CLOSE = 0.6
"""...or any has one of at least this identity: two modules in common explain some 40 %, not this."""
_EDGES = (0.0, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


@dataclass(frozen=True, eq=False)
class Homology:
    """What a search of the held-out sequences against all sequences of the audit found.

    ``clusters`` numbers all sequences: connected components over alignments above ``threshold``, without those
    between two training sequences, so that it says which sequences hang together with training and no more.
    ``nearest`` and ``identity`` give each sequence's most similar training sequence (-1 and 0 for none).
    """

    engine: HomologyEngine
    threshold: float
    coverage: float
    clusters: NDArray[np.int64]
    nearest: NDArray[np.int64]
    identity: NDArray[np.float64]

    def to_dict(self) -> dict[str, Any]:
        """Engine, version and thresholds, for reports."""
        return {
            "engine": self.engine.name,
            "version": self.engine.version,
            "identity": self.threshold,
            "coverage": self.coverage,
            "rule": "share of equal columns of the best local alignment, which covers that share of both proteins",
        }


def search_homology(
    numbered: Numbered, engine: HomologyEngine, threshold: float, coverage: float, threads: int
) -> Homology:
    """Compare the sequences that training does not hold with all others.

    Raises:
        InputError: the engine does not run on this machine.
    """
    seen = numbered.trained()
    held = np.flatnonzero(~seen)
    found = engine.hits([numbered.sequences[k] for k in held], numbered.sequences, coverage, threads)
    hits = Hits(held[found.query], found.target, found.identity)
    identity, nearest = np.zeros(len(seen)), np.full(len(seen), -1, dtype=np.int64)
    to_train = np.flatnonzero(seen[hits.target])
    rising = to_train[np.lexsort((-hits.target[to_train], hits.identity[to_train]))]  # the last one written wins
    identity[hits.query[rising]], nearest[hits.query[rising]] = hits.identity[rising], hits.target[rising]
    clusters = clusters_of_hits(hits, len(seen), threshold)
    return Homology(engine, threshold, coverage, clusters, nearest, identity)


def homology_findings(numbered: Numbered, homology: Homology, declared: Declared | None, strict: bool) -> list[Finding]:
    """Held-out proteins that training does not hold, but holds a homologue of.

    Args:
        numbered: the splits.
        homology: see :func:`search_homology`.
        declared: the kind of split.
        strict: under ``c3``, block at the first protein above the threshold.
    """
    seen = numbered.trained()
    found = []
    for i in (*numbered.of_role("val"), *numbered.of_role("test")):
        split, members = numbered.splits[i], numbered.members[i]
        _, first = np.unique(members, return_index=True)
        unseen = np.sort(first[~seen[members[first]]])
        identity = homology.identity[members[unseen]]
        count = int((identity > homology.threshold).sum())
        doubtful = count > MANY * len(unseen) or bool((identity >= CLOSE).any())
        severity: Severity = "show" if doubtful else "ok"
        if strict and declared == "c3" and count:
            severity = "block"
        found.append(_described(numbered, split, unseen, members, homology, severity))
    return found


def _described(
    numbered: Numbered,
    split: AuditSplit,
    unseen: NDArray[np.int64],
    members: NDArray[np.int64],
    homology: Homology,
    severity: Severity,
) -> Finding:
    identity = homology.identity[members[unseen]]
    above = np.flatnonzero(identity > homology.threshold)
    closest = above[np.argsort(-identity[above], kind="stable")][:5]
    names = _training_names(numbered)
    examples = [
        split.protein_example(
            int(unseen[k]), f"{identity[k]:.0%} identical to {names[int(homology.nearest[members[unseen[k]]])]}"
        )
        for k in closest
    ]
    share = len(above) / max(len(unseen), 1)
    figures = {
        "proteins": len(unseen),
        "share": round(share, 4),
        "max_identity": round(float(identity.max(initial=0)), 4),
        "histogram": _histogram(identity),
    }
    sentence = (
        f"{len(above):,} of the {len(unseen):,} proteins of {split.name} that training does not hold "
        f"({share:.1%}) have a training protein above {homology.threshold:.0%} identity; the closest reaches "
        f"{identity.max(initial=0):.0%}."
    )
    return Finding("homology", (split.name,), severity, len(above), sentence, figures, tuple(examples))


def _training_names(numbered: Numbered) -> dict[int, str]:
    names: dict[int, str] = {}
    for i in numbered.of_role("train"):
        for number, protein in zip(numbered.members[i].tolist(), numbered.splits[i].table.proteins, strict=True):
            names.setdefault(number, protein.id)
    return names


def _histogram(identity: Sequence[float] | NDArray[np.float64]) -> list[dict[str, float]]:
    """Proteins by identity to the nearest training protein; ``none`` has no alignment that counts."""
    values = np.asarray(identity)
    counts, _ = np.histogram(values[values > 0], bins=_EDGES)
    bins = [{"from": a, "to": b, "proteins": int(n)} for a, b, n in zip(_EDGES, _EDGES[1:], counts, strict=False)]
    return [{"from": 0.0, "to": 0.0, "proteins": int((values == 0).sum())}, *bins]
