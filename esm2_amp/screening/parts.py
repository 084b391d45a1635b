"""What a screening has scored so far: a folder of parts, each whole or not there."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from esm2_amp.errors import InputError
from esm2_amp.io.atomic import atomic_path, write_json
from esm2_amp.screening.background import Background
from esm2_amp.screening.part_files import BACKGROUND, PAIRS, SCORE_ANEW, damaged, read_checked, record_of, writing
from esm2_amp.screening.tables import ID_COLUMNS, PairTable
from esm2_amp.screening.work import Rows

_PLAN = Path("plan") / "plan.json"
_COLUMNS = ("logit", "probability")
_OPEN_FILES = 256  # of many processes' parts, whose units alternate


class KeptPairs(NamedTuple):
    """The pairs kept of a unit: numbers of the proteins (m,), logits (m,) and probabilities (m,)."""

    a: Rows
    b: Rows
    logit: NDArray[np.float32]
    probability: NDArray[np.float32]

    def where(self, mask: NDArray[np.bool_]) -> KeptPairs:
        """Those of the pairs where ``mask`` (m,) is true."""
        return KeptPairs(self.a[mask], self.b[mask], self.logit[mask], self.probability[mask])


class Parts:
    """The finished parts of one screening. Several processes may add to them at once.

    Each part is a folder: ``pairs.parquet`` with a row group for each unit that has pairs to keep, the counts that
    these units add to the histograms, and a record, from which a damaged part is known. See :func:`open_parts`.

    Args:
        folder: where they are.
        ids: (n,) of the proteins.
        edges: where the histograms begin and end.
        seconds: after how many a process commits what it has scored.
    """

    def __init__(self, folder: Path, ids: Sequence[str], edges: tuple[float, float], seconds: float) -> None:
        self.folder, self.ids, self.edges, self.seconds = folder, ids, edges, seconds
        self.table = PairTable(ids, _COLUMNS)

    def empty_background(self) -> Background:
        """Histograms of all the proteins without a pair."""
        return Background(len(self.ids), *self.edges)

    def done(self) -> set[int]:
        """The finished units."""
        return set(self._places())

    def background(self) -> Background:
        """Histograms of all scored pairs.

        Raises:
            InputError: a damaged part.
        """
        background = self.empty_background()
        for part in self._folders():
            table = read_checked(part, BACKGROUND, lambda file: pq.ParquetFile(file).read())
            cells = table["cell"].to_numpy()
            if len(cells) and not 0 <= cells.min() <= cells.max() < background.counts.size:
                raise damaged(part, "counts of other proteins")
            background.add_cells(cells, table["count"].to_numpy())
        return background

    def kept(self) -> Iterator[KeptPairs]:
        """The kept pairs of all finished units, unit by unit in their order, in constant memory.

        Raises:
            InputError: a damaged part.
        """
        opened = lru_cache(maxsize=_OPEN_FILES)(lambda part: read_checked(part, PAIRS, pq.ParquetFile))
        for _, (part, group) in sorted(self._places().items()):
            if group is None:
                continue
            try:
                table = opened(part).read_row_group(group)
                numbers = [self.table.numbers(table[name]) for name in ID_COLUMNS]
            except (pa.ArrowException, OSError, KeyError, IndexError) as error:
                raise damaged(part, f"{PAIRS}: {error}") from error
            yield KeptPairs(numbers[0], numbers[1], *(table[name].to_numpy() for name in _COLUMNS))

    def _folders(self) -> list[Path]:
        return sorted(self.folder.glob("part-*"))

    def _places(self) -> dict[int, tuple[Path, int | None]]:
        """The part of every finished unit, and its row group there, if any."""
        places: dict[int, tuple[Path, int | None]] = {}
        for part in self._folders():
            record, group = record_of(part), 0
            for unit, rows in zip(record.units, record.rows, strict=True):
                if unit in places:
                    raise InputError(
                        f"holds pairs that {places[unit][0].name} holds, too", file=part, remedy=SCORE_ANEW
                    )
                places[unit] = (part, group if rows else None)
                group += rows > 0
        return places


def open_parts(
    folder: str | os.PathLike[str],
    ids: Sequence[str],
    fingerprint: Mapping[str, Any],
    edges: Callable[[], tuple[float, float]],
    seconds: float,
) -> Parts:
    """The parts in a folder, which are those of the same screening, or none yet.

    Args:
        folder: made if absent.
        ids: (n,) of the proteins.
        fingerprint: all that the scores, their units and what is kept of them depend on, as plain JSON values.
        edges: gives where the histograms begin and end; asked only where nothing is there yet.
        seconds: after how many a process commits what it has scored.

    Raises:
        InputError: parts of another screening, by the first entry of the fingerprint that differs, or a damaged plan.
    """
    folder = Path(folder)
    file, wanted = folder / _PLAN, json.loads(json.dumps(fingerprint))
    if not file.exists():
        if any(folder.glob("part-*")):
            raise InputError("parts without their plan", file=folder, remedy="Remove this folder, or give another.")
        _write_plan(file, {"fingerprint": wanted, "edges": list(edges())})
    plan = _read_plan(file)
    found = plan["fingerprint"]
    for name in sorted(wanted.keys() | found.keys()):
        if wanted.get(name) != found.get(name):
            raise InputError(
                f"holds the parts of another screening: {name} was {found.get(name)}, and is {wanted.get(name)} now",
                file=folder,
                remedy="Give the command as it was given first, or remove this folder to begin anew.",
            )
    return Parts(folder, ids, (plan["edges"][0], plan["edges"][1]), seconds)


def _write_plan(file: Path, plan: dict[str, Any]) -> None:
    """As a folder: of several processes that begin at once one is the first, and all read its plan."""
    try:
        with writing(file.parent.parent, "nothing is scored yet"), atomic_path(file.parent) as place:
            write_json(place / file.name, plan)
    except InputError:
        if not file.exists():
            raise


def _read_plan(file: Path) -> dict[str, Any]:
    try:
        plan: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        low, high = plan["edges"]
        if not (isinstance(plan["fingerprint"], dict) and float(low) < float(high)):
            raise ValueError("not a plan")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"the plan cannot be read ({error})", file=file, remedy="Remove the folder of the parts to begin anew."
        ) from error
    return plan
