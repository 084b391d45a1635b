"""Tables of scored pairs: two ids, a label and a probability, as ``train`` writes them into ``predictions``.

Policies: a row without a label or without a probability measures nothing and is counted; of a pair that comes again,
in either order, the first row is kept and the others are counted; a pair with both labels is an error or is left out
and counted, as asked.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from esm2_amp.errors import InputError
from esm2_amp.io.pairs import ID_COLUMNS, counted, parse_label, split_cells
from esm2_amp.io.resolve import Policy, same_pairs
from esm2_amp.io.text import FilePath, is_text, text_lines

_REMEDY = "A table of scores has the columns protein_a, protein_b, label and probability."


class ScoredRow(NamedTuple):
    """A row of a table of scores; label and probability are None where their cell is empty."""

    a: str
    b: str
    label: int | None
    probability: float | None
    line: int


@dataclass(frozen=True, eq=False)
class ScoredPairs:
    """Labelled pairs with a probability, n of them, each pair once, in the order of their rows.

    ``a`` and ``b`` are positions in ``proteins``; ``counts`` says what became of the rows: ``rows``, ``measured``,
    ``without_label``, ``without_probability``, ``repeated``, ``repeated_with_another_probability`` (of those) and
    ``both_labels``.
    """

    proteins: tuple[str, ...]
    a: NDArray[np.int32]
    b: NDArray[np.int32]
    label: NDArray[np.int8]
    probability: NDArray[np.float64]
    counts: dict[str, int]

    def __len__(self) -> int:
        return len(self.label)


class ScoreCollector:
    """Takes rows one by one, some twenty bytes each, and makes :class:`ScoredPairs` of them."""

    def __init__(self) -> None:
        self._number: dict[str, int] = {}
        self._a, self._b, self._label, self._line = array("i"), array("i"), array("b"), array("q")
        self._probability = array("d")
        self._counts = {"rows": 0, "without_label": 0, "without_probability": 0}

    def add(self, row: ScoredRow) -> None:
        """Take a row, or count why it measures nothing."""
        self._counts["rows"] += 1
        if row.label is None or row.probability is None:
            self._counts["without_label"] += row.label is None
            self._counts["without_probability"] += row.probability is None
            return
        self._a.append(self._number.setdefault(row.a, len(self._number)))
        self._b.append(self._number.setdefault(row.b, len(self._number)))
        self._label.append(row.label)
        self._line.append(row.line)
        self._probability.append(row.probability)

    def pairs(self, conflicts: Policy, file: FilePath | None) -> ScoredPairs:
        """Each pair once.

        Args:
            conflicts: what to do about a pair with both labels; "drop" leaves out all its rows.
            file: for messages.

        Raises:
            InputError: a pair with both labels, if that is an error.
        """
        names = tuple(self._number)
        a, b = np.array(self._a, np.int32), np.array(self._b, np.int32)
        label, probability = np.array(self._label, np.int8), np.array(self._probability)
        first, zero, one = same_pairs(a.astype(np.int64), b.astype(np.int64), label)
        clash = (zero < label.size) & (one < label.size)
        if conflicts == "error" and clash.any():
            row = int(np.flatnonzero(clash)[0])
            raise InputError(
                f"{names[a[row]]} - {names[b[row]]} has the label 0 on line {self._line[zero[row]]} and 1 on line "
                f"{self._line[one[row]]}",
                file=file,
                line=max(self._line[zero[row]], self._line[one[row]]),
                remedy="Decide which label is right.",
            )
        stays = ~clash & (first == np.arange(label.size))
        again = ~clash & ~stays
        counts = self._counts | {
            "measured": int(stays.sum()),
            "repeated": int(again.sum()),
            "repeated_with_another_probability": int((again & (probability != probability[first])).sum()),
            "both_labels": int(clash.sum()),
        }
        return ScoredPairs(names, a[stays], b[stays], label[stays], probability[stays], counts)


def read_scores(path: FilePath, identity: Callable[[str], str]) -> ScoredPairs:
    """Read a table of scores.

    Args:
        path: TSV or CSV, plain or gzip, with a header.
        identity: what makes a protein itself, from its id: the id, or the key of its sequence.

    Raises:
        InputError: with file and line; also a pair with both labels, and a table without any measurable row.
    """
    collector = ScoreCollector()
    for row in iter_scores(path):
        collector.add(row._replace(a=identity(row.a), b=identity(row.b)))
    pairs = collector.pairs("error", path)
    if not len(pairs):
        counts = pairs.counts
        raise InputError(
            f"none of {counted(counts['rows'], 'row')} has both a label and a probability (without a label: "
            f"{counts['without_label']}, without a probability: {counts['without_probability']})",
            file=path,
            remedy="Give labelled pairs with their scores.",
        )
    return pairs


def iter_scores(path: FilePath) -> Iterator[ScoredRow]:
    """Stream the rows of a table of scores; other columns than the four are passed over.

    Raises:
        InputError: at the row it concerns: no such columns, a label that is not 0 or 1, a probability that is not a
            number from 0 to 1, an empty id.
    """
    columns: tuple[int, int, int, int] | None = None
    width, delimiter = 0, ""
    for line, text in text_lines(path):
        if not text.strip():
            continue
        if not is_text(text):
            raise InputError("bytes that are not UTF-8 text", file=path, line=line, remedy="Save the file as UTF-8.")
        if columns is None:
            delimiter = "\t" if "\t" in text else ","
            names = [cell.lower() for cell in split_cells(text, delimiter, path, line)]
            columns, width = _columns(names, path, line), len(names)
            continue
        cells = split_cells(text, delimiter, path, line)
        if len(cells) != width:
            what = f"{counted(len(cells), 'column')} where the header has {width}"
            raise InputError(what, file=path, line=line, remedy="Give every row the same columns.")
        a, b, label, probability = (cells[i] for i in columns)
        if not a or not b:
            raise InputError("an id is empty", file=path, line=line, remedy="Fill it in or remove the row.")
        yield ScoredRow(a, b, parse_label(label, path, line), _probability(probability, path, line), line)
    if columns is None:
        raise InputError("the file is empty", file=path, remedy=_REMEDY)


def _columns(names: list[str], path: FilePath, line: int) -> tuple[int, int, int, int]:
    couple = next((couple for couple in ID_COLUMNS if set(couple) <= set(names)), ID_COLUMNS[0])
    wanted = (*couple, "label", "probability")
    for name in wanted:
        if names.count(name) != 1:
            what = f"no column '{name}' in the header" if name not in names else f"two columns are called '{name}'"
            raise InputError(what, file=path, line=line, remedy=_REMEDY)
    a, b, label, probability = (names.index(name) for name in wanted)
    return a, b, label, probability


def _probability(cell: str, path: FilePath, line: int) -> float | None:
    if not cell:
        return None
    try:
        value = float(cell)
    except ValueError:
        raise InputError(
            f"the probability '{cell[:60]}' is not a number", file=path, line=line, remedy="Leave it empty if unknown."
        ) from None
    if not 0 <= value <= 1:
        raise InputError(
            f"the probability {cell[:60]} is not in [0, 1]",
            file=path,
            line=line,
            remedy="Give probabilities; other scores must be calibrated first.",
        )
    return value
