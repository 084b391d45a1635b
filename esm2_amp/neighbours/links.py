"""Addresses of web pages about proteins and genes, made from templates."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import quote

from esm2_amp.errors import InputError
from esm2_amp.neighbours.accessions import accession

TEMPLATES = {
    "uniprot": "https://www.uniprot.org/uniprotkb/{accession}/entry",
    "hpa": "https://www.proteinatlas.org/{id}",
    "mgnify": "https://www.ebi.ac.uk/metagenomics/proteins/{id}",
    "esmatlas": "https://esmatlas.com/explore/detail/{id}",
}
"""Known ones: UniProt, the Human Protein Atlas (Ensembl gene ids), MGnify, the ESM Metagenomic Atlas."""
_PLACE = re.compile(r"\{([^{}]*)\}")
_FORM = re.compile(r"https://[A-Za-z0-9.-]+(:\d+)?(/[^\s\"'<>\\]*)?")


class Link:
    """Makes the address of a vector.

    ``{id}`` stands for its id, ``{accession}`` for the accession in an id ``db|ACCESSION|NAME`` (else the id), and
    ``{column}`` for what a column of the metadata says; each is quoted, and none may stand in the host.

    Args:
        template: a name of :data:`TEMPLATES`, or an ``https`` address with places.
        columns: of the metadata.

    Raises:
        InputError: another kind of address, or an unknown place.
    """

    def __init__(self, template: str, columns: tuple[str, ...]) -> None:
        self.template = TEMPLATES.get(template, template)
        self.places = _PLACE.findall(self.template)
        bare = _PLACE.sub("", self.template)
        host = self.template.removeprefix("https://").split("/", 1)[0]
        if not _FORM.fullmatch(bare) or "{" in bare or "}" in bare or "{" in host or not self.places:
            raise InputError(
                f"link is {template!r}",
                remedy=f"Use {', '.join(TEMPLATES)}, or an address such as https://x.org/{{id}}.",
            )
        unknown = next((place for place in self.places if place not in ("id", "accession", *columns)), None)
        if unknown is not None:
            known = ", ".join(f"{{{name}}}" for name in ("id", "accession", *columns[:20]))
            raise InputError(f"link {template!r}: {{{unknown}}} is unknown", remedy=f"The places are {known}.")

    def url(self, id_: str, value: Callable[[str], str]) -> str | None:
        """The address of a vector; None where a column that it needs says nothing.

        Args:
            id_: its id.
            value: gives what a column says about it.
        """
        known = {"id": lambda: id_, "accession": lambda: accession(id_)}
        found = {place: known[place]() if place in known else value(place) for place in self.places}
        if not all(found.values()):
            return None
        return _PLACE.sub(lambda place: quote(found[place[1]], safe=""), self.template)
