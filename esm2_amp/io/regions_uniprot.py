"""Annotations of UniProt: its tables, whose cells list features, the published tool's spelling of them, its JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from esm2_amp.errors import InputError
from esm2_amp.io.pairs import counted
from esm2_amp.io.region_parts import KIND_NAMES, PLACE, Annotation, Item, Lines, Named, kind_name, located, whole_number
from esm2_amp.io.text import FilePath

ID_COLUMNS = ("entry", "accession", "primary accession", "protein")
LENGTH_COLUMN = "length"
_ANY_PLACE = re.sub(r"\?P<\w+>", "?:", PLACE)
_KEY, _TITLE = r"[A-Z][A-Z_]{2,14}", r"[A-Za-z][A-Za-z _/-]{0,40}"
_HEADS = (
    re.compile(rf"(?P<kind>{_KEY}) {PLACE}(?=\s*;|\s*$)"),
    re.compile(rf"(?P<kind>{_TITLE})\[{PLACE}\]:?(?=[\s;]|$)"),
)
"""How a feature begins, in UniProt's spelling and in that of the published tool (Sun et al. 2025)."""
_AHEAD = rf"(?=\s*;\s*(?:/\w+=\"|{_KEY} {_ANY_PLACE}\s*(?:;|$)|{_TITLE}\[{_ANY_PLACE}\])|\s*;?\s*$)"
_QUALIFIER = re.compile(r"\s*;?\s*/(?P<name>\w+)=\"(?P<value>.*?)\"" + _AHEAD)
"""A text ends at the quote before another qualifier, another feature or the end: it may hold ``;`` and quotes."""
_BETWEEN = re.compile(r"\s*;\s*|\s*$|(?<=:)\s+")
"""The published tool writes no ``;`` behind a feature without qualifiers."""
_NOTES = ("note", "ligand")
_CELL = 'A feature is written DOMAIN 12..85; /note="SH3" or Region[12,85]: /note="SH3"; features are divided by "; ".'


def uniprot_table(lines: Lines, path: FilePath) -> Iterator[Item]:
    """Read a table of UniProt: a column Entry (or accession), perhaps Length, and columns of features.

    A column holds features if it has the name of a kind (``Domain [FT]``, ``Motif``, ``ft_act_site``) or if its first
    cell that is not empty begins with a feature. Other columns are passed over. The kind of a feature is the one that
    its cell names.

    Raises:
        InputError: a row of another width, an empty id, a length that is no number, a cell that is not features, no
            column of features.
    """
    line, text = next(lines)
    names = [_plain(cell).strip().lower() for cell in text.split("\t")]
    ids = next(names.index(name) for name in ID_COLUMNS if name in names)
    features: dict[int, bool] = {i: True for i, name in enumerate(names) if _is_kind(name)}
    for line, text in lines:
        if not text.strip():
            continue
        cells = [_plain(cell).strip() for cell in text.split("\t")]
        if len(cells) != len(names):
            what = f"{counted(len(cells), 'column')} where the header has {len(names)}"
            raise InputError(what, file=path, line=line, remedy="Give every row the same columns.")
        if not cells[ids]:
            raise InputError("the id is empty", file=path, line=line, remedy="Fill it in or remove the row.")
        length = cells[names.index(LENGTH_COLUMN)] if LENGTH_COLUMN in names else ""
        yield Named(cells[ids], whole_number(length, path, line) if length else None, line)
        for i, cell in enumerate(cells):
            if not cell or i == ids:
                continue
            if begins_a_feature(cell) and not features.setdefault(i, True):
                what = f"the column '{names[i]}' holds features here and other text above"
                raise InputError(what, file=path, line=line, remedy="Give features a column of their own.")
            if features.setdefault(i, False):
                yield from features_of(cell, cells[ids], path, line)
    if not any(features.values()):
        raise InputError("no column holds features", file=path, remedy=_CELL)


