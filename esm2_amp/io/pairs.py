"""Lists of protein pairs: read in the forms people have, and made into arrays for training.

Policies of :func:`resolve_pairs`, each counted and listed: a pair of a protein with itself is kept (homodimers are
real); of a pair that comes again, in either order, one row is kept; a protein without a sequence, and a pair with
both labels, is an error or is dropped, as asked.
"""

from __future__ import annotations

import csv
import re
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from io import BufferedReader
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from esm2_amp.errors import InputError
from esm2_amp.io.atomic import atomic_text
from esm2_amp.io.fasta import FilePath, ProteinSet, is_text, lines_of, open_bytes
from esm2_amp.records import Pair, Protein

Policy = Literal["error", "drop"]
IssueKind = Literal["unknown_protein", "self_pair", "repeated_pair", "conflicting_label"]
Action = Literal["kept", "dropped"]

_ID_COLUMNS = (("protein_a", "protein_b"), ("protein1", "protein2"), ("id1", "id2"))
"""Names of the two id columns; of several such couples in one header the first listed here is read."""
_LABEL_COLUMN = "label"
_LABELS = {"0": 0, "1": 1, "0.0": 0, "1.0": 1, "": None}
_NAMES = "Name the columns protein_a, protein_b and, if there are labels, label."
_PARQUET_ROWS = 65_536
_SHOWN = 5


class _Columns(NamedTuple):
    """Where the ids and the label stand in a row (label -1: nowhere), and how many cells a row has."""

    a: int
    b: int
    label: int
    width: int


def iter_pairs(path: FilePath) -> Iterator[Pair]:
    """Stream the rows of a pair list in constant memory: TSV, CSV, words apart by spaces, or Parquet.

    Text may be gzip-compressed. What a file is, is read from its content, not from its name. Columns are found by a
    header with ``protein_a`` and ``protein_b`` (or ``protein1``, ``protein2``; ``id1``, ``id2``) and, optionally,
    ``label``, in any order and case, among others; without a header a row is two ids and, optionally, a label. A
    first row of three cells that ends in 0 or 1 is a row, not a header. Blank lines are skipped.

    Raises:
        InputError: at the first row asked for, or at the row it concerns, with file and line.
    """
    with open_bytes(path) as stream:
        # a protein may be called PAR1: in a Parquet file a control character follows
        parquet = re.match(rb"PAR1[\0-\x08\x0e-\x1f]", stream.peek(5))
        rows = _parquet_pairs(stream, path) if parquet else _text_pairs(stream, path)
        first = next(rows, None)
        if first is None:
            raise InputError("the file holds no pair", file=path, remedy="Give at least one row with two ids.")
        yield first
        yield from rows


def _text_pairs(stream: BufferedReader, path: FilePath) -> Iterator[Pair]:
    columns, delimiter = None, ""
    for line, text in lines_of(stream, path):
        if not text.strip():
            continue
        if not is_text(text):
            raise InputError("bytes that are not UTF-8 text", file=path, line=line, remedy="Save the file as UTF-8.")
        if columns is None:
            delimiter = "\t" if "\t" in text else "," if "," in text else " "
            cells = _cells(text, delimiter, path, line)
            header = _header(cells, path, line)
            columns = header or _unnamed(cells, path, line)
            if header:
                continue
        else:
            cells = _cells(text, delimiter, path, line)
        yield _row(cells, columns, path, line)


def _cells(text: str, delimiter: str, path: FilePath, line: int) -> list[str]:
    """Cut one line into cells; a quoted cell ends on its line."""
    if delimiter == " ":
        text = " ".join(text.split())
    if '"' not in text:
        return [cell.strip() for cell in text.split(delimiter)]
    try:
        return [cell.strip() for cell in next(csv.reader([text], delimiter=delimiter, strict=True))]
    except csv.Error as error:
        raise InputError(
            f"quotes that do not match ({error})", file=path, line=line, remedy="Close or remove the quotes."
        ) from error


def _header(cells: Sequence[str], path: FilePath, line: int | None) -> _Columns | None:
    """Find the columns by their names; None if this row does not look like a header."""
    names = [cell.lower() for cell in cells]
    couple = next((couple for couple in _ID_COLUMNS if set(couple) <= set(names)), None)
    if len(names) == 3 and _LABELS.get(names[2]) is not None:
        return None  # proteins may be called id1 and id2
    if couple is None:
        lonely = [name for name in names if any(name in couple for couple in _ID_COLUMNS)]
        if lonely:
            raise InputError(f"only one id column in the header: '{lonely[0]}'", file=path, line=line, remedy=_NAMES)
        return None
    twice = [name for name in (*couple, _LABEL_COLUMN) if names.count(name) > 1]
    if twice:
        raise InputError(f"two columns are called '{twice[0]}'", file=path, line=line, remedy="Rename one of them.")
    label = names.index(_LABEL_COLUMN) if _LABEL_COLUMN in names else -1
    return _Columns(names.index(couple[0]), names.index(couple[1]), label, len(names))


