"""What train, predict and evaluate share when they measure: baselines, the summary, the console table, the page."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from esm2_amp.evaluation.baselines import (
    additive_scores,
    degree_oracle_scores,
    degree_ratio_scores,
    nearest_pair_scores,
    train_degree_scores,
)
from esm2_amp.evaluation.page import Page, render
from esm2_amp.evaluation.page_parts import ScoredSet, best_baseline, is_clear
from esm2_amp.evaluation.page_tables import Numbers, interval, number
from esm2_amp.evaluation.summary import CLEAR_OF_BASELINE, count_resamples, summarise
from esm2_amp.evaluation.weighted import METRICS
from esm2_amp.features.store import FeatureStore
from esm2_amp.io.atomic import atomic_text
from esm2_amp.layout import MEAN
from esm2_amp.models.checkpoint import ModelCard
from esm2_amp.tasks.config_groups import ReportConfig
from esm2_amp.tasks.console import log, progress, show_table
from esm2_amp.tasks.run_folder import versions

Floats = NDArray[np.float64]
_KEY = re.compile("[0-9a-f]{64}")


class Pairs(NamedTuple):
    """Labelled pairs: ``a`` and ``b`` (n,) numbers of proteins, ``label`` (n,) 0 or 1."""

    a: NDArray[np.int64]
    b: NDArray[np.int64]
    label: NDArray[np.int64]


class Scored(NamedTuple):
    """Pairs with their probabilities; ``before`` and ``note`` as in :class:`ScoredSet`.

    ``groups``: (n,) C1, C2 or C3 of each pair by ``protein`` and by ``cluster``, as far as they are known.
    """

    name: str
    pairs: Pairs
    probability: Floats
    before: Floats | None
    groups: dict[str, NDArray[np.str_]]
    note: str = ""


class Known(NamedTuple):
    """What is known besides the pairs: ``n_proteins``, the training pairs, (n_proteins, D) vectors; None: not known."""

    n_proteins: int
    train: Pairs | None
    vectors: NDArray[np.float32] | None


def baseline_scores(pairs: Pairs, known: Known) -> dict[str, Floats]:
    """Scores (n,) of every baseline that can be had: the oracle always, the others as far as more is known."""
    scores = {"degree oracle": degree_oracle_scores(*pairs, known.n_proteins)}
    train, vectors = known.train, known.vectors
    if train is None:
        return scores
    scores["degree in training"] = train_degree_scores(train.a, train.b, pairs.a, pairs.b, known.n_proteins)
    scores["positive ratio in training"] = degree_ratio_scores(*train, pairs.a, pairs.b, known.n_proteins)
    if vectors is not None:
        scores["additive model"] = additive_scores(*train, pairs.a, pairs.b, vectors)
        with progress("nearest training pairs", "pairs") as (begin, advance):
            begin(2 * len(pairs.a))
            scores["nearest training pair"] = nearest_pair_scores(*train, pairs.a, pairs.b, vectors, advance)
    return scores


def is_key(name: str) -> bool:
    """Whether a protein's name is the key of its sequence, not an id."""
    return _KEY.fullmatch(name) is not None


def mean_vectors(store: FeatureStore, names: Sequence[str]) -> NDArray[np.float32] | None:
    """(len(names), D) mean tokens of sequences, by key; None where one is no key or not in the store."""
    if not all(map(is_key, names)):
        return None
    rows = store.find(names)
    return None if (rows < 0).any() else store.gather(rows, MEAN.stored)[:, 0].astype(np.float32)


def plain_metrics(found: Numbers) -> dict[str, Any]:
    """The metrics of a class without what belongs to intervals, baselines and prevalence."""
    return {name: found[name] for name in ("n", "n_positive", *METRICS, "threshold")}


def measured(scored: Scored, known: Known, threshold: float, report: ReportConfig) -> ScoredSet:
    """Every number of a set of scored pairs, and what the page draws of it."""
    baselines = baseline_scores(scored.pairs, known)
    with progress(f"intervals of {scored.name}", "resamples") as (begin, advance):
        begin(count_resamples(scored.groups, baselines, report.resamples))
        summary = summarise(
            *scored.pairs,
            scored.probability,
            scored.groups,
            threshold,
            baselines,
            n_proteins=known.n_proteins,
            resampling=report.resampling(advance),
        )
    name, pairs, probability, before, groups, note = scored
    return ScoredSet(name, pairs.label, probability, before, groups.get("protein"), baselines, summary, note)


def show_sets(title: str, sets: Iterable[ScoredSet]) -> None:
    """Print every set and class on a line with its best baseline, marked where the model is not clear of it."""
    columns = ["", "pairs", "AUROC", "interval", "AUPR", "MCC", "F1", "Brier", "ECE", "best baseline", "its AUROC"]
    keys = ["aupr", "mcc", "f1", "brier", "ece"]
    rows, unclear = [], 0
    for scored in sets:
        for kind, found in scored.shown.items():
            best = best_baseline(found)
            close = best is not None and not is_clear(found)
            unclear += close
            cells = [number(found["n"]), number(found["auroc"]), interval(found, "auroc")]
            cells += [number(found[key]) for key in keys]
            beside = ("-", "") if best is None else (best[0], number(best[1]) + (" !" if close else "  "))
            rows.append([f"{scored.name} {kind}", *cells, *beside])
    show_table(title, columns, rows)
    if unclear:
        log.warning("Marked !: the AUROC is not %s above that of the best baseline.", CLEAR_OF_BASELINE)


def write_page(path: Path, page: Page) -> None:
    """Write the page, atomically."""
    text = render(page)
    with atomic_text(path) as stream:
        stream.write(text)


def model_provenance(card: ModelCard) -> list[tuple[str, str]]:
    """Names and values that say what a model is and what it was trained on."""
    training = dict(card.training)
    files = training.pop("files", {})
    rows = [
        ("encoder", str(card.identity)),
        ("encoder weights", f"SHA-256 {card.identity.sha256}"),
        ("encoder revision", str(card.encoder_source["revision"] or "-")),
        ("tokens", ", ".join(card.tokens)),
        ("long proteins", str(card.long_policy)),
        ("network", f"{card.network} {json.dumps(card.hyper)}"),
        ("calibration", card.calibration["method"]),
    ]
    for split, listed in files.items():
        rows += [(f"training data: {split}", f"{each['file']}, SHA-256 {each['sha256']}") for each in listed]
    rows += [(f"training: {name.replace('_', ' ')}", _plain(value)) for name, value in training.items()]
    return rows + [("versions at training", _plain(card.versions))]


def own_provenance(report: ReportConfig) -> list[tuple[str, str]]:
    """When and with what the numbers were made."""
    drawn = (
        f"{report.resamples} of the proteins, seed {report.seed}, level {report.level}" if report.resamples else "none"
    )
    return [
        ("resamples", drawn),
        ("versions", _plain(versions())),
        ("date", time.strftime("%Y-%m-%d %H:%M %z")),
    ]


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_plain(inner)}" for name, inner in value.items())
    return "-" if value is None else str(value)
