"""Annotated regions of the explained proteins, and where a simulation planted the truth."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from esm2_amp.explain.planted import is_module, planted_tokens
from esm2_amp.io.region_parts import protein_key
from esm2_amp.io.regions import read_annotations
from esm2_amp.records import Protein, Region
from esm2_amp.resources import resolve
from esm2_amp.tasks.console import log
from esm2_amp.tasks.explain_input import Inputs, Scored
from esm2_amp.tasks.options import several
from esm2_amp.tasks.training_data import is_simulated
from esm2_amp.tasks.training_source import AUTO, NONE


@dataclass(frozen=True, eq=False)
class Regions:
    """Regions by protein, the files they are from, and whether they are the simulator's and so the truth."""

    by_protein: dict[str, list[Region]]
    files: list[str]
    planted: bool

    def of(self, protein: Protein) -> list[Region]:
        """Regions of a protein; none where it has none."""
        return self.by_protein.get(protein_key(protein.id), [])

    def truth(self, scored: Scored, numbers: NDArray[np.int64]) -> NDArray[np.bool_] | None:
        """(n, 2T) tokens of a planted interaction: of true positives only; None where nothing was planted."""
        if not self.planted:
            return None
        layout = scored.inputs.model.network.layout
        truth = np.zeros((len(numbers), 2 * len(layout)), dtype=bool)
        called = scored.called(numbers)
        for row, number in enumerate(numbers.tolist()):
            if called[row] and scored.rows[number].pair.label == 1:
                a, b = scored.ends(number)
                truth[row] = planted_tokens(layout, len(a.sequence), len(b.sequence), self.of(a), self.of(b))
        return truth


def regions_for(inputs: Inputs) -> Regions:
    """The regions that ``regions`` names; for ``auto`` those that a simulation wrote beside its sequences.

    Raises:
        InputError: unreadable.
    """
    given = several(inputs.config.regions)
    if given == [AUTO]:
        given = [str(file) for file in _planted_beside(Path(inputs.fasta_file))]
    files = [resolve(name) for name in given if name != NONE]
    if not files:
        return Regions({}, [], planted=False)
    proteins = {
        protein_key(p.id): p for row in inputs.rows for n in row[:2] if (p := inputs.proteins.get(n)) is not None
    }
    lengths = {key: len(protein.sequence) for key, protein in proteins.items()}
    found = read_annotations(files, lengths).within(lengths)
    if found.issues:
        log.warning(
            "%d annotated regions are cut, inexact or left out (esm2-amp regions lists them).", len(found.issues)
        )
    annotated = [region for regions in found.regions.values() for region in regions]
    if not annotated:
        log.warning("None of the proteins is annotated in %s.", ", ".join(files))
    return Regions(found.regions, files, planted=bool(annotated) and all(map(is_module, annotated)))


def _planted_beside(fasta: Path) -> list[Path]:
    """The table of planted regions in a folder that ``esm2-amp simulate`` wrote; nothing elsewhere."""
    regions = fasta.with_name("regions.tsv")
    return [regions] if regions.is_file() and is_simulated(fasta) else []