def _unnamed(cells: Sequence[str], path: FilePath, line: int) -> _Columns:
    """The columns of a file without a header: two ids and perhaps a label."""
    if cells[0].startswith(">"):
        raise InputError("this is a FASTA file, not a list of pairs", file=path, line=line, remedy=_NAMES)
    if len(cells) == 1:
        raise InputError(
            f"one column only: '{cells[0][:60]}'",
            file=path,
            line=line,
            remedy="Is the delimiter wrong? Columns are divided by tabs, commas or spaces.",
        )
    if len(cells) > 3:
        raise InputError(f"{len(cells)} columns without a header", file=path, line=line, remedy=_NAMES)
    return _Columns(0, 1, 2 if len(cells) == 3 else -1, len(cells))


def _row(cells: Sequence[str], columns: _Columns, path: FilePath, line: int) -> Pair:
    if len(cells) != columns.width:
        raise InputError(
            f"{_many(len(cells), 'column')} where the first row has {columns.width}",
            file=path,
            line=line,
            remedy="Give every row the same columns.",
        )
    a, b = cells[columns.a], cells[columns.b]
    if not a or not b:
        which = "first" if not a else "second"
        raise InputError(f"the {which} id is empty", file=path, line=line, remedy="Fill it in or remove the row.")
    label = cells[columns.label] if columns.label >= 0 else ""
    try:
        return Pair(a, b, _LABELS[label], line)
    except KeyError:
        raise _bad_label(label, path, line) from None


def _bad_label(label: object, path: FilePath, line: int) -> InputError:
    hint = f" If this row is a header: {_NAMES[0].lower()}{_NAMES[1:]}" if line == 1 else ""
    remedy = f"A label is 0 (does not interact), 1 (interacts) or empty.{hint}"
    return InputError(f"the label '{label}' is not 0 or 1", file=path, line=line, remedy=remedy)


def _parquet_pairs(stream: BufferedReader, path: FilePath) -> Iterator[Pair]:
    """Stream a Parquet file by batches of rows; ``line`` is the number of the row."""
    try:
        with pq.ParquetFile(stream) as file:
            names = file.schema_arrow.names
            columns = _header(names, path, None)
            if columns is None:
                found = f"no columns protein_a and protein_b among: {', '.join(names)}"
                raise InputError(found, file=path, remedy=_NAMES)
            used = [names[i] for i in columns[:3] if i >= 0]
            line = 0
            for batch in file.iter_batches(batch_size=_PARQUET_ROWS, columns=used):
                for row in zip(*(batch.column(name).to_pylist() for name in used), strict=True):
                    line += 1
                    yield _parquet_row(row, path, line)
    except (pa.ArrowException, OSError) as error:
        raise InputError("the Parquet file is damaged", file=path, remedy="Write or download it again.") from error


def _parquet_row(row: tuple[Any, ...], path: FilePath, line: int) -> Pair:
    """One row of Parquet values: ids are text or whole numbers, a label is text, a number or a boolean."""
    for value in row[:2]:
        if isinstance(value, bool) or not isinstance(value, str | int | None):
            raise InputError(f"the id {value!r} is not text", file=path, line=line, remedy="Write ids as text.")
    label = row[2] if len(row) == 3 else None
    if label is None or label != label:  # a missing number may be NaN, which differs from itself
        label = ""
    text = str(float(label)) if isinstance(label, int | float | Decimal) else str(label)
    cells = ["" if value is None else str(value).strip() for value in (*row[:2], text)]
    return _row(cells, _Columns(0, 1, 2, 3), path, line)


class PairIssue(NamedTuple):
    """A row of a pair list that a policy spoke about; ``a`` and ``b`` are the ids as written."""

    kind: IssueKind
    line: int
    a: str
    b: str
    action: Action
    detail: str


@dataclass(frozen=True, eq=False)
class PairTable:
    """Pairs as arrays of one length n, in the order of their file.

    ``a`` and ``b`` are positions in ``proteins`` (those used, each id once, by first use); ``label`` is 1, 0 or -1
    for none; ``line`` is where the row stands in its file; ``issues`` lists what the policies kept and dropped.
    """

    proteins: tuple[Protein, ...]
    a: NDArray[np.int32]
    b: NDArray[np.int32]
    label: NDArray[np.int8]
    line: NDArray[np.int64]
    issues: tuple[PairIssue, ...]

    def __len__(self) -> int:
        return len(self.line)


