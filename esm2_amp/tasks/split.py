"""``esm2-amp split``: labelled pairs dealt into parts or folds, negatives drawn, every row accounted for."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from omegaconf import DictConfig

from esm2_amp import __version__
from esm2_amp.data.findings import AuditSplit, Numbered, Role
from esm2_amp.data.folds import Fold, protein_disjoint_folds, stratified_folds
from esm2_amp.data.homology import HomologyEngine, cluster_sequences, homology_engine
from esm2_amp.data.negatives import pair_code
from esm2_amp.data.splits import LEFT_OUT, disjoint_parts, random_parts
from esm2_amp.errors import InputError
from esm2_amp.evaluation.leaks import audit
from esm2_amp.io.atomic import atomic_path, write_json
from esm2_amp.io.pairs import counted, iter_pairs
from esm2_amp.resources import resolve
from esm2_amp.tasks.audit import audit_rules, homology_within_reason, new_folder, processors, read_split, write_audit
from esm2_amp.tasks.config import SplitConfig
from esm2_amp.tasks.console import log, say, show_table, start_logging
from esm2_amp.tasks.drawing import Drawing, check_negatives, draw_negatives, known_pairs
from esm2_amp.tasks.options import several, typed
from esm2_amp.tasks.run_folder import write_table
from esm2_amp.tasks.split_rows import Given, LeftOut, PairRows, read_rows
from esm2_amp.tasks.training_data import file_hash

KINDS = ("proteins", "clusters", "random", "kfold")
FOLD_BY = ("pairs", "proteins", "clusters")
PARTS: tuple[Role, ...] = ("train", "val", "test")


@dataclass(frozen=True, eq=False)
class _Dealt:
    """Rows by file name, the rows in none of them, what was drawn, and the search for clusters."""

    files: dict[str, PairRows]
    left_out: list[LeftOut]
    drawings: dict[str, Drawing]
    engine: HomologyEngine | None


def run(cfg: DictConfig) -> Path:
    """Split, write, audit; returns the folder."""
    config = typed(SplitConfig, cfg)
    start_logging()
    _check(config)
    folder = new_folder(config.output)
    given = read_rows(config)
    dealt = _deal(config, given)
    if folder.exists():
        folder.rmdir()  # it is empty, see new_folder
    with atomic_path(folder) as scratch:
        _write(scratch, config, given, dealt)
    _show(given, dealt)
    say(f"Written to {folder}")
    return folder


def _check(config: SplitConfig) -> None:
    for name, value, choices in (("kind", config.kind, KINDS), ("fold_by", config.fold_by, FOLD_BY)):
        if value not in choices:
            raise InputError(f"{name} is {value!r}", remedy=f"Use {', '.join(choices)}.")
    if len(config.ratios) > len(PARTS):
        raise InputError(f"{len(config.ratios)} ratios", remedy="Give two or three: train, val and perhaps test.")
    if config.seed < 0:
        raise InputError(f"seed is {config.seed}", remedy="Give 0 or more.")
    audit_rules(None, False, config.unknown, config.conflicts)
    config.homology.check()
    check_negatives(config.negatives)


def _deal(config: SplitConfig, given: Given) -> _Dealt:
    group, engine = np.arange(len(given.sequences)), None
    if "clusters" in (config.kind, config.fold_by if config.kind == "kfold" else None):
        engine = homology_engine("auto" if config.homology.engine == "none" else config.homology.engine)
        log.info("Clustering %d sequences with %s %s.", len(given.sequences), engine.name, engine.version)
        settings, cores = config.homology, processors(config.threads)
        group = cluster_sequences(given.sequences, settings.identity, settings.coverage, engine, cores)
        sizes = np.bincount(group)
        log.info("%d clusters; the largest has %d sequences.", len(sizes), sizes.max())
    files = [resolve(file) for file in several(config.negatives.known)]
    known = known_pairs(chain(given.raw, *map(iter_pairs, files)), given.proteins, given.sequences)
    return (_folds if config.kind == "kfold" else _parts)(config, given, group, known, engine)


def _parts(
    config: SplitConfig, given: Given, group: NDArray[np.int64], known: set[int], engine: HomologyEngine | None
) -> _Dealt:
    rows = given.rows
    if config.kind == "random":
        part = random_parts(rows.label, config.ratios, config.seed)
    else:
        part = disjoint_parts(group[rows.a], group[rows.b], config.ratios, config.seed)
    files, drawings = dict[str, PairRows](), dict[str, Drawing]()
    for number, name in enumerate(PARTS[: len(config.ratios)]):
        chosen = rows.take(np.flatnonzero(part == number))
        rng = np.random.default_rng((config.seed, number))
        drawings[name] = draw_negatives(config.negatives, chosen.a, chosen.b, chosen.label, known, rng)
        known |= set(pair_code(*drawings[name].pairs.T).tolist())
        files[f"{name}.tsv"] = chosen.with_drawn(drawings[name], given.ids)
    reason = f"its {'clusters' if config.kind == 'clusters' else 'proteins'} are in two parts"
    return _Dealt(files, given.left_out + _unplaced(given, part == LEFT_OUT, reason), drawings, engine)


def _folds(
    config: SplitConfig, given: Given, group: NDArray[np.int64], known: set[int], engine: HomologyEngine | None
) -> _Dealt:
    """Negatives are drawn once for all folds, so that no fold trains on what it measures."""
    own = given.rows
    rng = np.random.default_rng(config.seed)
    drawing = draw_negatives(config.negatives, own.a, own.b, own.label, known, rng)
    rows = own.with_drawn(drawing, given.ids)
    folds: list[Fold]
    if config.fold_by == "pairs":
        folds = stratified_folds(rows.label, config.folds, config.seed)
    else:
        folds = protein_disjoint_folds(group[rows.a], group[rows.b], rows.label, config.folds, config.seed)
    files = dict[str, PairRows]()
    for i, fold in enumerate(folds, start=1):
        files[f"fold_{i}/train.tsv"], files[f"fold_{i}/val.tsv"] = rows.take(fold.train), rows.take(fold.held)
    never = np.ones(len(rows.label), dtype=bool)
    never[np.concatenate([fold.held for fold in folds])] = False
    reason = "measured in no fold: its proteins, or clusters, are in two groups"
    return _Dealt(files, given.left_out + _unplaced(given, never[: len(own.label)], reason), {"all": drawing}, engine)


def _unplaced(given: Given, missing: NDArray[np.bool_], reason: str) -> list[LeftOut]:
    return [
        LeftOut(*given.rows.names[i], str(given.rows.label[i]), int(given.lines[i]), reason)
        for i in np.flatnonzero(missing).tolist()
    ]


def _write(folder: Path, config: SplitConfig, given: Given, dealt: _Dealt) -> None:
    for name, rows in dealt.files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        source = np.where(rows.drawn, "sampled", "given")
        columns = zip(rows.names, rows.label.tolist(), source.tolist(), strict=True)
        lines = [(*names, label, origin) for names, label, origin in columns]
        write_table(folder / name, ("protein_a", "protein_b", "label", "source"), lines)
    left_out = sorted(dealt.left_out, key=lambda row: row.line)
    write_table(folder / "left_out.tsv", LeftOut._fields, left_out)
    for part in sorted({(folder / name).parent for name in dealt.files}):
        _audit(part, config, given)
    write_json(folder / "card.json", _card(config, given, dealt))


def _audit(folder: Path, config: SplitConfig, given: Given) -> None:
    """Audit the files as written.

    Raises:
        RuntimeError: what was written contradicts its own declaration.
    """
    names = [name for name in PARTS if (folder / f"{name}.tsv").exists()]
    splits = [read_split(name, name, [str(folder / f"{name}.tsv")], given.proteins) for name in names]
    splits = [AuditSplit(split.name, split.role, f"{split.name}.tsv", split.table) for split in splits]
    disjoint = config.kind in ("proteins", "clusters") or (config.kind == "kfold" and config.fold_by != "pairs")
    rules = audit_rules("c3" if disjoint else None, False, "error", "error")
    numbered = Numbered.of(splits)
    homology = None if config.kind == "kfold" else homology_within_reason(numbered, config.homology, config.threads)
    result = audit(numbered, rules, homology)
    write_audit(folder, result)
    if result.of("block"):
        raise RuntimeError(f"the split is not what it should be: {result.of('block')[0].sentence}")


def _card(config: SplitConfig, given: Given, dealt: _Dealt) -> dict[str, Any]:
    kfold = config.kind == "kfold"
    inputs = {"pairs": resolve(config.pairs), "fasta": resolve(config.fasta)}
    engine = dealt.engine
    clusters = {**vars(config.homology), "engine": engine.name, "version": engine.version} if engine else None
    return {
        "kind": config.kind,
        "seed": config.seed,
        **({"folds": config.folds, "fold_by": config.fold_by} if kfold else {"ratios": list(config.ratios)}),
        "inputs": {key: {"file": Path(file).name, "sha256": file_hash(file)} for key, file in inputs.items()},
        "clusters": clusters,
        "rows": {
            "given": len(given.rows.label) + len(given.left_out),
            "left_out": len(dealt.left_out),
            "reasons": dict(Counter(row.reason.split(":")[0] for row in dealt.left_out)),
        },
        "files": {name: rows.summary() for name, rows in dealt.files.items()},
        "negatives": {
            "kind": config.negatives.kind,
            "ratio": config.negatives.ratio,
            "drawn": {name: drawing.to_dict(given.ids) for name, drawing in dealt.drawings.items()},
        },
        "esm2_amp": __version__,
    }


def _show(given: Given, dealt: _Dealt) -> None:
    for name, drawing in dealt.drawings.items():
        if drawing.missing:
            hub = max(drawing.short, key=lambda number: drawing.short[number])
            log.warning(
                "%s: %s could not be drawn; %s alone lacks %d, for want of proteins that it is not paired with.",
                name, counted(drawing.missing, "negative"), given.ids[hub], drawing.short[hub],
            )  # fmt: skip
    total = len(given.rows.label) + len(given.left_out)
    for reason, count in Counter(row.reason.split(":")[0] for row in dealt.left_out).items():
        log.info("%d of the %d rows are left out: %s.", count, total, reason)
    columns = ("file", "pairs", "positive", "negative", "drawn", "proteins")
    rows = [(name, *(f"{rows.summary()[key]:,}" for key in columns[1:])) for name, rows in dealt.files.items()]
    show_table("Split", columns, rows)
