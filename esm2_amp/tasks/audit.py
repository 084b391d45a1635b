"""``esm2-amp audit``: what is wrong or doubtful in labelled pairs and their splits."""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any, cast, get_args

from omegaconf import DictConfig

from esm2_amp.data.audit import Declared
from esm2_amp.data.audit_homology import Homology, search_homology
from esm2_amp.data.findings import AuditSplit, Finding, Numbered, Role
from esm2_amp.data.homology import HomologyEngine, estimated_seconds, homology_engine
from esm2_amp.errors import InputError
from esm2_amp.evaluation.leaks import Audit, AuditRules, audit
from esm2_amp.io.atomic import atomic_text, write_json
from esm2_amp.io.fasta import ProteinSet, read_fasta
from esm2_amp.io.pairs import iter_pairs
from esm2_amp.io.resolve import Policy, resolve_pairs
from esm2_amp.resources import resolve
from esm2_amp.tasks.config import AuditConfig
from esm2_amp.tasks.config_groups import HomologyConfig
from esm2_amp.tasks.console import log, say, show_table, start_logging
from esm2_amp.tasks.options import at_least, several, typed

PATIENCE = 60.0
"""Seconds that a search nobody asked for may take, by estimate."""


def run(cfg: DictConfig) -> Audit:
    """Read, check, write ``audit.json`` and ``audit.tsv``, show; an InputError at the end where something blocks."""
    config = typed(AuditConfig, cfg)
    start_logging()
    rules = audit_rules(config.declared, config.strict, config.unknown, config.conflicts)
    config.homology.check()
    at_least(threads=(config.threads, 1))
    folder = new_folder(config.output)
    splits = _read_splits(config)
    numbered = Numbered.of(splits)
    result = audit(numbered, rules, _homology(numbered, config))
    write_audit(folder, result)
    show_audit(result)
    say(f"Written to {folder / 'audit.json'}")
    refuse_blocked(result, f"All findings are in {folder / 'audit.json'}.")
    return result


def audit_rules(declared: str | None, strict: bool, unknown: str, conflicts: str, group: str = "") -> AuditRules:
    """The rules of an audit, checked; ``group`` stands before their keys in messages.

    Raises:
        InputError: a value that is none of its choices.
    """
    for name, value in (("unknown", unknown), ("conflicts", conflicts)):
        if value not in get_args(Policy):
            raise InputError(f"{group}{name} is {value!r}", remedy="Use error or drop.")
    if declared is not None and declared not in get_args(Declared):
        raise InputError(f"{group}declared is {declared!r}", remedy="Use c1, c2, c3 or null.")
    return AuditRules(cast(Declared | None, declared), strict, cast(Policy, unknown), cast(Policy, conflicts))


def new_folder(output: str) -> Path:
    """A folder to write to that does not hold anything yet.

    Raises:
        InputError: it does.
    """
    folder = Path(output)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"output {output!r} exists already", remedy="Name a new folder.")
    return folder


def _read_splits(config: AuditConfig) -> list[AuditSplit]:
    """Every file as a split of its own, so that a finding can name file and line."""
    proteins = read_fasta(resolve(config.fasta))
    tests = [resolve(file) for file in several(config.test)]
    files: list[tuple[str, Role, str]] = [("train", "train", resolve(config.train))]
    if config.val is not None:
        files.append(("val", "val", resolve(config.val)))
    stems = [Path(file).name.split(".")[0] for file in tests]
    names = (
        stems if len(set(stems) - {"train", "val"}) == len(tests) > 1 else [f"test {i + 1}" for i in range(len(tests))]
    )
    files += [(name if len(tests) > 1 else "test", "test", file) for name, file in zip(names, tests, strict=True)]
    return [read_split(name, role, [file], proteins) for name, role, file in files]


def read_split(name: str, role: Role, files: Sequence[str], proteins: ProteinSet) -> AuditSplit:
    """The labelled pairs of one split; rows that cannot be used are kept as issues of its table."""
    rows = chain.from_iterable(iter_pairs(file) for file in files)
    file = ", ".join(files)
    table = resolve_pairs(rows, proteins, unknown="drop", conflicts="drop", need_labels=True, file=file)
    return AuditSplit(name, role, file, table)


def processors(threads: int | None) -> int:
    """Processor cores to use: those given, or all that this process may."""
    if threads is not None:
        return threads
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _homology(numbered: Numbered, config: AuditConfig) -> Homology | None:
    settings = config.homology
    if settings.engine == "none" or numbered.trained().all():
        return None
    engine = homology_engine(settings.engine)
    log.info("Searching homologues with %s %s.", engine.name, engine.version)
    return search_homology(numbered, engine, settings.identity, settings.coverage, processors(config.threads))