@dataclass(frozen=True, eq=False)
class _Rows:
    """Rows of a pair list as arrays; ``a`` and ``b`` are positions in ``names``, the ids as written."""

    names: list[str]
    a: NDArray[np.int32]
    b: NDArray[np.int32]
    label: NDArray[np.int8]
    line: NDArray[np.int64]

    def take(self, chosen: NDArray[np.bool_]) -> _Rows:
        return _Rows(self.names, self.a[chosen], self.b[chosen], self.label[chosen], self.line[chosen])

    def ids(self, row: int) -> tuple[str, str]:
        return self.names[self.a[row]], self.names[self.b[row]]

    def issue(self, row: int, kind: IssueKind, action: Action, detail: str) -> PairIssue:
        return PairIssue(kind, int(self.line[row]), *self.ids(row), action, detail)


def resolve_pairs(
    pairs: Iterable[Pair],
    proteins: ProteinSet,
    *,
    unknown: Policy,
    conflicts: Policy,
    need_labels: bool,
    file: FilePath | None,
) -> PairTable:
    """Find the sequences of pairs and apply the policies at the top of this module.

    Two rows are the same pair when their sequences are the same, in either order and whatever the ids. Of its rows
    the first with a label stays; if none has a label, the first.

    Args:
        pairs: the rows.
        proteins: the sequences.
        unknown: what to do about a row that names a protein without a sequence.
        conflicts: what to do about a pair with both labels; "drop" drops all its rows.
        need_labels: whether a row without a label is an error.
        file: where the rows come from, for messages.

    Raises:
        InputError: by these policies; an ambiguous accession; no row is left.
    """
    rows = _collect(pairs, need_labels, file)
    found = [proteins.get(name) for name in rows.names]
    issues: list[PairIssue] = []
    rows = _with_sequences(rows, found, unknown, proteins.file or "the FASTA file", file, issues)
    rows = _once_each(rows, found, conflicts, file, issues)
    if not len(rows.line):
        counts = ", ".join(f"{kind}: {count}" for kind, count in count_issues(issues).items())
        raise InputError(f"no pair is left ({counts})", file=file, remedy="Check the ids and the labels.")
    held = {protein.id: protein for protein in found if protein is not None}
    number = {name: position for position, name in enumerate(held)}
    position = np.array([-1 if protein is None else number[protein.id] for protein in found], dtype=np.int32)
    a, b = position[rows.a], position[rows.b]
    used = np.zeros(len(held), dtype=bool)
    used[a] = used[b] = True
    new = np.cumsum(used, dtype=np.int32) - np.int32(1)
    kept = tuple(protein for protein, use in zip(held.values(), used, strict=True) if use)
    by_line = tuple(sorted(issues, key=lambda issue: issue.line))
    return PairTable(kept, new[a], new[b], rows.label, rows.line, by_line)


def count_issues(issues: Iterable[PairIssue]) -> dict[str, int]:
    """Number of issues of each kind, zeros included."""
    counts = Counter(issue.kind for issue in issues)
    return {kind: counts[kind] for kind in get_args(IssueKind)}


def write_issues(path: FilePath, issues: Iterable[PairIssue]) -> None:
    """Write issues as a tab-separated table with a header, atomically."""
    with atomic_text(path) as stream:
        table = csv.writer(stream, delimiter="\t", lineterminator="\n")
        table.writerow(("kind", "line", "protein_a", "protein_b", "action", "detail"))
        table.writerows(issues)


def _collect(pairs: Iterable[Pair], need_labels: bool, file: FilePath | None) -> _Rows:
    number: dict[str, int] = {}
    a, b, label, line = array("i"), array("i"), array("b"), array("q")
    for pair in pairs:
        if need_labels and pair.label is None:
            what = f"the pair {pair.a} - {pair.b} has no label"
            raise InputError(what, file=file, line=pair.line, remedy=f"Training needs 0 or 1 in every row. {_NAMES}")
        a.append(number.setdefault(pair.a, len(number)))
        b.append(number.setdefault(pair.b, len(number)))
        label.append(-1 if pair.label is None else pair.label)
        line.append(pair.line)
    return _Rows(
        list(number), np.array(a, np.int32), np.array(b, np.int32), np.array(label, np.int8), np.array(line, np.int64)
    )


