"""Protein sequences from FASTA files, plain or gzip-compressed, and from strings; FASTA files written."""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterable, Iterator, Sequence

from esm2_amp.errors import InputError
from esm2_amp.io.atomic import atomic_text
from esm2_amp.io.text import FilePath, is_text, text_lines
from esm2_amp.records import RARE_RESIDUES, RESIDUES, STANDARD_RESIDUES, Protein

_OTHER_FORMATS = (
    (r"@", "FASTQ"),
    (r"LOCUS\b", "a GenBank record"),
    (r"ID   ", "a UniProt or EMBL flat file"),
    (r"CLUSTAL|# STOCKHOLM|#NEXUS", "an alignment"),
    (r"<", "a web page or XML"),
    (r"\S+\s*[\t,;]\s*\S+(\s*[\t,;]\s*\S+)?$|\S+\s+\S+(\s+[01])?$", "a list of pairs"),
)
_LOOKS = "FASTA has a line '>id description' above the residues of each protein."


class ProteinSet:
    """Proteins by id, in the order in which they came; each id once.

    A protein whose id has the form ``db|ACCESSION|NAME`` (UniProt's ``sp|P69905|HBA_HUMAN``) is also found by
    its accession. A record that repeats an id with the same sequence is left out and listed in ``repeated``.

    Args:
        proteins: what to hold.
        file: where they come from, for messages.

    Raises:
        InputError: one id with two sequences.
    """

    def __init__(self, proteins: Iterable[Protein], file: FilePath | None = None) -> None:
        self.file = file
        self._proteins: list[Protein] = []
        self._lines = array("q")
        self._by_id: dict[str, int] = {}
        self._by_accession: dict[str, int] = {}
        self._shared: dict[str, int] = {}  # accession of two sequences: position of the second
        self._repeated: list[str] = []
        for protein in proteins:
            self._add(protein)

    def __len__(self) -> int:
        return len(self._proteins)

    def __iter__(self) -> Iterator[Protein]:
        return iter(self._proteins)

    @property
    def repeated(self) -> tuple[str, ...]:
        """Ids of the records left out because they repeat an earlier one, once for each such record."""
        return tuple(self._repeated)

    def get(self, name: str) -> Protein | None:
        """The protein of this id, else the one of this accession, else None.

        Raises:
            InputError: ``name`` is the accession of two records with different sequences.
        """
        position = self._by_id.get(name)
        if position is None:
            if name in self._shared:
                raise self._ambiguous(name)
            position = self._by_accession.get(name)
        return None if position is None else self._proteins[position]

    def _add(self, protein: Protein, line: int | None = None) -> None:
        held = self._by_id.get(protein.id)
        if held is None:
            self._by_id[protein.id] = len(self._proteins)
            self._add_accession(protein)
            self._proteins.append(protein)
            self._lines.append(line or 0)
        elif self._proteins[held].sequence == protein.sequence:
            self._repeated.append(protein.id)
        else:
            raise InputError(
                f"two different sequences have the id '{protein.id}'" + self._place(held),
                file=self.file,
                line=line,
                remedy="Give each protein an id of its own.",
            )

    def _add_accession(self, protein: Protein) -> None:
        parts = protein.id.split("|")
        if len(parts) == 3 and parts[1]:
            first = self._by_accession.setdefault(parts[1], len(self._proteins))
            if first < len(self._proteins) and self._proteins[first].sequence != protein.sequence:
                self._shared.setdefault(parts[1], len(self._proteins))

    def _place(self, position: int) -> str:
        line = self._lines[position]
        return f" (the first is on line {line})" if line else ""

    def _ambiguous(self, accession: str) -> InputError:
        first, second = self._by_accession[accession], self._shared[accession]
        names = " and ".join(
            f"'{self._proteins[i].id}'" + (f" (line {self._lines[i]})" if self._lines[i] else "")
            for i in (first, second)
        )
        return InputError(
            f"the accession '{accession}' stands for two different sequences: {names}",
            file=self.file,
            remedy="Write the whole id, or remove one of the records.",
        )


def read_fasta(path: FilePath) -> ProteinSet:
    """Read the proteins of a FASTA file, plain or gzip (whatever its name says).

    The id is the first word of the header. Lower case, wrapped and blank lines, spaces between residues, one ``*``
    at the end of a sequence, Windows line ends and a byte-order mark are accepted.

    Raises:
        InputError: the file cannot be read or is not FASTA; a record without id or residues; a character that is
            not a residue (:data:`~esm2_amp.records.RESIDUES`); one id with two sequences.
    """
    proteins = ProteinSet((), file=path)
    for line, protein in _records(path):
        proteins._add(protein, line)
    if not len(proteins):
        raise InputError("the file is empty: it holds no protein", file=path, remedy=_LOOKS)
    return proteins


