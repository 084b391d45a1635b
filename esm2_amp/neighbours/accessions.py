"""The accession inside an id of UniProt's FASTA files, ``db|ACCESSION|NAME``."""

from __future__ import annotations

from esm2_amp.neighbours.vectors import Vectors

_BAR = ord("|")
_PIECE = 1 << 26


def accession(id_: str) -> str:
    """The accession, or the id itself where it has another form."""
    parts = id_.split("|")
    return parts[1] if len(parts) == 3 and parts[1] else id_


def accessions(vectors: Vectors) -> list[tuple[str, int]]:
    """Id and row of every vector whose id has that form."""
    text = vectors.table.text
    if not any((text[at : at + _PIECE] == _BAR).any() for at in range(0, len(text), _PIECE)):
        return []
    ids = ((vectors.id(row), row) for row in range(vectors.n))
    return [(id_, row) for id_, row in ids if accession(id_) != id_]
