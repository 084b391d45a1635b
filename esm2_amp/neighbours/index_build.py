"""Build an index: train on a sample, add the vectors part by part, merge the parts.

While it is built its folder holds ``build.json`` (the settings), then ``trained.faiss``, then ``part-00000.faiss`` and
so on, each whole or not there; a process that was killed costs at most one part. ``card.json`` is written last.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import faiss
import numpy as np

from esm2_amp.errors import InputError
from esm2_amp.features.store_lock import StoreLock
from esm2_amp.io.atomic import atomic_path, write_json
from esm2_amp.neighbours.index import FILE
from esm2_amp.neighbours.index_card import CARD, IndexCard, IndexSettings, read_card
from esm2_amp.neighbours.index_train import reason, trained_index, unit
from esm2_amp.neighbours.plan import ADDED_ROWS, EXACT, Plan, in_gb
from esm2_amp.neighbours.vectors import Vectors

SETTINGS = "build.json"
TRAINED = "trained.faiss"


def build_index(
    vectors: Vectors,
    folder: str | os.PathLike[str],
    plan: Plan,
    seed: int,
    threads: int,
    part_rows: int,
    begin: Callable[[int], None],
    advance: Callable[[int], None],
) -> IndexCard:
    """Build the index of a plan, going on where an earlier process stopped; a finished one is left as it is.

    The same settings give the same index, however often the process was interrupted.

    Args:
        vectors: n of d dimensions; they are read as they are needed and made unit vectors.
        folder: for the index.
        plan: of :func:`esm2_amp.neighbours.plan.make_plan`.
        seed: of the training sample and of k-means.
        threads: of faiss.
        part_rows: vectors added between two commits.
        begin: told the number of vectors.
        advance: told how many were added, also by an earlier process.

    Returns:
        The card that lies in the folder.

    Raises:
        InputError: the folder has an index of other vectors or settings, another process builds there, or the disk
            is too small.
    """
    folder = Path(folder)
    settings = IndexSettings(
        vectors.digest, plan.rows, plan.dim, plan.factory, plan.lists, plan.training_rows, plan.transform_rows,
        part_rows, seed, faiss.__version__,
    )  # fmt: skip
    with StoreLock(folder, "this index"):
        _remove_half_written(folder)
        if (folder / CARD).exists():
            card = read_card(folder)
            _same(folder / CARD, asdict(card), settings)
        else:
            faiss.omp_set_num_threads(threads)
            card = _built(vectors, folder, plan, settings, begin, advance)
        _remove_traces(folder)
    return card


def _built(
    vectors: Vectors,
    folder: Path,
    plan: Plan,
    settings: IndexSettings,
    begin: Callable[[int], None],
    advance: Callable[[int], None],
) -> IndexCard:
    _begin(folder, settings, plan)
    begin(vectors.n)
    seconds: dict[str, float] = {}
    size, mapped = 0, False
    if plan.factory == EXACT:
        advance(vectors.n)
    else:
        with _timed(seconds, "training"):
            _train(vectors, folder, settings)
        with _timed(seconds, "adding"):
            parts = list(_add(vectors, folder, settings, advance))
        with _timed(seconds, "merging"):
            mapped = _merge(folder, parts)
        size = (folder / FILE).stat().st_size
    card = IndexCard(
        **asdict(settings), vector_bytes=plan.vector_bytes, file_bytes=size, mapped=mapped, seconds=seconds,
        measured=None,
    )  # fmt: skip
    card.write(folder)
    return card


def _begin(folder: Path, settings: IndexSettings, plan: Plan) -> None:
    """Note the settings, or make sure that what lies there was made with them."""
    file = folder / SETTINGS
    if file.exists():
        try:
            found = json.loads(file.read_bytes())
        except ValueError as error:
            raise InputError(f"cannot be read ({error})", file=file, remedy="Delete the folder.") from error
        _same(file, found if isinstance(found, dict) else {}, settings)
        return
    free, needed = shutil.disk_usage(folder).free, 2 * plan.index_bytes
    if free < needed:
        raise InputError(
            f"the index and its parts need {in_gb(needed)} of disk and {in_gb(free)} are free",
            file=folder,
            remedy="Free space, or choose another folder.",
        )
    write_json(file, asdict(settings))


def _same(file: Path, found: dict[str, object], settings: IndexSettings) -> None:
    for name, wanted in asdict(settings).items():
        if name == "faiss" and file.name == CARD:
            continue  # a finished index outlives the version it was built with
        if found.get(name) != wanted:
            what = "of other vectors" if name == "vectors" else f"with {name}={found.get(name)}, not {wanted}"
            raise InputError(
                f"an index {what} is here", file=file.parent, remedy="Choose another folder, or delete this one."
            )


def _train(vectors: Vectors, folder: Path, settings: IndexSettings) -> None:
    if not (folder / TRAINED).exists():
        index = trained_index(vectors, settings.factory, settings.training_rows, settings.transform_rows, settings.seed)
        _write(index, folder / TRAINED)


def _add(vectors: Vectors, folder: Path, settings: IndexSettings, advance: Callable[[int], None]) -> Iterator[Path]:
    """Code the vectors, part by part; the rows within a part count from 0."""
    for number, start in enumerate(range(0, vectors.n, settings.part_rows)):
        stop = min(start + settings.part_rows, vectors.n)
        file = folder / f"part-{number:05d}.faiss"
        if file.exists():
            advance(stop - start)
        else:
            part = faiss.read_index(str(folder / TRAINED))
            for first in range(start, stop, ADDED_ROWS):
                last = min(first + ADDED_ROWS, stop)
                part.add(unit(vectors.block(first, last)))
                vectors.release()
                advance(last - first)
            _write(part, file)
        yield file


def _merge(folder: Path, parts: list[Path]) -> bool:
    """Make one index of the parts; returns whether its file can be mapped."""
    whole = faiss.read_index(str(folder / TRAINED))
    lists = faiss.downcast_InvertedLists(faiss.extract_index_ivf(whole).invlists)
    mapped = isinstance(lists, faiss.ArrayInvertedLists)
    if (folder / FILE).exists():
        return mapped
    if mapped:
        _reserve(lists, parts)
    for file in parts:
        whole.merge_from(faiss.read_index(str(file)), whole.ntotal)
    _write(whole, folder / FILE)
    return mapped


def _reserve(lists: faiss.ArrayInvertedLists, parts: list[Path]) -> None:
    """Give each list its final capacity: lists that grow by doubling would need up to twice the memory."""
    sizes = np.zeros(lists.nlist, np.int64)
    for file in parts:
        part = faiss.read_index(str(file), faiss.IO_FLAG_MMAP | faiss.IO_FLAG_READ_ONLY)  # lives as long as its lists
        ivf = faiss.extract_index_ivf(part)
        sizes += [ivf.get_list_size(number) for number in range(lists.nlist)]
    for number, size in enumerate(sizes.tolist()):
        lists.resize(number, size)
        lists.resize(number, 0)


def _write(index: faiss.Index, file: Path) -> None:
    try:
        with atomic_path(file) as path:
            faiss.write_index(index, str(path))
    except RuntimeError as error:
        raise InputError(
            f"cannot be written ({reason(error)})", file=file, remedy="Free space, then run it again: it goes on."
        ) from error


def _remove_traces(folder: Path) -> None:
    """Remove what only the build needed."""
    for file in (folder / SETTINGS, folder / TRAINED, *folder.glob("part-*.faiss")):
        file.unlink(missing_ok=True)


def _remove_half_written(folder: Path) -> None:
    """Remove the folders in which a killed process was writing."""
    for name in (SETTINGS, CARD, TRAINED, FILE, "part-*.faiss"):
        for half in folder.glob(f".{name}.*"):
            shutil.rmtree(half, ignore_errors=True)


@contextmanager
def _timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    began = time.monotonic()
    yield
    seconds[name] = round(time.monotonic() - began, 3)
