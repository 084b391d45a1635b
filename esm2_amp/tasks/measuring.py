"""Measure a trained network on validation and test pairs, beside the baselines it must beat."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from esm2_amp import __version__
from esm2_amp.data.dataset import PairDataset
from esm2_amp.evaluation.calibration import Calibration, fit_calibration
from esm2_amp.evaluation.leaks import Audit
from esm2_amp.evaluation.metrics import (
    best_threshold,
    calibration_metrics,
    pair_classes,
    ranking_metrics,
)
from esm2_amp.evaluation.operating import operating_curve
from esm2_amp.evaluation.page import Page
from esm2_amp.evaluation.page_parts import ScoredSet
from esm2_amp.evaluation.shuffles import shuffled_partners
from esm2_amp.features.store import FeatureStore
from esm2_amp.io.resolve import PairTable
from esm2_amp.models.checkpoint import ModelCard
from esm2_amp.models.network import PairNetwork
from esm2_amp.models.novelty import TrainingDistances, distances
from esm2_amp.models.predictor import score
from esm2_amp.tasks.config import TrainConfig
from esm2_amp.tasks.console import progress, say
from esm2_amp.tasks.controls import banner_of
from esm2_amp.tasks.reporting import (
    Known,
    Pairs,
    Scored,
    mean_vectors,
    measured,
    model_provenance,
    own_provenance,
    plain_metrics,
    show_sets,
    write_page,
)
from esm2_amp.tasks.run_folder import write_table
from esm2_amp.tasks.training_data import TrainingData

_NOTES = {
    "val": "Calibration, threshold and the epoch to keep were chosen on these pairs: their numbers flatter the model.",
    "test": "Nothing was chosen on these pairs.",
}


@dataclass(frozen=True, eq=False)
class Split:
    """One measured split: its pairs, the network's logits, and everything measured of the calibrated probabilities."""

    table: PairTable
    logits: NDArray[np.float64]
    classes: NDArray[np.str_]
    scored: ScoredSet


@dataclass(frozen=True, eq=False)
class Measurement:
    """All numbers of a run: calibration and threshold (from validation), the splits, the metrics as they go to
    JSON, and the audit of the data.

    ``fallback`` says why there is no calibration where one was asked for.
    """

    calibration: Calibration
    fallback: str | None
    threshold: float
    splits: dict[str, Split]
    metrics: dict[str, Any]
    audit: Audit

    @property
    def brief(self) -> dict[str, Any]:
        """The metrics without intervals and what else makes them long: for the model's card."""
        return {name: value for name, value in self.metrics.items() if name != "evaluation"}


def measure(network: PairNetwork, store: FeatureStore, data: TrainingData, config: TrainConfig) -> Measurement:
    """Score validation and test pairs once; calibrate on validation, then choose the best threshold by MCC there."""
    tables = {name: table for name, table in data.tables().items() if name != "train"}
    logits = {name: _score(network, store, table, config.batch_size, name) for name, table in tables.items()}
    fitted, fallback = fit_calibration(config.calibration, logits["val"], tables["val"].label)
    probability = {name: fitted.apply(values) for name, values in logits.items()}
    threshold = best_threshold(tables["val"].label, probability["val"])
    numbers, proteins = _known(data, store)
    seen = frozenset(protein.key for protein in data.train.proteins)
    splits = {}
    for name, table in tables.items():
        keys = np.array([protein.key for protein in table.proteins])
        groups = {"protein": pair_classes(keys[table.a], keys[table.b], seen)}
        if (by_cluster := data.audit.cluster_classes(name)) is not None:
            groups["cluster"] = by_cluster
        before = None if fitted.method == "none" else Calibration("none").apply(logits[name])
        scored = Scored(name, _pairs(table, numbers), probability[name], before, groups, _NOTES[name])
        splits[name] = Split(
            table, logits[name], groups["protein"], measured(scored, proteins, threshold, config.report)
        )
    metrics = {"threshold": threshold} | _as_json(splits, fitted) | _for_screening(network, store, data, splits["val"])
    if config.partner_shuffle:
        name = list(tables)[-1]
        metrics["partner_shuffle"] = {name: _partner_shuffle(network, store, tables[name], config)}
    return Measurement(fitted, fallback, threshold, splits, metrics, data.audit)


def _known(data: TrainingData, store: FeatureStore) -> tuple[dict[str, int], Known]:
    """A number for each sequence of any split, and what the baselines know of them."""
    numbers: dict[str, int] = {}
    for protein in data.proteins:
        numbers.setdefault(protein.key, len(numbers))
    return numbers, Known(len(numbers), _pairs(data.train, numbers), mean_vectors(store, list(numbers)))


def _pairs(table: PairTable, numbers: dict[str, int]) -> Pairs:
    to = np.array([numbers[protein.key] for protein in table.proteins])
    return Pairs(to[table.a], to[table.b], table.label.astype(np.int64))


