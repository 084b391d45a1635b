"""Measure a trained network on validation and test pairs, beside the baselines it must beat."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from esm2_amp.data.dataset import PairDataset
from esm2_amp.evaluation.baselines import degree_oracle_scores, degree_ratio_scores
from esm2_amp.evaluation.calibration import Calibration, fit_calibration
from esm2_amp.evaluation.figures import draw_curves, draw_history
from esm2_amp.evaluation.metrics import (
    best_threshold,
    calibration_metrics,
    metrics_by_class,
    pair_classes,
    ranking_metrics,
)
from esm2_amp.features.store import FeatureStore
from esm2_amp.io.resolve import PairTable
from esm2_amp.models.network import PairNetwork
from esm2_amp.models.predictor import score
from esm2_amp.tasks.console import progress, say, show_table
from esm2_amp.tasks.run_folder import write_table
from esm2_amp.tasks.training_data import TrainingData

CLASS_NAMES = {"all": "all", "C1": "C1, both seen", "C2": "C2, one seen", "C3": "C3, none seen"}


@dataclass(frozen=True, eq=False)
class Split:
    """One measured split: its pairs, their classes, the network's logits and the calibrated probabilities."""

    table: PairTable
    classes: NDArray[np.str_]
    logits: NDArray[np.float64]
    probability: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Measurement:
    """All numbers of a run: calibration and threshold (from validation), the splits, the metrics as they go to JSON.

    ``fallback`` says why there is no calibration where one was asked for.
    """

    calibration: Calibration
    fallback: str | None
    threshold: float
    splits: dict[str, Split]
    metrics: dict[str, Any]


def measure(
    network: PairNetwork, store: FeatureStore, data: TrainingData, batch_size: int, calibration: str
) -> Measurement:
    """Score validation and test pairs once; calibrate on validation, then choose the best threshold by MCC there."""
    tables = {name: table for name, table in data.tables().items() if name != "train"}
    logits = {name: _score(network, store, table, batch_size, name) for name, table in tables.items()}
    fitted, fallback = fit_calibration(calibration, logits["val"], tables["val"].label)
    seen = {protein.key for protein in data.train.proteins}
    splits = {}
    for name, table in tables.items():
        keys = np.array([protein.key for protein in table.proteins])
        classes = pair_classes(keys[table.a], keys[table.b], seen)
        splits[name] = Split(table, classes, logits[name], fitted.apply(logits[name]))
    threshold = best_threshold(tables["val"].label, splits["val"].probability)
    metrics: dict[str, Any] = {"threshold": threshold}
    for name, split in splits.items():
        metrics[name] = metrics_by_class(split.table.label, split.probability, split.classes, threshold)
    metrics["calibration"] = fitted.to_dict() | {name: _before_and_after(split) for name, split in splits.items()}
    metrics["baselines"] = {name: _baselines(data.train, split) for name, split in splits.items()}
    return Measurement(fitted, fallback, threshold, splits, metrics)


def _before_and_after(split: Split) -> dict[str, Any]:
    """Brier score and calibration error of the network's own probabilities and of the calibrated ones."""
    own = Calibration("none").apply(split.logits)
    both = {"before": own, "after": split.probability}
    return {when: calibration_metrics(split.table.label, probability) for when, probability in both.items()}


def _score(
    network: PairNetwork, store: FeatureStore, table: PairTable, batch_size: int, name: str
) -> NDArray[np.float64]:
    rows = store.find([protein.key for protein in table.proteins])
    dataset = PairDataset(store, network.layout, rows[table.a], rows[table.b], table.label)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with progress(f"scoring {name}", "pairs") as (begin, advance):
        begin(len(dataset))
        return score(network, dataset, max(batch_size, 256), device, advance)


def _baselines(train: PairTable, split: Split) -> dict[str, dict[str, Any]]:
    """AUROC and AUPR of the degree baselines, per class."""
    number: dict[str, int] = {}
    for table in (train, split.table):
        for protein in table.proteins:
            number.setdefault(protein.key, len(number))
    to = {id(table): np.array([number[p.key] for p in table.proteins]) for table in (train, split.table)}
    t, s = to[id(train)], to[id(split.table)]
    a, b = s[split.table.a], s[split.table.b]
    scores = {
        "degree in training": degree_ratio_scores(t[train.a], t[train.b], train.label, a, b, len(number)),
        "degree oracle": degree_oracle_scores(a, b, split.table.label, len(number)),
    }
    found: dict[str, dict[str, Any]] = {}
    for name, values in scores.items():
        found[name] = {"all": ranking_metrics(split.table.label, values)}
        for kind in np.unique(split.classes):
            here = split.classes == kind
            found[name][str(kind)] = ranking_metrics(split.table.label[here], values[here])
    return found


def show_measurement(result: Measurement, data: TrainingData) -> None:
    """Print the table: every split and class, baselines beside the model."""
    columns = ["", "pairs", "AUROC", "AUPR", "MCC", "F1", "Brier", "ECE"]
    keys = ["n", "auroc", "aupr", "mcc", "f1", "brier", "ece"]
    rows = []
    for split in result.splits:
        for kind, metrics in result.metrics[split].items():
            rows.append([f"{split} {CLASS_NAMES[kind]}", *(_number(metrics[key]) for key in keys)])
            for name, per_class in result.metrics["baselines"][split].items():
                values = per_class[kind]
                rows.append([f"  {name}", "", _number(values["auroc"]), _number(values["aupr"]), *[""] * 4])
    show_table(f"{data.name}{' (simulated data)' if data.simulated else ''}", columns, rows)
    say(_calibration_sentence(result))
    say(
        f"MCC and F1 at the threshold {result.threshold:.3f}, chosen on validation; more in metrics.json.\n"
        "'degree in training' knows only how often a protein was seen interacting; 'degree oracle' reads the other\n"
        "labels of the same set: no model, but what the set gives away. A result worth its name stands clear of both."
    )


def _calibration_sentence(result: Measurement) -> str:
    if result.calibration.method == "none":
        return "Probabilities are the network's own: no calibration."
    told = result.metrics["calibration"]
    errors = ", ".join(f"{n} {told[n]['before']['ece']:.3f} -> {told[n]['after']['ece']:.3f}" for n in result.splits)
    return f"Probabilities are calibrated ({result.calibration.method}, fitted on validation); ECE by it: {errors}."


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return str(value) if isinstance(value, int) else f"{value:.3f}"


def write_measurement(folder: Path, result: Measurement, history: list[dict[str, float]]) -> None:
    """``predictions/*.tsv``, ``metrics.csv`` and ``figures/*.png``."""
    flat = []
    for name, split in result.splits.items():
        ids = [protein.id for protein in split.table.proteins]
        rows = zip(split.table.a, split.table.b, split.table.label, split.probability, split.classes, strict=True)
        write_table(
            folder / "predictions" / f"{name}.tsv",
            ["protein_a", "protein_b", "label", "probability", "class"],
            [[ids[a], ids[b], int(label), f"{p:.6g}", kind] for a, b, label, p, kind in rows],
        )
        for kind, metrics in result.metrics[name].items():
            flat += [[name, kind, key, value] for key, value in metrics.items()]
    write_table(folder / "metrics.csv", ["split", "class", "metric", "value"], flat)
    (folder / "figures").mkdir(exist_ok=True)
    draw_history(history, folder / "figures" / "history.png")
    last = list(result.splits)[-1]
    curves = {f"{last} all": result.splits[last]}
    draw_curves({k: (s.table.label, s.probability) for k, s in curves.items()}, folder / "figures" / "curves.png")
