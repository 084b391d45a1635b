"""What the page says of one set of scored pairs: sentences, tiles, figures and tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from esm2_amp.evaluation.calibration import reliability_bins
from esm2_amp.evaluation.figures import (
    Curve,
    Estimate,
    draw_estimates,
    draw_precision_recall,
    draw_reliability,
    draw_roc,
    draw_scores,
)
from esm2_amp.evaluation.metrics import CALIBRATION_BINS, calibration_metrics
from esm2_amp.evaluation.page_tables import (
    CLASS_NAMES,
    Numbers,
    baselines_table,
    calibration_table,
    interval,
    metrics_table,
    number,
)
from esm2_amp.evaluation.summary import CLEAR_OF_BASELINE

_TILES = {"auroc": "AUROC", "aupr": "AUPR", "mcc": "MCC", "ece": "ECE", "ap_1_10": "AUPR at 1:10"}
_TELLING = {
    "C3": "pairs of two proteins that no training pair holds (C3)",
    "C2": "pairs with one protein that no training pair holds (C2)",
}


@dataclass(frozen=True, eq=False)
class ScoredSet:
    """n labelled pairs as they were measured, and the scores that figures are drawn of.

    ``before`` are the probabilities before calibration, None where there was none; ``baselines`` has the scores of
    each by name; ``classes`` says C1, C2 or C3 of each pair, None where training pairs are not known; ``summary`` is
    that of :func:`esm2_amp.evaluation.summary.summarise`; ``note`` is a sentence for who reads these numbers.
    """

    name: str
    label: NDArray[np.int64]
    probability: NDArray[np.float64]
    before: NDArray[np.float64] | None
    classes: NDArray[np.str_] | None
    baselines: Mapping[str, NDArray[np.float64]]
    summary: Mapping[str, Any]
    note: str = ""

    @property
    def shown(self) -> dict[str, Numbers]:
        """Numbers by the title of their class; a class that holds all pairs is not shown twice."""
        return _titled(self.numbers)

    @property
    def numbers(self) -> Mapping[str, Numbers]:
        """What the summary says of each class by protein, ``all`` first."""
        families = self.summary["families"]
        numbers: Mapping[str, Numbers] = families.get("protein") or families["all"]
        return numbers

    @property
    def one_class(self) -> bool:
        """Whether all pairs have the same label."""
        return bool(self.label.min() == self.label.max())


def _titled(numbers: Mapping[str, Numbers]) -> dict[str, Numbers]:
    names = list(numbers)
    if len(names) == 2:
        return {f"all pairs ({CLASS_NAMES.get(names[1], names[1])})": numbers["all"]}
    return {CLASS_NAMES.get(name, name): found for name, found in numbers.items()}


def best_baseline(found: Numbers) -> tuple[str, float] | None:
    """The baseline with the highest AUROC, and that AUROC; None where there is none."""
    ranked = {name: values["auroc"] for name, values in found["baselines"].items() if values["auroc"] is not None}
    return max(ranked.items(), key=lambda item: item[1]) if ranked else None


def lead_sentence(scored: ScoredSet) -> str:
    """One sentence: how good, on which pairs, beside which baseline."""
    whole = scored.numbers["all"]
    pairs = f"On the {whole['n']:,} pairs of {scored.name} ({whole['n_positive']:,} interact)"
    if whole["auroc"] is None:
        return f"{pairs} no ranking can be measured: all have one label."
    text = f"{pairs} these probabilities reach {_reached(whole)}"
    telling = next((name for name in ("C3", "C2") if scored.numbers.get(name, whole)["auroc"] is not None), None)
    if telling in scored.numbers and telling is not None:
        found = scored.numbers[telling]
        text += f"; on the {found['n']:,} {_TELLING[telling]} they reach {_reached(found)}"
    else:
        found = whole
    if (best := best_baseline(found)) is None:
        return f"{text}."
    return f"{text}, where the best baseline, {best[0]}, has an AUROC of {best[1]:.3f}."


def _reached(found: Numbers) -> str:
    bounds = interval(found, "auroc")
    return f"an AUROC of {found['auroc']:.3f}" + (f" ({bounds})" if bounds else "")


def is_clear(found: Numbers) -> bool:
    """Whether the AUROC stands clear of every baseline's; see the warnings of the summary."""
    best = best_baseline(found)
    return found["auroc"] is None or best is None or found["auroc"] - best[1] >= CLEAR_OF_BASELINE


def unclear(scored: ScoredSet) -> list[str]:
    """A sentence for each class where the model does not stand clear of the best baseline."""
    told = []
    for title, found in scored.shown.items():
        best = best_baseline(found)
        if best is not None and not is_clear(found):
            told.append(
                f"{title} (n = {found['n']:,}): the AUROC of {found['auroc']:.3f} is not {CLEAR_OF_BASELINE} above the "
                f"{best[1]:.3f} of the baseline '{best[0]}'."
            )
    return told