def _as_json(splits: dict[str, Split], fitted: Calibration) -> dict[str, Any]:
    """Metrics by split and class, calibration before and after, the baselines' ranking, and the whole evaluation."""
    found: dict[str, Any] = {}
    calibration: dict[str, Any] = fitted.to_dict()
    baselines: dict[str, Any] = {}
    for name, split in splits.items():
        label, scored = split.table.label, split.scored
        found[name] = {kind: plain_metrics(numbers) for kind, numbers in scored.numbers.items()}
        both = {"before": Calibration("none").apply(split.logits), "after": scored.probability}
        calibration[name] = {when: calibration_metrics(label, values) for when, values in both.items()}
        baselines[name] = {
            baseline: {
                kind: {metric: numbers["baselines"][baseline][metric] for metric in ("auroc", "aupr")}
                for kind, numbers in scored.numbers.items()
            }
            for baseline in scored.baselines
        }
    evaluation = {name: split.scored.summary for name, split in splits.items()}
    return {**found, "calibration": calibration, "baselines": baselines, "evaluation": evaluation}


def _for_screening(network: PairNetwork, store: FeatureStore, data: TrainingData, val: Split) -> dict[str, Any]:
    """What tells the worth of a score where interactions are rare, and proteins that are unlike the training ones."""
    curve = operating_curve("val", val.table.label, val.logits)
    rows = store.find(sorted({protein.key for protein in data.train.proteins}))
    known = TrainingDistances.of(distances(network, store, rows))
    return {"operating": None if curve is None else curve.to_dict(), "distance": known._asdict()}


def _partner_shuffle(
    network: PairNetwork, store: FeatureStore, table: PairTable, config: TrainConfig
) -> dict[str, float | int | None]:
    """Ranking of the same network on the same pairs with each second protein exchanged for one of similar degree."""
    n_proteins = len(table.proteins)
    degrees = np.bincount(table.a, minlength=n_proteins) + np.bincount(table.b, minlength=n_proteins)
    b = shuffled_partners(table.a, table.b, n_proteins, degrees, config.report.seed).astype(table.b.dtype)
    logits = _score(network, store, replace(table, b=b), config.batch_size, "shuffled partners")
    return ranking_metrics(table.label, logits)


def _score(
    network: PairNetwork, store: FeatureStore, table: PairTable, batch_size: int, name: str
) -> NDArray[np.float64]:
    rows = store.find([protein.key for protein in table.proteins])
    dataset = PairDataset(store, network.layout, rows[table.a], rows[table.b], table.label)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with progress(f"scoring {name}", "pairs") as (begin, advance):
        begin(len(dataset))
        return score(network, dataset, max(batch_size, 256), device, advance)


def show_measurement(result: Measurement, data: TrainingData) -> None:
    """Print the table: every split and class, the best baseline beside the model."""
    show_sets(
        f"{data.name}{' (simulated data)' if data.simulated else ''}",
        [split.scored for split in result.splits.values()],
    )
    say(_calibration_sentence(result))
    say(f"MCC and F1 at the threshold {result.threshold:.3f}, chosen on validation; more in report.html, metrics.json.")


def _calibration_sentence(result: Measurement) -> str:
    if result.calibration.method == "none":
        return "Probabilities are the network's own: no calibration."
    told = result.metrics["calibration"]
    errors = ", ".join(f"{n} {told[n]['before']['ece']:.3f} -> {told[n]['after']['ece']:.3f}" for n in result.splits)
    return f"Probabilities are calibrated ({result.calibration.method}, fitted on validation); ECE by it: {errors}."


def write_measurement(folder: Path, result: Measurement) -> None:
    """``predictions/*.tsv`` and ``metrics.csv``."""
    flat = []
    for name, split in result.splits.items():
        ids = [protein.id for protein in split.table.proteins]
        rows = zip(
            split.table.a, split.table.b, split.table.label, split.scored.probability, split.classes, strict=True
        )
        write_table(
            folder / "predictions" / f"{name}.tsv",
            ["protein_a", "protein_b", "label", "probability", "class"],
            [[ids[a], ids[b], int(label), f"{p:.6g}", kind] for a, b, label, p, kind in rows],
        )
        for kind, metrics in result.metrics[name].items():
            flat += [[name, kind, key, value] for key, value in metrics.items()]
    write_table(folder / "metrics.csv", ["split", "class", "metric", "value"], flat)


def write_report(
    folder: Path, result: Measurement, card: ModelCard, history: list[dict[str, float]], config: TrainConfig
) -> None:
    """``report.html``: the last split first, then validation."""
    training = card.training
    write_page(
        folder / "report.html",
        Page(
            title=f"{card.network} on {training['name']}",
            subtitle=f"{folder.name}, seed {training['seed']}, {training['epochs']} epochs",
            banner=banner_of(training),
            sets=[split.scored for split in reversed(result.splits.values())],
            threshold=result.threshold,
            threshold_from="The highest Matthews correlation on the validation pairs.",
            calibration=_calibration_sentence(result),
            shuffled=next(iter(result.metrics.get("partner_shuffle", {}).values()), None),
            findings=[finding.to_dict() for finding in result.audit.findings],
            history=history,
            provenance=[("run", str(folder)), *model_provenance(card), *own_provenance(config.report)],
            version=__version__,
        ),
    )
