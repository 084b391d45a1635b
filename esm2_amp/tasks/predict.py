"""``esm2-amp predict``: a probability for every row of a pair list."""

from __future__ import annotations

import csv
import time
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import chain
from pathlib import Path
from typing import IO, Any

from omegaconf import DictConfig

from esm2_amp import __version__
from esm2_amp.errors import InputError
from esm2_amp.evaluation.page import Page
from esm2_amp.evaluation.page_parts import ScoredSet
from esm2_amp.features.store import FeatureStore
from esm2_amp.io.atomic import atomic_text, write_json
from esm2_amp.io.fasta import ProteinSet, read_fasta
from esm2_amp.io.pairs import counted, iter_pairs
from esm2_amp.io.resolve import PairTable
from esm2_amp.io.scores import ScoreCollector, ScoredRow
from esm2_amp.models.checkpoint import ModelCard
from esm2_amp.models.predictor import ScoredPair, TrainedModel, needed_proteins
from esm2_amp.resources import resolve
from esm2_amp.tasks.config import PredictConfig
from esm2_amp.tasks.console import log, progress, say, start_logging
from esm2_amp.tasks.controls import CONTROLS, banner_of
from esm2_amp.tasks.embedding import check_features, model_features, pick_device
from esm2_amp.tasks.options import at_least, typed
from esm2_amp.tasks.output_files import TABLES, output_file
from esm2_amp.tasks.reporting import (
    mean_vectors,
    measured,
    model_provenance,
    own_provenance,
    plain_metrics,
    show_sets,
    write_page,
)
from esm2_amp.tasks.scored_pairs import beside_training, identity_of, read_training_pairs, row_notes
from esm2_amp.tasks.training_data import file_hash
from esm2_amp.tasks.training_source import AUTO, find_training_files, read_training_table

COLUMNS = ("protein_a", "protein_b", "probability", "status")


def run(cfg: DictConfig) -> Path:
    """Score every row; returns the table written."""
    config = typed(PredictConfig, cfg)
    start_logging()
    at_least(batch_size=(config.batch_size, 1), evidence=(config.evidence, 0))
    check_features(config.features)
    config.report.resampling(None)
    pairs, fasta = resolve(config.pairs), resolve(config.fasta)
    output = _output(config.output, (pairs, fasta))
    model = TrainedModel(resolve(config.checkpoint))
    model.device = pick_device(config.features.device)
    model.training_sequences()  # read before any work
    proteins = read_fasta(fasta)
    needed = needed_proteins(iter_pairs(pairs), proteins)
    train = None
    if config.train_pairs is not None:
        file = resolve(config.train_pairs)
        train = read_training_pairs(file, identity_of(proteins))
        needed = needed_proteins(chain(iter_pairs(pairs), iter_pairs(file)), proteins)
    training = _training(config, model, fasta) if config.evidence else None
    if training is not None:
        needed = list({protein.key: protein for protein in (*needed, *training.proteins)}.values())
    store = model_features(model, config.encoder, config.features, needed)
    with progress("scoring", "pairs") as (_, advance), atomic_text(output) as stream:
        scored = model.score_rows(iter_pairs(pairs), proteins, store, config.batch_size)
        kept, unscored = _write(scored, stream, output, proteins, advance)
    _tell(model)
    if training is not None:
        _write_evidence(config, training, store, proteins, output)
    labelled, name = kept.pairs("drop", pairs), Path(config.pairs).name
    if labelled.counts["without_label"] < labelled.counts["rows"]:
        for note in row_notes(name, labelled.counts):
            log.info("%s", note)
    if len(labelled):
        seen = {"protein": model.training_sequences()}
        measurable, known = beside_training(name, labelled, train, seen, partial(mean_vectors, store))
        found = measured(measurable, known, model.card.threshold, config.report)
        _write_report(found, labelled.counts, unscored, output, model.card, config)
    say(f"{labelled.counts['rows']} rows written to {output}; {unscored} could not be scored (see their status).")
    return output


def _training(config: PredictConfig, model: TrainedModel, fasta: str) -> PairTable:
    """The training pairs that evidence is taken from."""
    given = AUTO if config.train_pairs is None else config.train_pairs
    files = find_training_files(given, fasta, model.folder, model.card)
    if files is None:
        raise InputError(
            f"evidence={config.evidence} needs the pairs that the model was trained on, which are not where they were",
            remedy="Give train_pairs=FILE, with their sequences in fasta.",
        )
    return read_training_table(files)


