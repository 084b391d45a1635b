"""Annotations in GFF3, as InterProScan and UniProt write it, and in plain tables, as the simulator writes them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import unquote

from esm2_amp.errors import InputError
from esm2_amp.io.pairs import counted
from esm2_amp.io.region_parts import Item, Lines, Named, end_cell, kind_name, located, whole_number
from esm2_amp.io.text import FilePath

TABLE_COLUMNS = ("protein", "start", "end", "kind")
_SEQUENCE = re.compile(r"##sequence-region\s+(\S+)\s+1\s+(\S+)\s*")
_WHOLE, _MATCH = "polypeptide", "protein_match"
_ENTRY = re.compile(r"InterPro:(IPR[0-9]{6})")


def gff3(lines: Lines, path: FilePath) -> Iterator[Item]:
    """Read GFF3. The kind is the type of a feature; of a ``protein_match`` of InterProScan, the analysis.

    ``##sequence-region`` and ``polypeptide`` give lengths; sequences behind ``##FASTA`` are not read.

    Raises:
        InputError: a row that has not nine columns, an end that is no number, a length that is none.
    """
    for line, text in lines:
        if text.startswith("##FASTA") or text.startswith(">"):
            return
        if (region := _SEQUENCE.fullmatch(text)) is not None:
            yield Named(unquote(region[1]), whole_number(region[2], path, line), line)
        elif text.strip() and not text.startswith("#"):
            yield from _gff3_row(text, path, line)


def _gff3_row(text: str, path: FilePath, line: int) -> Iterator[Item]:
    cells = [cell.strip() for cell in text.split("\t")]
    if len(cells) == 10 and not cells[9]:
        cells.pop()  # UniProt ends its rows with a tab
    if len(cells) != 9 or not cells[0]:
        what = f"not a row of GFF3 ({counted(len(cells), 'column')})"
        raise InputError(what, file=path, line=line, remedy="It has nine columns; the first is the protein.")
    protein, source, kind = (unquote(cell) for cell in cells[:3])
    ends = (end_cell(cells[3], path, line), end_cell(cells[4], path, line))
    if kind == _WHOLE:
        yield Named(protein, whole_number(ends[1], path, line), line)
        return
    said = dict(part.partition("=")[::2] for part in cells[8].split(";") if "=" in part)
    note = unquote(" ".join(said[key] for key in ("Name", "signature_desc", "Note") if key in said))
    entry = _ENTRY.search(said.get("Dbxref", ""))
    yield Named(protein, None, line)
    name = source if kind == _MATCH else kind_name(kind)
    yield from located(protein, name, ends, note=note, line=line, entry=entry[1] if entry else "")


def region_table(lines: Lines, path: FilePath) -> Iterator[Item]:
    """Read a table with the columns protein, start, end, kind and, optionally, note; kinds stay as written.

    Raises:
        InputError: a row of another width, an empty cell, an end that is no number.
    """
    line, text = next(lines)
    names = [cell.strip().lower() for cell in text.split("\t")]
    columns = [names.index(name) for name in TABLE_COLUMNS]
    for line, text in lines:
        if not text.strip():
            continue
        cells = [cell.strip() for cell in text.split("\t")]
        if len(cells) != len(names):
            what = f"{counted(len(cells), 'column')} where the header has {len(names)}"
            raise InputError(what, file=path, line=line, remedy="Give every row the same columns.")
        protein, start, end, kind = (cells[i] for i in columns)
        if not protein or not kind:
            raise InputError("a protein or a kind is empty", file=path, line=line, remedy="Fill it in.")
        note = cells[names.index("note")] if "note" in names else ""
        ends = (end_cell(start, path, line), end_cell(end, path, line))
        yield Named(protein, None, line)
        yield from located(protein, kind, ends, note=note, line=line)
