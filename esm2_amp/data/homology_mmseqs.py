"""Homology search by the program MMseqs2 (Steinegger & Soeding 2017, doi 10.1038/nbt.3988), where it is installed."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from esm2_amp.errors import InputError
from esm2_amp.io.fasta import write_fasta
from esm2_amp.records import Protein

PROGRAM = "mmseqs"
SENSITIVITY = 4.0
"""MMseqs2's ``-s``: 5.7, its default, finds as many pairs above 40 % identity and takes more than twice as long."""


@cache
def version() -> str | None:
    """The version of the installed program; None if there is none that runs."""
    program = shutil.which(PROGRAM)
    if program is None:
        return None
    try:
        said = subprocess.run([program, "version"], capture_output=True, text=True, check=False, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return said.stdout.strip() or None if said.returncode == 0 else None


def search(
    queries: Sequence[str], targets: Sequence[str], coverage: float, max_e_value: float, threads: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Alignments that cover both sequences; see :class:`esm2_amp.data.homology.HomologyEngine`.

    Raises:
        InputError: the program fails.
    """
    with tempfile.TemporaryDirectory(prefix="esm2_amp_homology_") as scratch:
        folder = Path(scratch)
        files = [folder / "queries.fasta", folder / "targets.fasta"]
        for file, sequences in zip(files, (queries, targets), strict=True):
            write_fasta(file, (Protein(str(i), sequence) for i, sequence in enumerate(sequences)), width=1_000_000)
        table = folder / "hits.tsv"
        options = {
            "-s": SENSITIVITY,
            "-c": coverage,
            "--cov-mode": 0,  # of both sequences
            "--alignment-mode": 3,  # identity counted on the alignment, not estimated from its score
            "--max-seqs": 1000,
            "-e": max_e_value,
            "--threads": threads,
            "-v": 1,
        }
        words = [str(word) for option in options.items() for word in option]
        _run(["easy-search", *map(str, files), str(table), str(folder / "work"), *words], folder)
        return _read(table)


def _run(arguments: list[str], folder: Path) -> None:
    done = subprocess.run(
        [shutil.which(PROGRAM) or PROGRAM, *arguments, "--format-output", "query,target,fident"],
        capture_output=True, text=True, check=False, cwd=folder,
    )  # fmt: skip
    if done.returncode != 0:
        said = " ".join((done.stderr or done.stdout).split())[-300:]
        raise InputError(f"mmseqs ended with code {done.returncode}: {said}", remedy="Repair it, or use kmers.")


def _read(table: Path) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    if table.stat().st_size == 0:
        return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float64)
    columns = np.loadtxt(table, ndmin=2)
    return columns[:, 0].astype(np.int64), columns[:, 1].astype(np.int64), columns[:, 2]
