"""From parts to the one result: the pairs that stay, in the order of the work, and what is said of each protein."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from esm2_amp.errors import InputError
from esm2_amp.features.store_lock import StoreLock
from esm2_amp.io.atomic import atomic_path
from esm2_amp.screening.background import Background, Percentiles
from esm2_amp.screening.keep import Best, Keep
from esm2_amp.screening.part_files import remove_left_behind, writing
from esm2_amp.screening.parts import KeptPairs
from esm2_amp.screening.tables import ID_COLUMNS, PairTable
from esm2_amp.screening.work import Rows

COLUMNS = ("logit", "probability", "probability_at_prevalence", "percentile_a", "percentile_b")
_GROUP_ROWS = 1 << 18


@dataclass(frozen=True)
class ProteinSummary:
    """What a screening says of each of the n proteins.

    Attributes:
        pairs: how many pairs are in the result.
        scored: (n,) pairs scored of each protein.
        kept: (n,) pairs of it in the result.
        best_partner: (n,) number of the partner in its best pair of the result; -1 where it has none.
        best_logit: (n,) that pair's logit; NaN where it has none.
        mean_logit: (n,) over its pairs in the background, to half a bin of the histogram; NaN where it has none.
    """

    pairs: int
    scored: Rows
    kept: Rows
    best_partner: Rows
    best_logit: NDArray[np.float32]
    mean_logit: NDArray[np.float64]


class Finished(Protocol):
    """What is asked of the parts of a finished work; see :class:`~esm2_amp.screening.parts.Parts`."""

    @property
    def ids(self) -> Sequence[str]:
        """(n,) of the proteins."""
        ...

    @property
    def folder(self) -> Path:
        """Where they are."""
        ...

    def done(self) -> set[int]:
        """The finished units."""
        ...

    def background(self) -> Background:
        """Histograms of all scored pairs."""
        ...

    def kept(self) -> Iterator[KeptPairs]:
        """The pairs kept, unit by unit."""
        ...


def finish(
    parts: Finished,
    units: int,
    keep: Keep,
    prevalence: Callable[[NDArray[np.float32]], NDArray[np.float64]],
    background: Background | None,
    output: str | os.PathLike[str],
) -> ProteinSummary:
    """Write the result as one Parquet file, atomically; the bytes depend on the scores alone, not on the parts.

    Columns: ``protein_a``, ``protein_b``, ``logit``, ``probability``, ``probability_at_prevalence``, and
    ``percentile_a`` and ``percentile_b``, the share of each protein's pairs in the background that score lower.

    Args:
        parts: all of a screening.
        units: how many there are of its work.
        keep: which pairs stay.
        prevalence: probabilities at the stated prevalence, of logits.
        background: what each protein's scores are compared with, as those of random pairs where the parts hold chosen
            ones; None for all the pairs of the parts.
        output: the file.

    Raises:
        InputError: units that are not scored yet, a damaged part, no space left; another process writes the result.
    """
    missing = units - len(parts.done())
    if missing:
        raise InputError(
            f"{missing:,} of {units:,} units are not scored yet",
            file=parts.folder,
            remedy="Give the same command again.",
        )
    own, tally = parts.background(), _Tally(len(parts.ids))
    background = background or own
    scored, means, percentiles = own.scored(), background.means(), Percentiles(background)
    del own, background
    target, kept = Path(output), f"all is scored and kept in {parts.folder}"
    with StoreLock(parts.folder / ".result", "this result"), writing(target, kept):
        remove_left_behind(target.parent, f".{glob.escape(target.name)}.????????")  # as atomic_path names them
        with atomic_path(target) as path, _Rows(path, parts.ids) as rows:
            for pairs in _staying(parts, keep):
                tally.add(pairs)
                rows.add(
                    pairs.a, pairs.b, pairs.logit, pairs.probability, prevalence(pairs.logit).astype(np.float32),
                    percentiles(pairs.a, pairs.logit), percentiles(pairs.b, pairs.logit),
                )  # fmt: skip
    return tally.summary(scored, means)


def best(path: str | os.PathLike[str], count: int) -> pd.DataFrame:
    """The ``count`` pairs of a result with the highest logits, best first; of equal ones those that come first.

    Read row group by row group, so that memory goes with ``count``, not with the file.
    """
    found: pd.DataFrame | None = None
    with pq.ParquetFile(path) as file:
        for group in range(file.num_row_groups):
            table = file.read_row_group(group)
            logits = table["logit"].to_numpy()
            table = table.take(np.sort(np.argsort(-logits, kind="stable")[:count]))
            frame = table.to_pandas().astype(dict.fromkeys(ID_COLUMNS, "str"))
            frame = frame if found is None else pd.concat([found, frame], ignore_index=True)
            found = frame.sort_values("logit", ascending=False, kind="stable", ignore_index=True).head(count)
        if found is None:
            found = file.schema_arrow.empty_table().to_pandas().astype(dict.fromkeys(ID_COLUMNS, "str"))
    return found


def _staying(parts: Finished, keep: Keep) -> Iterator[KeptPairs]:
    """The pairs of the result, in the order of the work."""
    if keep.top is None:
        yield from parts.kept()
        return
    best = Best(len(parts.ids), keep.top)
    for pairs in parts.kept():
        best.add(pairs.a, pairs.b, pairs.logit)
    for pairs in parts.kept():
        yield pairs.where(best.holds(pairs.a, pairs.b, pairs.logit))


class _Rows:
    """A Parquet file with row groups of one size, whatever the pieces its rows come in."""

    def __init__(self, path: Path, ids: Sequence[str]) -> None:
        self._table, self._path = PairTable(ids, COLUMNS), path
        self._waiting: list[tuple[NDArray[Any], ...]] = []

    def __enter__(self) -> _Rows:
        self._file = self._table.writer(self._path)
        return self

    def add(self, *columns: NDArray[Any]) -> None:
        """Take in rows: the two columns of numbers (m,), then the others (m,)."""
        self._waiting.append(columns)
        while sum(len(piece[0]) for piece in self._waiting) >= _GROUP_ROWS:
            self._write(_GROUP_ROWS)

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            if any(len(piece[0]) for piece in self._waiting):
                self._write(_GROUP_ROWS)
            self._file.close()
        else:
            with suppress(OSError, pa.ArrowException):
                self._file.close()

    def _write(self, rows: int) -> None:
        whole = [np.concatenate(column) for column in zip(*self._waiting, strict=True)]
        a, b, *numbers = (column[:rows] for column in whole)
        self._waiting = [tuple(column[rows:] for column in whole)]
        self._file.write_table(self._table.table(a, b, dict(zip(COLUMNS, numbers, strict=True))), row_group_size=rows)


class _Tally:
    """Of each of n proteins the pairs in the result, and the best of them."""

    def __init__(self, n: int) -> None:
        self._n, self._pairs = n, 0
        self._kept = np.zeros(n, np.int64)
        self._logit, self._partner = np.full(n, -np.inf, np.float32), np.full(n, n, np.int64)

    def add(self, pairs: KeptPairs) -> None:
        """Count pairs."""
        self._pairs += len(pairs.a)
        other = pairs.a != pairs.b  # a protein's pair with itself counts once
        self._add(pairs.a, pairs.b, pairs.logit)
        self._add(pairs.b[other], pairs.a[other], pairs.logit[other])

    def _add(self, protein: Rows, partner: Rows, logit: NDArray[np.float32]) -> None:
        self._kept += np.bincount(protein, minlength=self._n)
        before = self._logit.copy()
        np.maximum.at(self._logit, protein, logit)
        self._partner[self._logit > before] = self._n
        best = logit == self._logit[protein]
        np.minimum.at(self._partner, protein[best], partner[best])

    def summary(self, scored: Rows, means: NDArray[np.float64]) -> ProteinSummary:
        """With what the histograms say."""
        none = self._kept == 0
        self._partner[none], self._logit[none] = -1, np.nan
        return ProteinSummary(self._pairs, scored, self._kept, self._partner, self._logit, means)
