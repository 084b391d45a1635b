"""The tables of the page: numbers and their intervals as text, in rows and columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

Numbers = Mapping[str, Any]
"""What :func:`esm2_amp.evaluation.summary.summarise` says of one class."""
Cell = tuple[str, str]
"""A value, and what stands small beneath it."""
Table = dict[str, Any]
"""``head``, and ``rows`` with ``name``, ``note`` and ``cells``."""

CLASS_NAMES = {"all": "all pairs", "C1": "C1, both seen", "C2": "C2, one seen", "C3": "C3, none seen"}
METRIC_NAMES = {
    "auroc": "AUROC",
    "aupr": "AUPR",
    "mcc": "MCC",
    "f1": "F1",
    "precision": "precision",
    "recall": "recall",
    "accuracy": "accuracy",
    "brier": "Brier score",
    "ece": "ECE",
    "ap_1_10": "AUPR at 1:10",
    "ap_1_100": "AUPR at 1:100",
    "precision_top_1": "precision, top 1 %",
    "precision_top_5": "precision, top 5 %",
    "precision_top_10": "precision, top 10 %",
}


def number(value: float | int | None) -> str:
    """Three decimals, a count with its thousands apart, or a dash."""
    if value is None:
        return "–"
    return f"{value:,}" if isinstance(value, int) else f"{value:.3f}"


def interval(found: Numbers, metric: str) -> str:
    """Lower and upper bound, or nothing."""
    bounds = found.get("intervals", {}).get(metric)
    return "" if bounds is None else f"{bounds[0]:.3f} to {bounds[1]:.3f}"


def estimate(found: Numbers, metric: str) -> Cell:
    """A metric over its interval."""
    return number(found[metric]), interval(found, metric)


def table(head: Sequence[str], rows: Sequence[tuple[str, str, Sequence[Cell]]]) -> Table:
    """A table as the template reads it; a row is its name, a note beneath the name, and cells."""
    return {
        "head": list(head),
        "rows": [
            {"name": name, "note": note, "cells": [{"value": value, "note": small} for value, small in cells]}
            for name, note, cells in rows
        ],
    }


def metrics_table(classes: Mapping[str, Numbers]) -> Table:
    """Every number of every class, which is named by its title: a metric a row, a class a column."""
    rows: list[tuple[str, str, Sequence[Cell]]] = []

    def add(name: str, note: str, cell: Callable[[Numbers], Cell]) -> None:
        rows.append((name, note, [cell(found) for found in classes.values()]))

    add("pairs", "interacting", lambda found: (number(found["n"]), number(found["n_positive"])))
    for metric, name in METRIC_NAMES.items():
        rows.append((name, "", [estimate(found, metric) for found in classes.values()]))
    add("AUROC within a protein", "mean over proteins", _per_protein)
    return table(["", *classes], rows)


def baselines_table(classes: Mapping[str, Numbers], metric: str) -> Table:
    """One metric of the model and of each baseline: a class a column."""
    rows: list[tuple[str, str, Sequence[Cell]]] = [
        ("the model", "", [estimate(found, metric) for found in classes.values()])
    ]
    for name in next(iter(classes.values()))["baselines"]:
        rows.append((name, "", [estimate(found["baselines"][name], metric) for found in classes.values()]))
    return table([METRIC_NAMES[metric], *classes], rows)


def calibration_table(before: Numbers | None, after: Numbers) -> Table:
    """Brier score and calibration error, before calibration (None: there was none) and of the probabilities in use."""
    rows = [("before calibration", before)] if before is not None else []
    rows += [("the probabilities in use", after)]
    return table(
        ["", "ECE", "Brier score"],
        [(name, "", [estimate(found, "ece"), estimate(found, "brier")]) for name, found in rows],
    )


def seeds_table(files: Sequence[Mapping[str, Any]], means: Numbers) -> Table:
    """Each seed's metrics, then their mean with its interval; ``files`` have ``name`` and ``metrics``."""
    metrics = ("auroc", "aupr", "mcc", "f1", "brier", "ece")
    rows: list[tuple[str, str, Sequence[Cell]]] = [
        (file["name"], "", [(number(file["metrics"][metric]), "") for metric in metrics]) for file in files
    ]
    rows.append(("mean", "", [estimate(means, metric) for metric in metrics]))
    return table(["", *(METRIC_NAMES[metric] for metric in metrics)], rows)


def differences_table(differences: Mapping[str, Mapping[str, Any]]) -> Table:
    """Two models beside each other, and how much better the first is; by metric ``first``, ``second``, ..."""
    rows = [
        (METRIC_NAMES[metric], "", [(number(found["first"]), ""), (number(found["second"]), ""), _difference(found)])
        for metric, found in differences.items()
    ]
    return table(["", "these scores", "the others", "difference"], rows)


def seeds_sentence(count: int, means: Numbers, differences: Mapping[str, Mapping[str, Any]] | None) -> str:
    """The mean AUROC over ``count`` tables, and how far it lies from the other model's."""
    value, bounds = estimate(means, "auroc")
    over = f"over {count} seeds the mean AUROC is" if count > 1 else "the AUROC is"
    text = f"{over[0].upper()}{over[1:]} {value}" + (f" ({bounds})" if bounds else "")
    if differences is None:
        return f"{text}."
    difference, bounds = _difference(differences["auroc"])
    return f"{text}; less that of the others: {difference}" + (f" ({bounds})." if bounds else ".")


def _difference(found: Mapping[str, Any]) -> Cell:
    if found["difference"] is None:
        return "–", ""
    bounds = found["interval"]
    return f"{found['difference']:+.3f}", "" if bounds is None else f"{bounds[0]:+.3f} to {bounds[1]:+.3f}"


def _per_protein(found: Numbers) -> Cell:
    mean = found["per_protein"]
    return number(mean["auroc"]), f"{number(mean['proteins'])} proteins"


def shuffle_table(model: Numbers, shuffled: Numbers) -> Table:
    """The model on the pairs as they are and on the same with shuffled partners."""
    rows = [("the pairs as they are", model), ("with shuffled partners", shuffled)]
    return table(
        ["", "AUROC", "AUPR"], [(name, "", [estimate(found, "auroc"), estimate(found, "aupr")]) for name, found in rows]
    )
