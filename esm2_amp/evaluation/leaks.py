"""The audit of labelled pair lists: every check, and one verdict; and what labels degree and column alone give away."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from esm2_amp.data.audit import (
    CHANCE,
    Declared,
    balance_findings,
    class_degrees,
    class_findings,
    one_class_findings,
    overlap_findings,
    row_findings,
)
from esm2_amp.data.audit_homology import Homology, homology_findings
from esm2_amp.data.findings import AuditSplit, Finding, Numbered, Severity
from esm2_amp.data.homology import cluster_classes
from esm2_amp.evaluation.baselines import degree_oracle_scores
from esm2_amp.evaluation.metrics import ranking_metrics
from esm2_amp.io.resolve import Policy

DEGREE_DOUBT = 0.60
"""AUROC of the degree oracle from which a list is doubtful: .53 on Bernett's, .90 to .97 on the D-SCRIPT lists."""
COLUMN_DOUBT = 0.55
"""AUROC of the columns alone from which a list is doubtful; .5 where the order within pairs is random."""


@dataclass(frozen=True)
class AuditRules:
    """What the user says about the lists.

    ``declared``: the kind of split, or None; ``strict``: homologues block under ``c3``; ``unknown`` and
    ``conflicts``: the policies of training.
    """

    declared: Declared | None
    strict: bool
    unknown: Policy
    conflicts: Policy


