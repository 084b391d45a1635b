"""The nouns of the project: a protein, a pair of proteins, a region of a protein."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import NamedTuple

STANDARD_RESIDUES = "ACDEFGHIKLMNPQRSTVWY"
RARE_RESIDUES = "BJOUXZ"
"""Letters beside the 20 that FASTA files hold; ESM-2's vocabulary has all but J, which it reads as unknown."""
RESIDUES = frozenset(STANDARD_RESIDUES + RARE_RESIDUES)


def sequence_key(sequence: str) -> str:
    """Identity of a sequence: the hexadecimal SHA-256 of its upper-case letters."""
    return hashlib.sha256(sequence.encode("ascii")).hexdigest()


@dataclass(frozen=True, slots=True)
class Protein:
    """One amino-acid sequence under the id its file gave it (upper case, letters of :data:`RESIDUES` only)."""

    id: str
    sequence: str

    @property
    def key(self) -> str:
        """Identity of the sequence, whatever the id; see :func:`sequence_key`."""
        return sequence_key(self.sequence)


class Pair(NamedTuple):
    """One row of a pair list.

    ``label`` is 1 (interacts), 0 (does not) or None (not said); ``line`` is where the row stands in its file,
    counted from 1 (for Parquet: the number of the row).
    """

    a: str
    b: str
    label: int | None
    line: int

    @property
    def unordered(self) -> tuple[str, str]:
        """The same for A-B and B-A."""
        return (self.a, self.b) if self.a <= self.b else (self.b, self.a)


class Region(NamedTuple):
    """A stretch of a protein with a meaning; ``start`` and ``end`` are residue numbers, 1-based and inclusive."""

    protein: str
    start: int
    end: int
    kind: str
    note: str