def verdict(scored: ScoredSet) -> str | None:
    """A sentence where the model stands clear of every baseline in every class; None where it does not."""
    if unclear(scored) or best_baseline(scored.numbers["all"]) is None or scored.one_class:
        return None
    known = ", ".join(scored.baselines)
    return f"In every class of pairs the AUROC is at least {CLEAR_OF_BASELINE} above that of every baseline ({known})."


def tiles(scored: ScoredSet) -> list[dict[str, str]]:
    """The few numbers most people look for, over all pairs."""
    whole = scored.numbers["all"]
    return [
        {"name": name, "value": number(whole[metric]), "note": interval(whole, metric) or "all pairs"}
        for metric, name in _TILES.items()
    ]


def part_of_page(scored: ScoredSet, threshold: float) -> dict[str, Any]:
    """Figures and tables of one set, as the template reads them."""
    families, before = scored.summary["families"], scored.before
    whole = scored.numbers["all"]
    curves = [] if scored.one_class else _curves(scored)
    told = f"AUROC {number(whole['auroc'])}, AUPR {number(whole['aupr'])}"
    bins = {} if before is None else {"before": reliability_bins(scored.label, before, CALIBRATION_BINS)}
    bins |= {"in use": reliability_bins(scored.label, scored.probability, CALIBRATION_BINS)}
    pictures = {
        "roc": curves and draw_roc(f"{scored.name} roc", curves, f"ROC curves of {scored.name}: {told}."),
        "pr": curves
        and draw_precision_recall(f"{scored.name} pr", curves, f"Precision-recall curves of {scored.name}: {told}."),
        "estimates": curves and _estimates(scored),
        "reliability": draw_reliability(
            f"{scored.name} reliability", bins,
            f"Reliability of the probabilities of {scored.name}: ECE {number(whole['ece'])}.",
        ),
        "scores": draw_scores(
            f"{scored.name} scores", scored.label, scored.probability, threshold,
            f"Histogram of the probabilities of {scored.name} by label, threshold {threshold:.3f}.",
        ),
    }  # fmt: skip
    return {name: Markup(drawing or "") for name, drawing in pictures.items()} | {  # noqa: S704 - our own drawings
        "name": scored.name,
        "note": scored.note,
        "metrics": metrics_table(scored.shown),
        "clusters": metrics_table(_titled(families["cluster"])) if "cluster" in families else None,
        "baselines": [baselines_table(scored.shown, metric) for metric in ("auroc", "aupr") if whole["baselines"]],
        "calibration": calibration_table(None if before is None else calibration_metrics(scored.label, before), whole),
        "confusion": confusion(scored.label, scored.probability, threshold),
    }


def confusion(label: NDArray[np.int64], probability: NDArray[np.float64], threshold: float) -> list[dict[str, Any]]:
    """Counts by label and call, each with its share of the pairs of that label."""
    rows = []
    for value, name in ((1, "interacts"), (0, "does not")):
        called = probability[label == value] >= threshold
        counts = (int(called.sum()), int((~called).sum()))
        cells = [
            {
                "value": f"{count:,}",
                "share": f"{count / max(1, called.size):.1%} of {called.size:,}",
                "kind": "hit" if call == value else "miss",
            }
            for call, count in zip((1, 0), counts, strict=True)
        ]
        rows.append({"name": name, "cells": cells})
    return rows


def _curves(scored: ScoredSet) -> list[Curve]:
    """All pairs, each class that has both labels, and the best baseline."""
    label, probability = scored.label, scored.probability
    curves = [Curve("all pairs", label, probability)]
    for name in () if scored.classes is None else np.unique(scored.classes):
        here = scored.classes == name
        if 0 < label[here].sum() < here.sum() < label.size:
            curves.append(Curve(CLASS_NAMES.get(str(name), str(name)), label[here], probability[here]))
    if (best := best_baseline(scored.numbers["all"])) is not None:
        curves.append(Curve(f"baseline: {best[0]}", label, scored.baselines[best[0]], baseline=True))
    return curves


def _estimates(scored: ScoredSet) -> str:
    rows = {}
    for title, found in scored.shown.items():
        sources: Iterable[tuple[str, Numbers]] = (("the model", found), *found["baselines"].items())
        held = {source: _estimate(values) for source, values in sources if values["auroc"] is not None}
        if held:
            rows[title] = held
    told = "; ".join(
        f"{title}: " + ", ".join(f"{source} {value.value:.3f}" for source, value in row.items())
        for title, row in rows.items()
    )
    return draw_estimates(f"{scored.name} estimates", rows, "AUROC", f"AUROC of {scored.name} by class. {told}.")


def _estimate(values: Numbers) -> Estimate:
    low, high = values.get("intervals", {}).get("auroc") or (None, None)
    return Estimate(values["auroc"], low, high)
