"""``esm2-amp evaluate``: scored pairs with labels in, every number and one page out."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from omegaconf import DictConfig

from esm2_amp import __version__
from esm2_amp.data.findings import AuditSplit, Numbered, Role
from esm2_amp.errors import InputError
from esm2_amp.evaluation.calibration import METHODS
from esm2_amp.evaluation.leaks import Audit, audit
from esm2_amp.evaluation.metrics import calibration_metrics
from esm2_amp.evaluation.page import Page, Seeds
from esm2_amp.evaluation.page_parts import ScoredSet
from esm2_amp.evaluation.weighted import METRICS
from esm2_amp.features.store import FeatureStore
from esm2_amp.io.atomic import atomic_path, write_json
from esm2_amp.io.fasta import ProteinSet, read_fasta
from esm2_amp.io.pairs import counted, iter_pairs
from esm2_amp.io.resolve import resolve_pairs
from esm2_amp.io.scores import ScoredPairs, read_scores
from esm2_amp.resources import resolve
from esm2_amp.tasks.audit import audit_rules, homology_within_reason, new_folder
from esm2_amp.tasks.config import EvaluateConfig
from esm2_amp.tasks.console import log, say, start_logging
from esm2_amp.tasks.options import several, typed
from esm2_amp.tasks.reporting import is_key, mean_vectors, measured, own_provenance, show_sets, write_page
from esm2_amp.tasks.score_tables import Run, Setting, compare, read_runs
from esm2_amp.tasks.scored_pairs import (
    TrainingPairs,
    beside_training,
    identity_of,
    near_training,
    read_training_pairs,
    shared_with_training,
)
from esm2_amp.tasks.training_data import file_hash


def run(cfg: DictConfig) -> Path:
    """Measure; returns the folder written."""
    config = typed(EvaluateConfig, cfg)
    start_logging()
    scores, against = _files(config.scores), _files(config.against)
    _check(config, scores, against)
    output = new_folder(config.output or f"evaluations/{time.strftime('%Y-%m-%d_%H-%M-%S')}")
    proteins = None if config.fasta is None else read_fasta(resolve(config.fasta))
    identity = identity_of(proteins)
    pairs = read_scores(scores[0], identity)
    train = None if config.train_pairs is None else read_training_pairs(resolve(config.train_pairs), identity)
    setting = Setting(config.calibration, config.threshold, identity)
    runs = read_runs(scores, _files(config.val_scores), pairs, setting)
    others = read_runs(against, _files(config.against_val), pairs, setting)
    audited = _audit(config, scores[0], proteins)
    seen = {} if train is None else {"protein": frozenset(train.proteins)}
    if audited is not None and (near := near_training(audited)) is not None:
        seen["cluster"] = near
    vectors = partial(_vectors, config.store)
    scored, known = beside_training(Path(scores[0]).name, pairs, train, seen, vectors)
    first = runs[0]
    before = None if first.calibration.method == "none" else first.before
    scored = scored._replace(probability=first.probability, before=before)
    found = measured(scored, known, first.threshold, config.report)
    seeds = compare(scored.pairs, runs, others, known.n_proteins, config.report)
    page = _page(found, pairs, _findings(audited, pairs, train), [*runs, *others], seeds, config)
    with atomic_path(output) as folder:
        folder.mkdir()
        write_json(folder / "metrics.json", _as_json(found, pairs, runs, seeds))
        write_page(folder / "report.html", page)
    show_sets(page.title, [found])
    blocking = [finding["sentence"] for finding in page.findings or () if finding["severity"] == "block"]
    for note in (*page.notes, *blocking):
        log.warning(note)
    if seeds is not None:
        say(seeds.sentence)
    say(f"{page.threshold_from}\nReport: {output / 'report.html'}")
    return output


def _check(config: EvaluateConfig, scores: Sequence[str], against: Sequence[str]) -> None:
    config.report.resampling(None)
    if not scores:
        raise InputError("scores names no table", remedy="Give scores=FILE.")
    if config.threshold is not None and not 0 <= config.threshold <= 1:
        raise InputError(f"threshold is {config.threshold}", remedy="Give a probability from 0 to 1.")
    if config.calibration not in METHODS:
        raise InputError(f"calibration is {config.calibration!r}", remedy=f"Use {', '.join(METHODS)}.")
    if config.calibration != "none" and config.val_scores is None:
        raise InputError(
            f"calibration={config.calibration} needs val_scores",
            remedy="Give the scores of validation pairs: fitted on the pairs it is measured on it would mean nothing.",
        )
    for name, files in (("val_scores", config.val_scores), ("against", config.against)):
        if files is not None and len(_files(files)) != len(scores):
            raise InputError(
                f"{name} has {counted(len(_files(files)), 'table')}, scores has {len(scores)}",
                remedy="Give as many, in the same order.",
            )
    validated = (config.val_scores is not None and against, config.against_val is not None)
    if bool(validated[0]) != validated[1] or len(_files(config.against_val)) not in (0, len(scores)):
        raise InputError("against_val and val_scores go together", remedy="Give validation scores of both models.")
    if against and not config.report.resamples:
        raise InputError("against needs report.resamples", remedy="Give 1 or more.")
    if config.store is not None and (config.fasta is None or config.train_pairs is None):
        raise InputError("store needs fasta and train_pairs", remedy="Features belong to sequences; give all three.")


def _files(value: Any) -> list[str]:
    return [resolve(file) for file in several(value)]


def _vectors(store: str | None, names: Sequence[str]) -> NDArray[np.float32] | None:
    """Mean tokens of all proteins, where a store is given.

    Raises:
        InputError: the store lacks one.
    """
    if store is None:
        return None
    vectors = mean_vectors(FeatureStore(store), names)
    if vectors is None:
        raise InputError(
            "the store does not hold every protein, or fasta has no sequence for one",
            file=store,
            remedy="Extract all sequences of scores and train_pairs, or leave store out.",
        )
    return vectors


def _as_json(found: ScoredSet, pairs: ScoredPairs, runs: Sequence[Run], seeds: Seeds | None) -> dict[str, Any]:
    """Of all pairs first, as means over the tables where there are several; then everything else."""
    whole = found.numbers["all"]
    top = {name: whole[name] for name in METRICS} if seeds is None else {name: seeds.means[name] for name in METRICS}
    tables = [{"file": run.file, "threshold": run.threshold, "calibration": run.calibration.to_dict()} for run in runs]
    more: dict[str, Any] = {"n": whole["n"], "n_positive": whole["n_positive"], "threshold": runs[0].threshold}
    more |= {"tables": tables, "rows": pairs.counts, "evaluation": found.summary}
    if runs[0].calibration.method != "none":
        more["before_calibration"] = calibration_metrics(found.label, runs[0].before)
    return {**top, **more, "seeds": None if seeds is None else asdict(seeds)}


def _page(
    found: ScoredSet,
    pairs: ScoredPairs,
    findings: Sequence[dict[str, Any]] | None,
    runs: Sequence[Run],
    seeds: Seeds | None,
    config: EvaluateConfig,
) -> Page:
    first, tables = runs[0], len(_files(config.scores))
    more = f" and {tables - 1} more" if tables > 1 else ""
    notes = [note for run in runs for note in run.notes]
    if config.fasta is not None and (nameless := sum(not is_key(name) for name in pairs.proteins)):
        notes.append(
            f"{counted(nameless, 'protein')} of the scored pairs without a sequence in fasta, known by id only."
        )
    method = first.calibration.method
    return Page(
        title=f"Evaluation of {found.name}{more}",
        subtitle=f"{pairs.counts['measured']:,} labelled pairs of {len(pairs.proteins):,} proteins",
        sets=[found],
        threshold=first.threshold,
        threshold_from=_threshold_from(config, first.threshold),
        calibration="As they were given." if method == "none" else f"Calibrated ({method}), fitted on val_scores.",
        notes=notes,
        findings=findings,
        seeds=seeds,
        provenance=[*_provenance(config), *own_provenance(config.report)],
        version=__version__,
    )


def _threshold_from(config: EvaluateConfig, threshold: float) -> str:
    if config.threshold is not None:
        return f"The threshold {threshold:.3f} was given."
    if config.val_scores is not None:
        return f"The threshold {threshold:.3f} has the highest Matthews correlation on the validation scores."
    return "The threshold is 0.5: without val_scores there is nothing to choose a better one on."


def _audit(config: EvaluateConfig, scores: str, proteins: ProteinSet | None) -> Audit | None:
    """The audit of scored pairs beside training pairs; without sequences of all there is none."""
    if proteins is None or config.train_pairs is None:
        return None
    splits = []
    lists: tuple[tuple[str, Role, str], ...] = (
        ("train_pairs", "train", resolve(config.train_pairs)),
        ("scores", "test", scores),
    )
    for name, role, file in lists:
        labelled = (pair for pair in iter_pairs(file) if pair.label is not None)
        table = resolve_pairs(labelled, proteins, unknown="drop", conflicts="drop", need_labels=True, file=file)
        splits.append(AuditSplit(name, role, file, table))
    numbered = Numbered.of(splits)
    rules = audit_rules(None, False, "drop", "drop")
    return audit(numbered, rules, homology_within_reason(numbered, config.homology, None))


def _findings(audited: Audit | None, pairs: ScoredPairs, train: TrainingPairs | None) -> list[dict[str, Any]] | None:
    """Those of the audit; without sequences, training pairs among the scored ones, by id; None without either."""
    if audited is not None:
        return [finding.to_dict() for finding in audited.findings]
    if train is None:
        return None
    count = shared_with_training(pairs, train)
    sentence = f"{counted(count, 'scored pair')} of {len(pairs):,} stand in train_pairs too, in either order."
    if count:
        sentence += " A pair that was trained on measures nothing."
    return [{"check": "shared_pairs", "severity": "block" if count else "ok", "count": count, "sentence": sentence}]


def _provenance(config: EvaluateConfig) -> list[tuple[str, str]]:
    """Every file that was read, with its hash."""
    keys = ("scores", "val_scores", "against", "against_val", "train_pairs", "fasta")
    rows = [(key, f"{file}, SHA-256 {file_hash(file)}") for key in keys for file in _files(getattr(config, key))]
    if config.store is not None:
        store = FeatureStore(config.store)
        rows.append(("features", f"{config.store}: {store.encoder}, SHA-256 {store.encoder.sha256}, {store.long}"))
    return rows
