"""Annotations of InterPro: protein2ipr.dat, InterProScan's tables, and the list of InterPro's entries."""

from __future__ import annotations

import re
from collections.abc import Iterator

from esm2_amp.errors import InputError
from esm2_amp.io.pairs import counted
from esm2_amp.io.region_parts import Item, Lines, Named, end_cell, kind_name, located, whole_number
from esm2_amp.io.text import FilePath

INTERPRO = "InterPro"
"""Kind of a match in protein2ipr.dat, which does not say what its entries are."""
_ENTRY = re.compile(r"IPR[0-9]{6}")
_MD5 = re.compile(r"[0-9a-fA-F]{32}")


def is_protein2ipr(cells: list[str]) -> bool:
    """Whether a row has the form of protein2ipr.dat: accession, entry, its name, signature, start, end."""
    return len(cells) == 6 and _ENTRY.fullmatch(cells[1]) is not None


def is_interproscan(cells: list[str]) -> bool:
    """Whether a row has the form of InterProScan's TSV: 11 to 15 columns, the second an MD5 sum."""
    return 11 <= len(cells) <= 15 and _MD5.fullmatch(cells[1]) is not None


def protein2ipr(lines: Lines, path: FilePath) -> Iterator[Item]:
    """Read InterPro's protein2ipr.dat: six columns, no header, one match a row.

    Raises:
        InputError: a row of another form.
    """
    for line, text in lines:
        if text.strip():
            cells = _row(text, path, line)
            if not is_protein2ipr(cells):
                what = "not a row of protein2ipr.dat"
                remedy = "Its columns are accession, IPR entry, name of the entry, signature, start and end."
                raise InputError(what, file=path, line=line, remedy=remedy)
            protein, entry, name, signature = cells[:4]
            ends = (end_cell(cells[4], path, line), end_cell(cells[5], path, line))
            yield Named(protein, None, line)
            yield from located(protein, INTERPRO, ends, note=f"{entry} {name} ({signature})", line=line, entry=entry)


def interproscan(lines: Lines, path: FilePath) -> Iterator[Item]:
    """Read InterProScan's TSV; the kind is the analysis that found the match (Pfam, SMART...).

    Columns: protein, MD5, length, analysis, signature, its description, start, end, score, status, date and,
    optionally, InterPro entry, its description, GO terms, pathways.

    Raises:
        InputError: a row of another form.
    """
    for line, text in lines:
        if text.strip():
            cells = _row(text, path, line)
            if not is_interproscan(cells):
                what = f"not a row of InterProScan ({counted(len(cells), 'column')})"
                remedy = "It has 11 to 15 columns: protein, MD5 sum, length, analysis, signature and so on."
                raise InputError(what, file=path, line=line, remedy=remedy)
            yield Named(cells[0], whole_number(cells[2], path, line), line)
            ends = (end_cell(cells[6], path, line), end_cell(cells[7], path, line))
            note = " ".join(cell for cell in cells[4:6] if cell != "-")
            entry = cells[11] if len(cells) > 11 and _ENTRY.fullmatch(cells[11]) else ""
            yield from located(cells[0], cells[3], ends, note=note, line=line, entry=entry)


def entry_types(lines: Lines, path: FilePath) -> dict[str, str]:
    """Read InterPro's entry.list: what each entry is, as ``Domain`` or ``Active site``.

    Raises:
        InputError: a row of another form.
    """
    types = dict[str, str]()
    for line, text in lines:
        cells = text.rstrip("\r").split("\t")
        if len(cells) == 3 and _ENTRY.fullmatch(cells[0]) and cells[1]:
            types[cells[0]] = kind_name(cells[1])
        elif text.strip() and not is_entry_list(cells):
            remedy = "Its columns are ENTRY_AC, ENTRY_TYPE and ENTRY_NAME."
            raise InputError("not a row of entry.list", file=path, line=line, remedy=remedy)
    return types


def is_entry_list(cells: list[str]) -> bool:
    """Whether a row is the header of entry.list."""
    return cells[:2] == ["ENTRY_AC", "ENTRY_TYPE"]


def _row(text: str, path: FilePath, line: int) -> list[str]:
    cells = [cell.strip() for cell in text.split("\t")]
    if not cells[0]:
        raise InputError("the id is empty", file=path, line=line, remedy="Fill it in or remove the row.")
    return cells