def homology_within_reason(numbered: Numbered, settings: HomologyConfig, threads: int | None) -> Homology | None:
    """The search before a training: as asked for; under ``auto`` by the quicker engine, a minute at most.

    Where it does not search, it says why.
    """
    seen = numbered.trained()
    if settings.engine == "none" or seen.all():
        return None
    cores = processors(threads)
    if settings.engine != "auto":
        chosen = homology_engine(settings.engine)
        return search_homology(numbered, chosen, settings.identity, settings.coverage, cores)
    held = sum(len(sequence) for sequence, known in zip(numbered.sequences, seen, strict=True) if not known)
    total = sum(map(len, numbered.sequences))
    costs = [(estimated_seconds(e.name, held, total, cores), e) for e in _installed()]
    seconds, engine = min(costs, key=lambda cost: cost[0], default=(0.0, None))
    if engine is None or seconds > PATIENCE:
        why = "neither MMseqs2 nor pyopal is installed" if engine is None else f"it would take some {seconds:.0f} s"
        log.info("Homologues were not searched (%s): esm2-amp audit does, or data.homology.engine=mmseqs.", why)
        return None
    try:
        return search_homology(numbered, engine, settings.identity, settings.coverage, cores)
    except InputError as error:  # nobody asked for it: training goes on
        log.warning("Homologues were not searched: %s", error)
        return None


def _installed() -> list[HomologyEngine]:
    found = []
    for name in ("kmers", "mmseqs"):
        try:
            found.append(homology_engine(name))
        except InputError:
            continue
    return found


def write_audit(folder: Path, result: Audit) -> None:
    """``audit.json`` with everything, and ``audit.tsv`` with one line a finding."""
    columns = ("check", "splits", "severity", "count", "sentence")
    lines = [(f.check, " ".join(f.splits), f.severity, str(f.count), f.sentence) for f in result.findings]
    with atomic_text(folder / "audit.tsv") as stream:
        stream.writelines("\t".join(line) + "\n" for line in (columns, *lines))
    write_json(folder / "audit.json", result.to_dict())


def show_audit(result: Audit) -> None:
    """What blocks, what is doubtful, and a table of the figures of every split."""
    for severity, word in (("block", "WRONG"), ("show", "DOUBT")):
        for finding in result.of(severity):  # type: ignore[arg-type]
            say(f"{word}  {finding.check}: {finding.sentence}")
            for example in finding.examples:
                say(f"         {example.file}, line {example.line}: {example.what}")
    columns = ["split", "pairs", "positive", "proteins", "one class", "degree oracle", "column AUROC"]
    show_table("Audit", [*columns, "C1", "C2", "C3", "homologues"], [_row(result, split) for split in result.splits])
    if result.homology is not None:
        h = result.homology
        say(
            f"Homologues: above {h.threshold:.0%} identity over {h.coverage:.0%} of both proteins ({h.engine.name} "
            f"{h.engine.version}). C1, C2, C3: both, one, no protein of a pair seen in training."
        )
    said = {"blocked": "blocked", "doubtful": "doubtful, nothing that blocks", "clean": "nothing found"}
    say(f"{len(result.findings)} checks: {said[result.verdict]}.")


def _row(result: Audit, split: AuditSplit) -> list[str]:
    own: dict[str, Finding] = {f.check: f for f in result.findings if f.splits == (split.name,)}

    def figure(check: str, name: str) -> Any:
        return own[check].figures[name] if check in own else None

    def told(value: float | None, form: str) -> str:
        return "-" if value is None else format(value, form)

    classes = figure("pair_classes", "by_protein") or {}
    return [
        split.name,
        f"{len(split.table):,}",
        f"{(split.table.label == 1).mean():.1%}",
        f"{len(split.table.proteins):,}",
        f"{own['one_class_proteins'].count:,}",
        told(figure("degree", "oracle_auroc"), ".3f"),
        told(figure("column_order", "column_auroc"), ".3f"),
        *(told(classes.get(name), ",") for name in ("C1", "C2", "C3")),
        f"{own['homology'].count:,} of {own['homology'].figures['proteins']:,}" if "homology" in own else "-",
    ]


def refuse_blocked(result: Audit, remedy: str) -> None:
    """Raise what the audit blocks as a user's mistake.

    Raises:
        InputError: there is a finding of severity ``block``.
    """
    blocked = result.of("block")
    if not blocked:
        return
    first = blocked[0]
    example = first.examples[0] if first.examples else None
    further = f" ({len(blocked) - 1} more findings block)" if len(blocked) > 1 else ""
    raise InputError(
        f"{first.sentence.rstrip('.')}{further}",
        file=example.file if example else None,
        line=example.line if example else None,
        remedy=remedy,
    )
