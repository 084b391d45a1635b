"""The labelled pairs of a training: read, resolved, audited, described."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np

from esm2_amp.data.findings import AuditSplit, Numbered, Role
from esm2_amp.errors import InputError
from esm2_amp.evaluation.leaks import Audit, audit
from esm2_amp.io.fasta import ProteinSet, read_fasta
from esm2_amp.io.pairs import iter_pairs
from esm2_amp.io.resolve import PairTable, count_issues, resolve_pairs, write_issues
from esm2_amp.records import Protein
from esm2_amp.resources import resolve
from esm2_amp.tasks.audit import audit_rules, homology_within_reason, refuse_blocked, write_audit
from esm2_amp.tasks.config_groups import DataConfig
from esm2_amp.tasks.console import log
from esm2_amp.tasks.embedding import IS_CHILD


@dataclass(frozen=True, eq=False)
class TrainingData:
    """Pairs to learn from, to stop and set the threshold by, and to measure once (``test`` may be None), audited."""

    name: str
    files: dict[str, list[str]]
    train: PairTable
    val: PairTable
    test: PairTable | None
    audit: Audit

    @property
    def proteins(self) -> list[Protein]:
        """Every protein of any pair, each id once."""
        return list({p.id: p for table in self.tables().values() for p in table.proteins}.values())

    @property
    def simulated(self) -> bool:
        """True for data our own simulator drew."""
        return is_simulated(Path(self.files["fasta"][0]))

    def tables(self) -> dict[str, PairTable]:
        """The pair lists by the name of their split."""
        return {split.name: split.table for split in self.audit.splits}

    def describe(self, folder: Path) -> None:
        """Say what was read and what is doubtful about it.

        Into the folder go ``issues_SPLIT.tsv`` with the rows that the policies spoke about, and the audit.
        """
        for split, table in self.tables().items():
            found = {kind: count for kind, count in count_issues(table.issues).items() if count}
            notes = "".join(f", {count} {kind.replace('_', ' ')}" for kind, count in found.items())
            log.info("%-5s %7d pairs, %5d proteins%s", split, len(table), len(table.proteins), notes)
            if found:
                write_issues(folder / f"issues_{split}.tsv", table.issues)
                log.warning("The rows in question are listed in %s.", folder / f"issues_{split}.tsv")
        if self.simulated:
            log.info("These proteins and pairs are simulated: no biology.")
        write_audit(folder, self.audit)
        for finding in self.audit.of("show"):
            log.warning("%s: %s", finding.check, finding.sentence)
        log.info("Audit: %s, see %s.", self.audit.verdict, folder / "audit.json")

    def provenance(self) -> dict[str, Any]:
        """Names, hashes and sizes of the files, for cards and reports."""
        return {
            "name": self.name,
            "simulated": self.simulated,
            "files": {
                split: [{"file": Path(file).name, "sha256": file_hash(file)} for file in files]
                for split, files in self.files.items()
            },
            "audit": {"declared": self.audit.rules.declared, "verdict": self.audit.verdict},
            "pairs": {split: len(table) for split, table in self.tables().items()},
            "proteins": {split: len(table.proteins) for split, table in self.tables().items()},
        }


def read_training_data(cfg: DataConfig) -> TrainingData:
    """Read and check all files.

    Raises:
        InputError: unreadable files, refused rows, a split with one class only, or what the audit blocks.
    """
    rules = audit_rules(cfg.declared, cfg.strict, cfg.unknown, cfg.conflicts, "data.")
    cfg.homology.check("data.")
    files = {"fasta": [cfg.fasta], "train": [cfg.train], "val": [cfg.val], "test": cfg.tests()}
    files = {split: [resolve(name) for name in names] for split, names in files.items()}
    proteins = read_fasta(files["fasta"][0])
    roles: tuple[Role, ...] = ("train", "val", "test")
    splits = [AuditSplit(r, r, ", ".join(files[r]), _table(files[r], proteins, cfg)) for r in roles if files[r]]
    _refuse_one_class(splits)
    numbered = Numbered.of(splits)
    _refuse_blocked(audit(numbered, rules, None))  # before a search that may take a while
    audited = audit(numbered, rules, None if IS_CHILD else homology_within_reason(numbered, cfg.homology, None))
    _refuse_blocked(audited)
    train, val, *test = (split.table for split in splits)
    return TrainingData(cfg.name, files, train, val, test[0] if test else None, audited)


def _refuse_blocked(result: Audit) -> None:
    places = next((finding.splits for finding in result.of("block")), ())
    told = " and ".join(f"data.{split}" for split in places)
    refuse_blocked(result, f"Correct {told}: what was trained on measures nothing; esm2-amp audit lists it all.")


def _refuse_one_class(splits: Sequence[AuditSplit]) -> None:
    for split in splits:
        if len(np.unique(split.table.label)) < 2:
            raise InputError(
                f"all {len(split.table)} {split.name} pairs have the label {split.table.label[0]}",
                file=split.file,
                remedy="Give pairs that interact and pairs that do not.",
            )


def _table(files: Sequence[str], proteins: ProteinSet, cfg: DataConfig) -> PairTable:
    policy = Literal["error", "drop"]
    return resolve_pairs(
        chain.from_iterable(iter_pairs(file) for file in files),
        proteins,
        unknown=cast(policy, cfg.unknown),
        conflicts=cast(policy, cfg.conflicts),
        need_labels=True,
        file=", ".join(files),
    )


def is_simulated(fasta: Path) -> bool:
    """True for sequences that our own simulator drew, by the card beside them."""
    card = fasta.with_name("card.json")
    return card.is_file() and '"simulated": true' in card.read_text(encoding="utf-8")


def file_hash(path: str) -> str:
    """SHA-256 of a file's bytes."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
