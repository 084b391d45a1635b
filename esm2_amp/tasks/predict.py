"""``esm2-amp predict``: a probability for every row of a pair list."""

from __future__ import annotations

import csv
import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
from omegaconf import DictConfig

from esm2_amp.errors import InputError
from esm2_amp.evaluation.metrics import metrics_by_class, pair_classes
from esm2_amp.features.store import FeatureStore
from esm2_amp.io.atomic import atomic_text, write_json
from esm2_amp.io.fasta import ProteinSet, read_fasta
from esm2_amp.io.pairs import iter_pairs
from esm2_amp.models.predictor import ScoredPair, TrainedModel, check_trained_with, needed_proteins
from esm2_amp.records import Protein
from esm2_amp.resources import resolve
from esm2_amp.tasks.config import EncoderConfig, PredictConfig, at_least, typed
from esm2_amp.tasks.console import log, progress, say, show_table, start_logging
from esm2_amp.tasks.embedding import (
    EncoderChoice,
    check_features,
    ensure_features,
    is_complete,
    pick_device,
    store_folder,
)

COLUMNS = ("protein_a", "protein_b", "probability", "status")
_NAMES = (".tsv", ".csv", ".tsv.gz", ".csv.gz")


@dataclass
class Tally:
    """What is kept of the rows that went by: counts, and of labelled ones label, probability and class."""

    rows: int = 0
    unscored: int = 0
    label: list[int] = field(default_factory=list)
    probability: list[float] = field(default_factory=list)
    classes: list[str] = field(default_factory=list)


def run(cfg: DictConfig) -> Path:
    """Score every row; returns the table written."""
    config = typed(PredictConfig, cfg)
    start_logging()
    at_least(batch_size=(config.batch_size, 1))
    check_features(config.features)
    pairs, fasta = resolve(config.pairs), resolve(config.fasta)
    output = _output(config.output, (pairs, fasta))
    model = TrainedModel(resolve(config.checkpoint))
    model.device = pick_device(config.features.device)
    seen = model.training_sequences()
    proteins = read_fasta(fasta)
    needed = needed_proteins(iter_pairs(pairs), proteins)
    store = _features(config, model, needed)
    with progress("scoring", "pairs") as (_, advance), atomic_text(output) as stream:
        scored = model.score_rows(iter_pairs(pairs), proteins, store, config.batch_size)
        tally = _write(scored, stream, output, proteins, seen, advance)
    _report(tally, output, model)
    return output


def _features(config: PredictConfig, model: TrainedModel, needed: list[Protein]) -> FeatureStore:
    """Features of the proteins, computed with the model's own encoder and policy where they are missing."""
    policy, identity = model.card.long_policy, model.card.identity
    features = config.features
    features.long, features.max_residues = policy.mode, policy.max_residues
    folder = store_folder(features, identity)
    given = config.encoder.path or config.encoder.hub
    if not given and is_complete(folder, needed):
        return FeatureStore(folder)  # the encoder need not even be there
    choice = EncoderChoice(config.encoder if given else EncoderConfig(**model.card.encoder_source), features)
    check_trained_with(identity, choice.identity)
    return ensure_features(needed, choice, folder)


def _output(output: str | None, inputs: Iterable[str]) -> Path:
    if output is None:
        return Path("predictions") / f"{time.strftime('%Y-%m-%d_%H-%M-%S')}.tsv"
    path = Path(output)
    if not output.endswith(_NAMES):
        raise InputError(f"output {output!r} is not a table", remedy=f"End its name in {', '.join(_NAMES)}.")
    if path.is_dir():
        raise InputError(f"output {output!r} is a folder", remedy="Name a file in it.")
    parent = next(folder for folder in path.parents if folder.exists())
    if not (parent.is_dir() and os.access(parent, os.W_OK)):
        raise InputError(f"output {output!r} cannot be made: {str(parent)!r} is no folder to write to")
    if any(path.exists() and Path(name).exists() and path.samefile(name) for name in inputs):
        raise InputError(f"output {output!r} is an input too", remedy="Name another file.")
    return path


def _write(
    scored: Iterator[ScoredPair],
    stream: IO[str],
    output: Path,
    proteins: ProteinSet,
    seen: frozenset[str],
    advance: Any,
) -> Tally:
    delimiter = "," if ".csv" in output.suffixes else "\t"
    writer = csv.writer(stream, delimiter=delimiter, lineterminator="\n")
    writer.writerow(COLUMNS)
    tally = Tally()
    for pair, probability, status in scored:
        writer.writerow((pair.a, pair.b, "" if probability is None else f"{probability:.6g}", status))
        tally.rows += 1
        advance(1)
        if probability is None:
            tally.unscored += 1
        elif pair.label is not None:
            tally.label.append(pair.label)
            tally.probability.append(probability)
            keys = [protein.key for name in (pair.a, pair.b) if (protein := proteins.get(name)) is not None]
            tally.classes.append(str(pair_classes(keys[:1], keys[1:], seen)[0]))
    return tally


def _report(tally: Tally, output: Path, model: TrainedModel) -> None:
    if model.card.training["simulated"]:
        log.warning("This model was trained on simulated proteins: its probabilities mean nothing for real ones.")
    elif (auroc := model.card.metrics.get("val", {}).get("all", {}).get("auroc")) is not None:
        log.info(
            "On its validation pairs this model reached an AUROC of %.3f; 0.5 is guessing, 1 is always right.", auroc
        )
    if tally.label:
        metrics = metrics_by_class(
            np.array(tally.label), np.array(tally.probability), np.array(tally.classes), model.card.threshold
        )
        stem = output.name.removesuffix(".gz").removesuffix(".tsv").removesuffix(".csv")
        file = output.with_name(f"{stem}.metrics.json")
        write_json(file, {"threshold": model.card.threshold, "unscored": tally.unscored, **metrics})
        keys = ("n", "auroc", "aupr", "mcc", "f1", "precision", "recall", "accuracy", "brier", "ece")
        rows = [[kind, *(_cell(values[key]) for key in keys)] for kind, values in metrics.items()]
        show_table(f"labelled pairs (metrics in {file})", ["class", *keys], rows)
    say(f"{tally.rows} rows written to {output}; {tally.unscored} could not be scored (see their status).")


def _cell(value: float | int | None) -> str:
    return "-" if value is None else str(value) if isinstance(value, int) else f"{value:.3f}"