def clean_sequence(name: str, text: str) -> str:
    """The residues of a sequence given as a string, by the rules of :func:`read_fasta`.

    White space and one ``*`` at the end are taken away and letters made upper case.

    Args:
        name: the protein's id, for messages.
        text: its residues, without a header.

    Raises:
        InputError: no residues, or a character that is not one, with its position counted without white space.
    """
    return _sequence(name, None, [(None, "".join(text.split()))], None)


def write_fasta(path: FilePath, proteins: Iterable[Protein], width: int = 60) -> None:
    """Write proteins as FASTA with ``width`` residues a line, atomically; gzip if the name ends in ``.gz``.

    Raises:
        ValueError: an id that is not one word, or no residues: it could not be read back.
    """
    with atomic_text(path) as stream:
        for protein in proteins:
            if protein.id.split() != [protein.id] or not protein.sequence:
                raise ValueError(f"cannot be written as FASTA: {protein!r}")
            rows = (protein.sequence[i : i + width] for i in range(0, len(protein.sequence), width))
            stream.write(f">{protein.id}\n" + "\n".join(rows) + "\n")


def _records(path: FilePath) -> Iterator[tuple[int, Protein]]:
    """Give each record and the line of its header."""
    name, start = "", 0
    parts: list[tuple[int, str]] = []
    for line, text in text_lines(path):
        if text.startswith(">"):
            if name:
                yield start, Protein(name, _sequence(name, start, parts, path))
            name, start, parts = _header_id(text, path, line), line, []
        elif residues := "".join(text.split()):
            if not name:
                raise _not_fasta(text, path, line)
            parts.append((line, residues))
    if name:
        yield start, Protein(name, _sequence(name, start, parts, path))


def _header_id(text: str, path: FilePath, line: int) -> str:
    words = text[1:].split(maxsplit=1)
    if not words:
        raise InputError("a header without an id", file=path, line=line, remedy=_LOOKS)
    if not is_text(words[0]):
        raise InputError(f"the id {words[0]!r} is not UTF-8 text", file=path, line=line, remedy="Save it as UTF-8.")
    return words[0]


def _sequence(name: str, start: int | None, parts: Sequence[tuple[int | None, str]], path: FilePath | None) -> str:
    """Join the lines of a record; refuse what is not a residue, with its line and its position in the record.

    ``start``, the lines in ``parts`` and ``path`` are None where the record does not come from a file.
    """
    sequence = "".join(text for _, text in parts)
    sequence = sequence.removesuffix("*")
    if not sequence:
        raise InputError(f"record '{name}' has no residues", file=path, line=start, remedy="Remove it or complete it.")
    # before upper(): some letters outside ASCII have capitals inside it
    if sequence.isascii() and RESIDUES.issuperset(sequence.upper()):
        return sequence.upper()
    places = ((line, letter) for line, text in parts for letter in text)
    position, (line, letter) = next(
        (position, place)
        for position, place in enumerate(places, start=1)
        if not place[1].isascii() or place[1].upper() not in RESIDUES
    )
    shown = f"'{letter}'" if letter.isprintable() and letter.isascii() else f"{letter!r} (U+{ord(letter):04X})"
    raise InputError(
        f"record '{name}': character {shown} at position {position} is not an amino acid",
        file=path,
        line=line,
        remedy=_remedy(letter),
    )


def _remedy(letter: str) -> str:
    if letter in "-.":
        return "Remove the alignment gaps: sequences must be unaligned."
    if letter == "*":
        return "A stop ('*') may stand at the end only: cut the sequence there or remove the record."
    if letter == ">":
        return "A header must start a line of its own."
    if letter.isdigit():
        return "Remove the numbers from the sequence lines."
    return f"The letters are {STANDARD_RESIDUES} and {RARE_RESIDUES}, in upper or lower case."


def _not_fasta(text: str, path: FilePath, line: int) -> InputError:
    kind = next((kind for start, kind in _OTHER_FORMATS if re.match(start, text)), "")
    looks = f"; this looks like {kind}" if kind else ""
    return InputError(f"not FASTA: text before the first '>'{looks}", file=path, line=line, remedy=_LOOKS)
