"""The labelled pairs of a training: read, resolved, audited, described."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np

from esm2_amp.data.audit import shared_pairs, shared_sequences
from esm2_amp.errors import InputError
from esm2_amp.io.fasta import ProteinSet, read_fasta
from esm2_amp.io.pairs import iter_pairs
from esm2_amp.io.resolve import PairTable, count_issues, resolve_pairs, write_issues
from esm2_amp.records import Protein
from esm2_amp.resources import resolve
from esm2_amp.tasks.config import DataConfig
from esm2_amp.tasks.console import log


@dataclass(frozen=True, eq=False)
class TrainingData:
    """Pairs to learn from, to stop and set the threshold by, and to measure once (``test`` may be None)."""

    name: str
    files: dict[str, list[str]]
    train: PairTable
    val: PairTable
    test: PairTable | None

    @property
    def proteins(self) -> list[Protein]:
        """Every protein of any pair, each id once."""
        return list({p.id: p for table in self.tables().values() for p in table.proteins}.values())

    @property
    def simulated(self) -> bool:
        """True for data our own simulator drew."""
        card = Path(self.files["fasta"][0]).parent / "card.json"
        return card.exists() and '"simulated": true' in card.read_text(encoding="utf-8")

    def tables(self) -> dict[str, PairTable]:
        """The pair lists by the name of their split."""
        return {"train": self.train, "val": self.val} | ({} if self.test is None else {"test": self.test})

    def describe(self, folder: Path) -> None:
        """Say what was read; list what the policies found in ``issues.tsv`` files; warn of leaks."""
        for split, table in self.tables().items():
            found = {kind: count for kind, count in count_issues(table.issues).items() if count}
            notes = "".join(f", {count} {kind.replace('_', ' ')}" for kind, count in found.items())
            log.info("%-5s %7d pairs, %5d proteins%s", split, len(table), len(table.proteins), notes)
            if found:
                write_issues(folder / f"issues_{split}.tsv", table.issues)
                log.warning("The rows in question are listed in %s.", folder / f"issues_{split}.tsv")
        if self.simulated:
            log.info("These proteins and pairs are simulated: no biology.")
        log.info("%d of %d validation sequences stand in training pairs.", *self._seen())

    def _seen(self) -> tuple[int, int]:
        return shared_sequences(self.val, self.train), len({p.key for p in self.val.proteins})

    def provenance(self) -> dict[str, Any]:
        """Names, hashes and sizes of the files, for cards and reports."""
        return {
            "name": self.name,
            "simulated": self.simulated,
            "files": {
                split: [{"file": Path(file).name, "sha256": file_hash(file)} for file in files]
                for split, files in self.files.items()
            },
            "pairs": {split: len(table) for split, table in self.tables().items()},
            "proteins": {split: len(table.proteins) for split, table in self.tables().items()},
        }


def read_training_data(cfg: DataConfig) -> TrainingData:
    """Read and check all files.

    Raises:
        InputError: unreadable files, refused rows, a pair in two splits, or a split with one class only.
    """
    for key, value in (("unknown", cfg.unknown), ("conflicts", cfg.conflicts)):
        if value not in ("error", "drop"):
            raise InputError(f"data.{key} is {value!r}", remedy="Use error or drop.")
    files = {"fasta": [cfg.fasta], "train": [cfg.train], "val": [cfg.val], "test": cfg.tests()}
    files = {split: [resolve(name) for name in names] for split, names in files.items()}
    proteins = read_fasta(files["fasta"][0])
    train, val = _table(files["train"], proteins, cfg), _table(files["val"], proteins, cfg)
    test = _table(files["test"], proteins, cfg) if files["test"] else None
    data = TrainingData(cfg.name, files, train, val, test)
    for split, table in data.tables().items():
        if len(np.unique(table.label)) < 2:
            raise InputError(
                f"all {len(table)} {split} pairs have the label {table.label[0]}",
                file=", ".join(files[split]),
                remedy="Give pairs that interact and pairs that do not.",
            )
    _refuse_leaks(data)
    return data


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


def _refuse_leaks(data: TrainingData) -> None:
    tables = data.tables()
    for held, others in (("val", ["train"]), ("test", ["train", "val"])):
        if held in tables and (count := shared_pairs(tables[held], [tables[name] for name in others])):
            raise InputError(
                f"{count} pairs of data.{held} stand in data.{' or data.'.join(others)} too (same two sequences)",
                file=", ".join(data.files[held]),
                remedy="Remove them: a pair that was trained on measures nothing.",
            )


def file_hash(path: str) -> str:
    """SHA-256 of a file's bytes."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