@dataclass(frozen=True, eq=False)
class Audit:
    """Findings about some splits; ``homology`` is None where it was not searched."""

    rules: AuditRules
    numbered: Numbered
    homology: Homology | None
    findings: tuple[Finding, ...]

    @property
    def splits(self) -> Sequence[AuditSplit]:
        """The pair lists."""
        return self.numbered.splits

    def cluster_classes(self, name: str) -> NDArray[np.str_] | None:
        """(n,) C1, C2 or C3 of the pairs of one split by sequence cluster; None where homology was not searched."""
        if self.homology is None:
            return None
        clusters, i = self.homology.clusters, [split.name for split in self.splits].index(name)
        seen = clusters[self.numbered.trained()]
        return cluster_classes(clusters[self.numbered.a[i]], clusters[self.numbered.b[i]], seen.tolist())

    def of(self, severity: Severity) -> list[Finding]:
        """The findings of one severity."""
        return [finding for finding in self.findings if finding.severity == severity]

    @property
    def verdict(self) -> str:
        """``blocked``, ``doubtful`` or ``clean``."""
        return "blocked" if self.of("block") else "doubtful" if self.of("show") else "clean"

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON and for pages."""
        return {
            "verdict": self.verdict,
            "declared": self.rules.declared,
            "strict": self.rules.strict,
            "homology": None if self.homology is None else self.homology.to_dict(),
            "splits": {
                split.name: {
                    "role": split.role,
                    "file": split.file,
                    "pairs": len(split.table),
                    "positive": int((split.table.label == 1).sum()),
                    "proteins": len(split.table.proteins),
                }
                for split in self.splits
            },
            "findings": [finding.to_dict() for finding in self.findings],
        }


def audit(numbered: Numbered, rules: AuditRules, homology: Homology | None) -> Audit:
    """Run every check.

    Args:
        numbered: the splits; training alone is enough.
        rules: what blocks.
        homology: see :func:`esm2_amp.data.audit_homology.search_homology`; None leaves these checks out.
    """
    findings = [
        *row_findings(numbered.splits, rules.unknown, rules.conflicts),
        *overlap_findings(numbered, rules.declared),
        *class_findings(numbered, rules.declared, None if homology is None else homology.clusters),
        *(homology_findings(numbered, homology, rules.declared, rules.strict) if homology is not None else ()),
        *balance_findings(numbered.splits),
        *one_class_findings(numbered.splits),
        *(degree_finding(numbered, i) for i in range(len(numbered.splits))),
        *(column_finding(numbered, i) for i in range(len(numbered.splits))),
    ]
    return Audit(rules, numbered, homology, tuple(findings))


def degree_finding(numbered: Numbered, i: int) -> Finding:
    """How far the labels of split i follow from which of its proteins are often positive, without any features."""
    split = numbered.splits[i]
    positive, negative = class_degrees(numbered.a[i], numbered.b[i], split.table.label, len(numbered.sequences))
    used = positive + negative > 0
    score = degree_oracle_scores(numbered.a[i], numbered.b[i], split.table.label, len(numbered.sequences))
    auroc = ranking_metrics(split.table.label, score)["auroc"]
    figures = {"oracle_auroc": _rounded(auroc), "degree_correlation": _correlation(positive[used], negative[used])}
    sentence = (
        f"How often its proteins are positive ranks the pairs of {split.name} with an AUROC of {_told(auroc)} "
        f"(degree oracle; .5 gives nothing away); positive and negative degree correlate by "
        f"{_told(figures['degree_correlation'])}."
    )
    return Finding("degree", (split.name,), _severity(auroc, DEGREE_DOUBT, split), len(split.table), sentence, figures)


def column_finding(numbered: Numbered, i: int) -> Finding:
    """How far the labels of split i follow from which protein stands first.

    Where proteins of one class keep to one column (a list sorted by id, say) and those of the other do not, a model
    that sees the order gains by it. Each pair is scored by how much better its order fits the columns that its
    proteins take in the other positives than those they take in the other negatives:
    sum over columns of log((count in this column + 1/2) / (count in the other + 1/2)), positives minus negatives.
    """
    split = numbered.splits[i]
    a, b, label = numbered.a[i], numbered.b[i], split.table.label
    auroc = ranking_metrics(label, _column_scores(a, b, label, len(numbered.sequences)))["auroc"]
    imbalance = {f"imbalance_{name}": _imbalance(a, b, label == value) for name, value in _CLASSES}
    figures = {"column_auroc": _rounded(auroc), **imbalance}
    sentence = (
        f"Which protein stands first ranks the pairs of {split.name} with an AUROC of {_told(auroc)} "
        f"(.5 gives nothing away); imbalance of the columns {_told(figures['imbalance_positives'])} in "
        f"positives, {_told(figures['imbalance_negatives'])} in negatives."
    )
    severity = _severity(auroc, COLUMN_DOUBT, split)
    return Finding("column_order", (split.name,), severity, len(split.table), sentence, figures)


_CLASSES = (("positives", 1), ("negatives", 0))


def _column_scores(a: NDArray[np.int64], b: NDArray[np.int64], label: NDArray[np.int8], n: int) -> NDArray[np.float64]:
    scores = []
    for _, value in _CLASSES:
        own = (label == value).astype(np.float64)  # the pair itself does not count
        first, second = np.bincount(a, weights=own, minlength=n), np.bincount(b, weights=own, minlength=n)
        fits = np.log((first[a] - own + 0.5) / (second[a] + 0.5)) + np.log((second[b] - own + 0.5) / (first[b] + 0.5))
        fits[a == b] = 0
        scores.append(fits)
    difference: NDArray[np.float64] = scores[0] - scores[1]
    return difference


def _imbalance(a: NDArray[np.int64], b: NDArray[np.int64], chosen: NDArray[np.bool_]) -> float | None:
    """|times first - times second|, summed over the proteins of the chosen pairs and divided by their two places."""
    if not chosen.any():
        return None
    n = int(max(a.max(), b.max())) + 1
    first, second = np.bincount(a[chosen], minlength=n), np.bincount(b[chosen], minlength=n)
    return _rounded(float(np.abs(first - second).sum() / (2 * chosen.sum())))


def _severity(auroc: float | None, doubt: float, split: AuditSplit) -> Severity:
    """Doubtful where the AUROC is high, and higher than chance makes it in so few pairs (Mann-Whitney's variance)."""
    if auroc is None:
        return "ok"
    positive = int((split.table.label == 1).sum())
    negative = len(split.table) - positive
    spread = np.sqrt((positive + negative + 1) / (12 * positive * negative))
    return "show" if auroc >= max(doubt, 0.5 + CHANCE * spread) else "ok"


def _correlation(x: NDArray[np.int64], y: NDArray[np.int64]) -> float | None:
    if len(x) < 2 or x.min() == x.max() or y.min() == y.max():
        return None
    return _rounded(float(np.corrcoef(x, y)[0, 1]))


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(float(value), 4)


def _told(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.3f}"
