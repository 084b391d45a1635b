"""What the readers of annotations have in common: an annotation as its file gives it, and places in a sequence."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from esm2_amp.errors import InputError
from esm2_amp.io.text import FilePath

Lines = Iterator[tuple[int, str]]
"""Lines of a file and their numbers, from 1."""
END = r"(?:[<>?]?[0-9]{1,9}|\?)"
PLACE = rf"(?:(?P<isoform>[A-Za-z0-9]+-[0-9]+):)?(?P<start>{END})(?:(?:\.\.|,)(?P<end>{END}))?"
"""UniProt's ``12``, ``12..85``, ``<1..>50``, ``?..80`` and ``P12345-2:3..9``; a comma may stand for the dots."""
_END = re.compile(END)
BONDS = frozenset({"Disulfide bond", "Cross-link"})
"""Kinds whose two numbers are the two residues of a bond: nothing lies between them."""
_KEYS = {
    "DOMAIN": "Domain", "REGION": "Region", "COMPBIAS": "Compositional bias", "REPEAT": "Repeat", "MOTIF": "Motif",
    "ACT_SITE": "Active site", "BINDING": "Binding site", "SITE": "Site", "ZN_FING": "Zinc finger",
    "DNA_BIND": "DNA binding", "COILED": "Coiled coil", "TOPO_DOM": "Topological domain",
    "TRANSMEM": "Transmembrane", "INTRAMEM": "Intramembrane", "CA_BIND": "Calcium binding",
    "NP_BIND": "Nucleotide binding", "METAL": "Metal binding", "MOD_RES": "Modified residue", "LIPID": "Lipidation",
    "CARBOHYD": "Glycosylation", "DISULFID": "Disulfide bond", "CROSSLNK": "Cross-link",
    "NON_STD": "Non-standard residue", "SIGNAL": "Signal peptide", "TRANSIT": "Transit peptide",
    "PROPEP": "Propeptide", "CHAIN": "Chain", "PEPTIDE": "Peptide", "INIT_MET": "Initiator methionine",
    "VAR_SEQ": "Alternative sequence", "VARIANT": "Natural variant", "MUTAGEN": "Mutagenesis",
    "UNSURE": "Sequence uncertainty", "CONFLICT": "Sequence conflict", "NON_CONS": "Non-adjacent residues",
    "NON_TER": "Non-terminal residue", "HELIX": "Helix", "STRAND": "Beta strand", "TURN": "Turn",
}  # fmt: skip
"""UniProt's feature keys (https://www.uniprot.org/help/sequence_annotation) and their names in its other formats."""
KIND_NAMES = {name.lower(): name for name in _KEYS.values()} | {"signal": "Signal peptide"}
"""Names of UniProt's kinds by themselves in lower case."""


class Annotation(NamedTuple):
    """One annotation of a file, before any policy.

    ``start`` and ``end`` are residue numbers, 1-based and inclusive, None where the file does not know them;
    ``inexact`` says that one of them is marked (``<``, ``>``, ``?``); ``isoform`` is the protein whose residues the
    numbers count, where it is another than ``protein``; ``entry`` is its InterPro accession or empty; ``place`` is
    the place as written.
    """

    protein: str
    kind: str
    start: int | None
    end: int | None
    note: str = ""
    inexact: bool = False
    isoform: str = ""
    entry: str = ""
    place: str = ""
    line: int = 0


class Named(NamedTuple):
    """A protein that a file speaks about, annotated or not, and its length where the file says so."""

    protein: str
    length: int | None
    line: int


Item = Annotation | Named


def kind_name(text: str) -> str:
    """The usual name of a kind: ``ACT_SITE``, ``Active_site`` and ``active site`` are ``Active site``."""
    plain = text.replace("_", " ").strip()
    return _KEYS.get(text, KIND_NAMES.get(plain.lower(), plain))


def protein_key(name: str) -> str:
    """What a protein is known by in annotations: of ``sp|P69905|HBA_HUMAN`` the accession, else the name itself."""
    parts = name.split("|")
    return parts[1] if len(parts) == 3 and parts[1] else name


def located(
    protein: str, kind: str, ends: tuple[str, str], *, note: str, line: int, isoform: str = "", entry: str = ""
) -> Iterator[Annotation]:
    """The annotation between two ends written as :data:`END` has them; of a bond, its two residues."""
    first, last = ends
    place = (f"{isoform}:" if isoform else "") + (first if first == last else f"{first}..{last}")
    for start, end in [(first, first), (last, last)] if kind in BONDS and first != last else [ends]:
        inexact = not (start + end).isdigit()
        yield Annotation(protein, kind, _residue(start), _residue(end), note, inexact, isoform, entry, place, line)


COUNTED_FROM_1 = "Residues are counted from 1, and both ends belong to the region."


def end_cell(text: str, path: FilePath, line: int) -> str:
    """A cell of a table that holds an end of a region.

    Raises:
        InputError: it does not.
    """
    if not _END.fullmatch(text):
        raise InputError(f"'{text[:60]}' is not a residue number", file=path, line=line, remedy=COUNTED_FROM_1)
    return text


def whole_number(text: str, path: FilePath, line: int | None) -> int:
    """The length of a protein.

    Raises:
        InputError: it is not a whole number of at least 1.
    """
    if not re.fullmatch(r"[0-9]{1,9}", text) or not int(text):
        raise InputError(f"the length '{text[:60]}' is no whole number from 1 on", file=path, line=line)
    return int(text)


def _residue(text: str) -> int | None:
    digits = text.lstrip("<>?")
    return int(digits) if digits else None