def features_of(cell: str, protein: str, path: FilePath | None, line: int) -> Iterator[Annotation]:
    """The features of one cell, in either spelling.

    Raises:
        InputError: a part of the cell that is neither a feature nor text about one.
    """
    at = 0
    while at < len(cell):
        head = next((match for begin in _HEADS if (match := begin.match(cell, at))), None)
        if head is None:
            raise _malformed(cell, at, path, line)
        said, at = dict[str, str](), head.end()
        while (qualifier := _QUALIFIER.match(cell, at)) is not None:
            said.setdefault(qualifier["name"], qualifier["value"])
            at = qualifier.end()
        between = _BETWEEN.match(cell, at)
        if between is None:
            raise _malformed(cell, at, path, line)
        at = between.end()
        note = next((said[name] for name in _NOTES if name in said), "")
        ends = (head["start"], head["end"] or head["start"])
        yield from located(protein, kind_name(head["kind"]), ends, note=note, line=line, isoform=head["isoform"] or "")


def begins_a_feature(cell: str) -> bool:
    """Whether a cell begins as a list of features does."""
    return any(begin.match(cell) for begin in _HEADS)


def uniprot_json(lines: Lines, path: FilePath) -> Iterator[Item]:
    """Read JSON of UniProt's REST service: one entry, a list of entries, or ``results`` of a search or a stream.

    The whole file is held in memory. ``line`` is the number of the entry.

    Raises:
        InputError: it is not JSON, or not of this form.
    """
    try:
        content = json.loads("\n".join(text for _, text in lines))
    except (ValueError, RecursionError) as error:
        line = error.lineno if isinstance(error, json.JSONDecodeError) else None
        raise InputError(f"this is not JSON ({error})", file=path, line=line) from error
    entries = content.get("results", [content]) if isinstance(content, dict) else content
    for number, entry in enumerate(entries if isinstance(entries, list) else [entries], start=1):
        yield from _json_entry(entry, number, path)


def _json_entry(entry: Any, number: int, path: FilePath) -> Iterator[Item]:
    protein = entry.get("primaryAccession") if isinstance(entry, dict) else None
    if not isinstance(protein, str) or not protein:
        raise InputError(
            f"entry {number} has no primaryAccession", file=path, remedy="Fetch UniProtKB entries with format=json."
        )
    try:
        length = entry.get("sequence", {}).get("length")
        yield Named(protein, None if length is None else whole_number(str(length), path, None), number)
        for feature in entry.get("features", []):
            place = feature["location"]
            ends = (_json_end(place["start"], "<"), _json_end(place["end"], ">"))
            kind, note = kind_name(_json_text(feature["type"])), _json_text(feature.get("description", ""))
            isoform = _json_text(place.get("sequence", ""))
            yield from located(protein, kind, ends, note=note, line=number, isoform=isoform)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"a feature of {protein} is not of UniProt's form ({type(error).__name__}: {error})", file=path
        ) from error


def _json_end(end: Mapping[str, Any], outside: str) -> str:
    """An end as the tables write it."""
    marks = {"EXACT": "", "OUTSIDE": outside, "UNSURE": "?", "UNKNOWN": "?"}
    mark, value = marks[end.get("modifier", "EXACT")], end.get("value")
    if value is None:
        return "?"
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 10**9:
        raise ValueError(f"the position {value!r}")
    return f"{mark}{value}"


def _json_text(value: Any) -> str:
    """Text that can be written again: JSON can spell half of a character."""
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not text")
    value.encode()
    return value


def _is_kind(name: str) -> bool:
    plain = name.removesuffix("[ft]").strip()
    return plain in KIND_NAMES or (name.startswith("ft_") and kind_name(name[3:].upper()) != name[3:].upper())


def _plain(cell: str) -> str:
    """A cell without the quotes that spreadsheets put around it."""
    if len(cell) > 1 and cell[0] == cell[-1] == '"':
        return cell[1:-1].replace('""', '"')
    return cell


def _malformed(cell: str, at: int, path: FilePath | None, line: int) -> InputError:
    rest = cell[at : at + 60] + ("..." if len(cell) > at + 60 else "")
    return InputError(f"not a feature: '{rest.strip()}'", file=path, line=line, remedy=_CELL)
