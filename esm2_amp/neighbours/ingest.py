"""Vectors of any source into a folder of vectors: first the ids, all of them, then the vectors in one pass.

The ids come first because they are cheap to read: an id that comes twice is known before the first vector is copied.
A killed ingest goes on where it was and ends in the same bytes; a finished one is not done again.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from esm2_amp.errors import InputError
from esm2_amp.features.store_lock import StoreLock
from esm2_amp.neighbours.halves import to_halves
from esm2_amp.neighbours.ingest_ids import Repeats, ids_digest, open_repeats, write_ids
from esm2_amp.neighbours.ingest_plan import (
    check_duplicates,
    check_free,
    check_same,
    check_space,
    read_plan,
    wanted_plan,
    write_plan,
)
from esm2_amp.neighbours.readers.recognise import SourceOptions, open_source
from esm2_amp.neighbours.readers.source import ArraySource, Block, VectorSource
from esm2_amp.neighbours.string_table import StringTable
from esm2_amp.neighbours.vector_manifest import NAME, PROGRESS, VectorManifest, read_vector_manifest
from esm2_amp.neighbours.vector_writer import VectorWriter
from esm2_amp.neighbours.vectors import DATA, IDS, Vectors, open_vectors

Step = Callable[[int], None]


@dataclass(frozen=True)
class IngestReport:
    """What came of an ingest.

    ``finished_before``: everything was there already; ``resumed_at``: how many rows an earlier process had written.
    """

    vectors: Vectors
    finished_before: bool
    resumed_at: int


def ingest(
    source: str,
    folder: str | os.PathLike[str],
    options: SourceOptions,
    duplicates: str,
    begin: Step,
    advance: Step,
) -> IngestReport:
    """Ingest a file, a folder of files, a pattern of files or a feature store; see :func:`ingest_source`.

    Raises:
        InputError: see :func:`ingest_source` and :func:`~esm2_amp.neighbours.readers.recognise.open_source`.
    """
    return ingest_source(open_source(source, options), Path(folder), duplicates, begin, advance)


def write_vectors(folder: str | os.PathLike[str], ids: Sequence[str], vectors: Block) -> Vectors:
    """Write vectors that are in memory: (n, d) floating-point numbers and their n ids, each once."""

    def unseen(amount: int) -> None:
        pass

    return ingest_source(ArraySource(ids, vectors), Path(folder), "error", unseen, unseen).vectors


def ingest_source(source: VectorSource, folder: Path, duplicates: str, begin: Step, advance: Step) -> IngestReport:
    """Ingest from an open source.

    Args:
        source: ids and vectors.
        folder: new or empty, or left by the same ingest, finished or not.
        duplicates: what to do about an id that comes again: "error", or keep its "first" or its "last" vector.
        begin: told how many vectors the source has.
        advance: told how many more are done.

    Raises:
        InputError: a repeated id, where that is an error; an id that is empty or holds control characters; a value
            that is not finite, or beyond float16; a folder that holds something else; no space. Where the source is at
            fault, nothing stays in the folder.
    """
    check_duplicates(duplicates)
    check_free(folder)
    plan = wanted_plan(source, duplicates)
    with StoreLock(folder, "these vectors"):
        for half_written in folder.glob(f".{NAME}.*"):
            shutil.rmtree(half_written)
        if (folder / NAME).exists():
            found = read_vector_manifest(folder)
            check_same(folder, {**found.source, "duplicates": found.duplicates}, plan)
            shutil.rmtree(folder / PROGRESS, ignore_errors=True)
            return IngestReport(open_vectors(folder), True, found.n)
        repeats = _prepared(source, folder, plan)
        check_space(folder, (repeats.source_count - repeats.dropped) * source.dim * 2 - _size(folder / DATA))
        begin(repeats.source_count)
        with VectorWriter(folder / DATA, folder / PROGRESS / "chunks.bin", source.dim) as writer:
            resumed_at = writer.rows
            advance(writer.position)
            for halves, positions in _halves(source, folder, writer.position, repeats):
                kept = repeats.keep(positions, halves)
                writer.append(*((halves, positions) if kept is None else (halves[kept], positions[kept])))
                advance(len(halves))
            digest = writer.finish(repeats.source_count)
        manifest = VectorManifest(
            n=writer.rows,
            dim=source.dim,
            ids_digest=ids_digest(folder),
            vectors_digest=digest,
            zeros=writer.zeros,
            source={"form": source.form, "name": source.name, **source.details, "fingerprint": plan["fingerprint"]},
            duplicates=duplicates,
            repeated=repeats.dropped,
            differing=repeats.differing(),
        )
        manifest.write(folder)
        shutil.rmtree(folder / PROGRESS, ignore_errors=True)
        return IngestReport(open_vectors(folder), False, resumed_at)


def _prepared(source: VectorSource, folder: Path, plan: dict[str, str]) -> Repeats:
    """The ids written, by this process or by an earlier one."""
    found = read_plan(folder)
    if found is not None:
        check_same(folder, found, plan)
        return open_repeats(folder, int(found["count"]))
    _discard(folder)
    (folder / PROGRESS).mkdir()
    try:
        repeats = write_ids(source, folder, plan["duplicates"])
    except InputError:
        _discard(folder)
        raise
    write_plan(folder, {**plan, "count": repeats.source_count})
    return repeats


def _halves(
    source: VectorSource, folder: Path, position: int, repeats: Repeats
) -> Iterator[tuple[NDArray[np.float16], NDArray[np.int64]]]:
    """(m, d) float16 of the source and (m,) their places in it, from ``position`` on, checked."""
    table = StringTable.open(folder / IDS)

    def name(row: int) -> tuple[str, str]:
        return table[repeats.row(position + row)], source.place(position + row)

    try:
        for block in source.blocks(position):
            yield to_halves(block, name), np.arange(position, position + len(block))
            position += len(block)
        if position != repeats.source_count:
            raise InputError(f"{repeats.source_count} ids but {position} vectors", file=source.name)
    except InputError:
        _discard(folder)
        raise


def _discard(folder: Path) -> None:
    """Remove what an ingest has begun."""
    for file in (*folder.glob(f"{IDS}.*"), folder / DATA):
        file.unlink(missing_ok=True)
    shutil.rmtree(folder / PROGRESS, ignore_errors=True)


def _size(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0