def _write_evidence(
    config: PredictConfig, training: PairTable, store: FeatureStore, proteins: ProteinSet, output: Path
) -> None:
    """``STEM.evidence.tsv`` beside the output, and a warning where training has seen nothing like a pair."""
    from esm2_amp.tasks.training_evidence import TrainingEvidence, write_evidence  # numba takes a second

    file = output.with_name(f"{_stem(output)}.evidence.tsv")
    evidence = TrainingEvidence.of(store, training, config.evidence)
    with progress("evidence", "pairs") as (_, advance):
        distant = write_evidence(file, iter_pairs(resolve(config.pairs)), proteins, evidence, advance)
    say(f"The nearest training pairs of each pair: {file}")
    if distant:
        log.warning("%s: both proteins far from all of training; their scores are guesses.", counted(distant, "pair"))


def _stem(output: Path) -> str:
    return output.name.removesuffix(".gz").removesuffix(".tsv").removesuffix(".csv")


def _output(output: str | None, inputs: Iterable[str]) -> Path:
    if output is None:
        return Path("predictions") / f"{time.strftime('%Y-%m-%d_%H-%M-%S')}.tsv"
    return output_file(output, "output", "a table", TABLES, inputs)


def _write(
    scored: Iterator[ScoredPair], stream: IO[str], output: Path, proteins: ProteinSet, advance: Any
) -> tuple[ScoreCollector, int]:
    """Write every row; keeps the labelled ones by sequence, and counts those that could not be scored."""
    delimiter = "," if ".csv" in output.suffixes else "\t"
    writer = csv.writer(stream, delimiter=delimiter, lineterminator="\n")
    writer.writerow(COLUMNS)
    kept, unscored, identity = ScoreCollector(), 0, identity_of(proteins)
    for pair, probability, status in scored:
        writer.writerow((pair.a, pair.b, "" if probability is None else f"{probability:.6g}", status))
        advance(1)
        unscored += probability is None
        names = (pair.a, pair.b) if pair.label is None else (identity(pair.a), identity(pair.b))
        kept.add(ScoredRow(*names, pair.label, probability, pair.line))
    return kept, unscored


def _tell(model: TrainedModel) -> None:
    """What to think of this model's probabilities."""
    if control := model.card.training.get("control"):
        log.warning("This model is a control, trained on %s: its probabilities mean nothing.", CONTROLS[control])
    if model.card.training["simulated"]:
        log.warning("This model was trained on simulated proteins: its probabilities mean nothing for real ones.")
    elif (auroc := model.card.metrics.get("val", {}).get("all", {}).get("auroc")) is not None:
        log.info(
            "On its validation pairs this model reached an AUROC of %.3f; 0.5 is guessing, 1 is always right.", auroc
        )


def _write_report(
    found: ScoredSet, counts: dict[str, int], unscored: int, output: Path, card: ModelCard, config: PredictConfig
) -> None:
    """``STEM.metrics.json`` and ``STEM.report.html`` beside the output, and the table."""
    stem = _stem(output)
    file, page = output.with_name(f"{stem}.metrics.json"), output.with_name(f"{stem}.report.html")
    about = {"threshold": card.threshold, "unscored": unscored, "rows": counts}
    by_class = {name: plain_metrics(numbers) for name, numbers in found.numbers.items()}
    write_json(file, {**about, **by_class, "evaluation": found.summary})
    write_page(page, _page(found, counts, card, config))
    show_sets(f"labelled pairs (metrics in {file}, report in {page})", [found])


def _page(found: ScoredSet, counts: dict[str, int], card: ModelCard, config: PredictConfig) -> Page:
    where = [("pairs", f"{config.pairs}, SHA-256 {file_hash(resolve(config.pairs))}"), ("model", config.checkpoint)]
    where += [("sequences", f"{config.fasta}, SHA-256 {file_hash(resolve(config.fasta))}")]
    method = card.calibration["method"]
    return Page(
        title=f"{card.network} of {card.training['name']} on {found.name}",
        subtitle=f"a trained model's probabilities of {counts['measured']:,} labelled pairs",
        banner=banner_of(card.training),
        sets=[found],
        threshold=card.threshold,
        threshold_from="Chosen in training: the highest Matthews correlation on the validation pairs.",
        calibration="No calibration."
        if method == "none"
        else f"Calibrated in training ({method}) on validation pairs.",
        notes=row_notes(found.name, counts),
        provenance=[*where, *model_provenance(card), *own_provenance(config.report)],
        version=__version__,
    )
