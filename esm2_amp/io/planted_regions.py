"""The simulator's table of regions: where the modules lie that decide which proteins interact."""

from __future__ import annotations

import re
from typing import NamedTuple

from esm2_amp.errors import InputError
from esm2_amp.io.text import FilePath, is_text, text_lines
from esm2_amp.records import Region

_HEADER = ("protein", "start", "end", "kind", "note")
_NOTE = re.compile(r"family=([^;=]+);binds=([^;=]+)")
_REMEDY = "Give the regions.tsv of a folder that esm2-amp simulate wrote."


class Module(NamedTuple):
    """An interaction module: a region of ``start`` to ``end`` (1-based, inclusive), its family, and which it binds."""

    start: int
    end: int
    family: str
    binds: str


def read_planted_regions(path: FilePath) -> dict[str, list[Region]]:
    """Regions by protein, in the order of the file; a protein without any has no entry.

    The table has the columns protein, start, end, kind and note, apart by tabs, and each note names a module's family
    and the family it binds, as in ``family=M01;binds=D03``.

    Raises:
        InputError: no such table, with file and line.
    """
    regions: dict[str, list[Region]] = {}
    header: tuple[str, ...] | None = None
    for line, text in text_lines(path):
        cells = tuple(cell.strip() for cell in text.split("\t"))
        if header is None:
            header = cells
            if header != _HEADER:
                raise InputError(
                    f"the columns are not {', '.join(_HEADER)}, apart by tabs", file=path, line=line, remedy=_REMEDY
                )
        elif text.strip():
            region = _region(cells, text, path, line)
            regions.setdefault(region.protein, []).append(region)
    if not regions:
        raise InputError("the file holds no region", file=path, remedy=_REMEDY)
    return regions


def module_of(region: Region) -> Module:
    """The interaction module that a region of the simulator is.

    Raises:
        InputError: its note names no family and partner.
    """
    found = _NOTE.fullmatch(region.note)
    if found is None:
        raise InputError(
            f"the note {region.note!r} of a region of {region.protein} does not read family=...;binds=...",
            remedy=_REMEDY,
        )
    return Module(region.start, region.end, *found.groups())


def _region(cells: tuple[str, ...], text: str, path: FilePath, line: int) -> Region:
    if len(cells) != len(_HEADER) or not is_text(text):
        raise InputError(
            f"{len(cells)} columns instead of {len(_HEADER)}, or bytes that are not UTF-8 text",
            file=path,
            line=line,
            remedy=_REMEDY,
        )
    protein, start, end, kind, note = cells
    if not (start.isdecimal() and end.isdecimal() and 1 <= int(start) <= int(end)):
        raise InputError(
            f"{start!r} to {end!r} are not residue numbers from 1 on, in order", file=path, line=line, remedy=_REMEDY
        )
    region = Region(protein, int(start), int(end), kind, note)
    try:
        module_of(region)
    except InputError as error:
        raise InputError(error.what, file=path, line=line, remedy=error.remedy) from None
    return region