def _with_sequences(
    rows: _Rows,
    found: Sequence[Protein | None],
    policy: Policy,
    fasta: FilePath,
    file: FilePath | None,
    issues: list[PairIssue],
) -> _Rows:
    """The rows whose two proteins have sequences; the others are an error or go to ``issues``."""
    unknown = np.array([protein is None for protein in found], dtype=bool)
    missing = unknown[rows.a] | unknown[rows.b]
    lines: dict[str, int] = {}
    for row in map(int, np.flatnonzero(missing)):
        names = [rows.names[i] for i in (rows.a[row], rows.b[row]) if unknown[i]]
        if policy == "drop":
            detail = f"no sequence for {' and '.join(dict.fromkeys(names))} in {fasta}"
            issues.append(rows.issue(row, "unknown_protein", "dropped", detail))
        for name in names:
            lines.setdefault(name, int(rows.line[row]))
    if policy == "error" and lines:
        listed = _listed([f"{name} (line {line})" for name, line in lines.items()])
        raise InputError(
            f"no sequence in {fasta} for {_many(len(lines), 'id')} ({_many(missing.sum(), 'row')}): {listed}",
            file=file,
            line=next(iter(lines.values())),
            remedy="Add the sequences, correct the ids, or drop these rows with unknown=drop.",
        )
    return rows.take(~missing)


def _once_each(
    rows: _Rows,
    found: Sequence[Protein | None],
    policy: Policy,
    file: FilePath | None,
    issues: list[PairIssue],
) -> _Rows:
    """One row of each pair of sequences; pairs with both labels are an error or go to ``issues`` altogether."""
    numbers: dict[str, int] = {}
    sequence = np.array(
        [-1 if protein is None else numbers.setdefault(protein.sequence, len(numbers)) for protein in found], np.int64
    )
    a, b = sequence[rows.a], sequence[rows.b]
    first, zero, one = _same_pairs(a, b, rows.label)
    nowhere = len(first)
    clash = (zero < nowhere) & (one < nowhere)
    if policy == "error" and clash.any():
        raise _conflict_error(rows, np.flatnonzero(clash & (first == np.arange(nowhere))), zero, one, file)
    for row in map(int, np.flatnonzero(clash)):
        detail = f"label 0 on line {rows.line[zero[row]]}, label 1 on line {rows.line[one[row]]}"
        issues.append(rows.issue(row, "conflicting_label", "dropped", detail))
    stays = ~clash & (first == np.arange(nowhere))
    for row in map(int, np.flatnonzero(~clash & ~stays)):
        issues.append(rows.issue(row, "repeated_pair", "dropped", f"same pair on line {rows.line[first[row]]}"))
    for row in map(int, np.flatnonzero(stays & (a == b))):
        names = rows.ids(row)
        detail = "a protein with itself" if names[0] == names[1] else "two ids of one sequence"
        issues.append(rows.issue(row, "self_pair", "kept", detail))
    return rows.take(stays)


def _same_pairs(
    a: NDArray[np.int64], b: NDArray[np.int64], label: NDArray[np.int8]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """For each of n rows, among the rows of the same unordered pair: the one to keep, the first 0 and the first 1.

    Where there is no such label the number is n.
    """
    n = len(a)
    pairs, group = np.unique(np.minimum(a, b) << 32 | np.maximum(a, b), return_inverse=True)
    firsts = []
    for chosen in (label == 0, label == 1, label >= -1):
        first = np.full(len(pairs), n, dtype=np.int64)
        np.minimum.at(first, group[chosen], np.flatnonzero(chosen))
        firsts.append(first)
    zero, one, anything = firsts
    labelled = np.minimum(zero, one)
    return np.where(labelled < n, labelled, anything)[group], zero[group], one[group]


def _conflict_error(
    rows: _Rows,
    clashes: NDArray[np.int64],
    zero: NDArray[np.int64],
    one: NDArray[np.int64],
    file: FilePath | None,
) -> InputError:
    examples = [
        f"{' - '.join(rows.ids(int(row)))} (0 on line {rows.line[zero[row]]}, 1 on line {rows.line[one[row]]})"
        for row in clashes[:_SHOWN]
    ]
    return InputError(
        f"both labels for {_many(len(clashes), 'pair')}: {_listed(examples, len(clashes))}",
        file=file,
        line=int(rows.line[clashes[0]]),
        remedy="Decide which label is right, or drop these pairs with conflicts=drop.",
    )


def _listed(examples: Sequence[str], total: int | None = None) -> str:
    """The first few of ``total`` things, and how many more there are."""
    more = (len(examples) if total is None else total) - _SHOWN
    return ", ".join(examples[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _many(count: int, noun: str) -> str:
    return f"{count:,} {noun}" + ("" if count == 1 else "s")
