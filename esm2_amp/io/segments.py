"""Tables of ranked segments: the highest- and lowest-ranked segments of pairs, as ``esm2-amp explain`` writes them."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from esm2_amp.errors import InputError
from esm2_amp.io.atomic import atomic_text
from esm2_amp.io.pairs import counted, split_cells
from esm2_amp.io.text import FilePath, is_text, text_lines
from esm2_amp.layout import SEGMENTS

TOP, LOW = "top", "low"
COLUMNS = ("outcome", "kind", "rank", "protein_a", "protein_b", "token")
_METHOD = "method"


class RankedSegment(NamedTuple):
    """A row of such a table.

    ``outcome`` is label-prediction (``1-1`` a true positive, ``0-1`` a false positive, ``0-0`` a true negative,
    ``1-0`` a false negative); ``kind`` is ``top`` or ``low``; ``rank`` counts from 1, the highest or the lowest;
    ``token`` is a name of :data:`esm2_amp.layout.SEGMENTS`, as ``A_segment3``; ``line`` is where the row stands.
    """

    outcome: str
    kind: str
    rank: int
    protein_a: str
    protein_b: str
    token: str
    line: int

    @property
    def protein(self) -> str:
        """The protein whose segment this is."""
        return self.protein_a if self.token.startswith("A") else self.protein_b

    @property
    def segment(self) -> int:
        """Which of its ten segments, 0 to 9."""
        return int(self.token.removeprefix(f"{self.token[0]}_segment"))


def outcome_of(label: int | None, predicted: int) -> str:
    """``1-1`` and so on; ``?-1`` and ``?-0`` of a pair without a label."""
    return f"{'?' if label is None else label}-{predicted}"


def read_segments(path: FilePath, method: str | None) -> list[RankedSegment]:
    """Read a table of ranked segments (TSV or CSV, plain or gzip); further columns are passed over.

    Args:
        path: the table.
        method: where the table has a column ``method``: rows of this method only; None where it has one method.

    Raises:
        InputError: with file and line: a column is missing, a row of another width, an empty cell, a kind that is not
            top or low, a rank below 1, a token that is no segment; several methods and none chosen; no row.
    """
    columns, method_column, width, delimiter = list[int](), -1, 0, ""
    rows, methods = list[RankedSegment](), Counter[str]()
    for line, text in text_lines(path):
        if not text.strip():
            continue
        if not is_text(text):
            raise InputError("bytes that are not UTF-8 text", file=path, line=line, remedy="Save the file as UTF-8.")
        delimiter = delimiter or ("\t" if "\t" in text else ",")
        cells = split_cells(text, delimiter, path, line)
        if not columns:
            columns, width = _columns(cells, path, line), len(cells)
            method_column = cells.index(_METHOD) if _METHOD in cells else -1
            continue
        if len(cells) != width:
            what = f"{counted(len(cells), 'column')} where the header has {width}"
            raise InputError(what, file=path, line=line, remedy="Give every row the same columns.")
        here = cells[method_column] if method_column >= 0 else ""
        methods[here] += 1
        if method is None or here == method:
            rows.append(_row([cells[i] for i in columns], path, line))
    _check_methods(methods, method, path)
    return rows


def write_segments(path: FilePath, method: str, rows: Iterable[RankedSegment]) -> None:
    """Write a table of the segments that a method ranks, with the column ``method`` behind the others, atomically."""
    with atomic_text(path) as stream:
        table = csv.writer(stream, delimiter="\t", lineterminator="\n")
        table.writerow((*COLUMNS, _METHOD))
        table.writerows((*row[:-1], method) for row in rows)


def _columns(names: list[str], path: FilePath, line: int) -> list[int]:
    missing = [name for name in COLUMNS if names.count(name) != 1]
    if missing:
        what = f"not one column {missing[0]} among: {', '.join(names)[:200]}"
        raise InputError(what, file=path, line=line, remedy=f"The columns are {', '.join(COLUMNS)}.")
    return [names.index(name) for name in COLUMNS]


def _row(cells: list[str], path: FilePath, line: int) -> RankedSegment:
    outcome, kind, rank, a, b, token = cells
    for name, cell in zip(COLUMNS, cells, strict=True):
        if not cell:
            raise InputError(f"the {name} is empty", file=path, line=line, remedy="Fill it in or remove the row.")
    if kind not in (TOP, LOW):
        raise InputError(f"the kind is '{kind[:60]}'", file=path, line=line, remedy=f"It is {TOP} or {LOW}.")
    if not re.fullmatch("[1-9][0-9]{0,2}", rank):
        raise InputError(f"the rank is '{rank[:60]}'", file=path, line=line, remedy="Ranks are 1, 2, 3 and so on.")
    if token not in SEGMENTS.pair_names:
        first, last = SEGMENTS.pair_names[0], SEGMENTS.pair_names[-1]
        remedy = f"Segments are called {first} to {last}."
        raise InputError(f"the token '{token[:60]}' is no segment", file=path, line=line, remedy=remedy)
    return RankedSegment(outcome, kind, int(rank), a, b, token, line)


def _check_methods(methods: Counter[str], chosen: str | None, path: FilePath) -> None:
    """Refuse a table without rows of one method."""
    if not methods:
        raise InputError("the file holds no segment", file=path, remedy=f"Its columns are {', '.join(COLUMNS)}.")
    names = ", ".join(sorted(methods))
    if chosen is None and len(methods) > 1:
        raise InputError(f"segments of {len(methods)} methods: {names}", file=path, remedy="Choose one: method=NAME.")
    if chosen is not None and chosen not in methods:
        listed = f"its methods are {names}" if names else "it has no column method"
        raise InputError(f"no segment of the method '{chosen}': {listed}", file=path, remedy="Choose another method.")
