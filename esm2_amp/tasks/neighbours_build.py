"""``esm2-amp neighbours ingest``, ``index`` and ``recall``."""

from __future__ import annotations

import os
from pathlib import Path

from esm2_amp.errors import InputError
from esm2_amp.neighbours.queries import INDEX
from esm2_amp.tasks.config_neighbours import NeighboursConfig
from esm2_amp.tasks.console import log, progress, say, show_table
from esm2_amp.tasks.options import at_least, several


def ingest_vectors(config: NeighboursConfig) -> None:
    """Vectors of a source, and metadata, into a folder."""
    from esm2_amp.neighbours.ingest import ingest_source
    from esm2_amp.neighbours.readers.recognise import SourceOptions, open_source

    if config.source is None:
        raise InputError("source is not given", remedy="Add source=FOLDER_OR_FILE.")
    settings = config.ingest
    tokens = tuple(several(settings.token)) or (("mean",) if (Path(config.source) / "manifest.json").exists() else ())
    source = open_source(config.source, SourceOptions(settings.form, tokens, settings.ids, settings.key))
    with progress("ingest", "vectors") as (begin, advance):
        report = ingest_source(source, Path(config.vectors), settings.duplicates, begin, advance)
    vectors, manifest = report.vectors, report.vectors.manifest
    say(f"{vectors.n:,} vectors of {vectors.dim} dimensions are in {config.vectors}")


def index(config: NeighboursConfig) -> None:
    """Plan, then build."""
    from esm2_amp.neighbours.index_build import build_index
    from esm2_amp.neighbours.plan import PART_ROWS, make_plan
    from esm2_amp.neighbours.vectors import open_vectors

    at_least(threads=(config.threads, 1), seed=(config.seed, 0))
    vectors = open_vectors(config.vectors)
    plan = make_plan(vectors.n, vectors.dim, memory_gb(config), config.factory)
    show_table("The plan", ["index", ""], [list(row) for row in plan.table()], names=2)
    folder = vectors.folder / INDEX
    with progress("index", "vectors") as (begin, advance):
        card = build_index(vectors, folder, plan, config.seed, threads_of(config), PART_ROWS, begin, advance)
    say(f"Index {card.factory} in {folder}")


def threads_of(config: NeighboursConfig) -> int:
    """Processor cores to use."""
    return config.threads or len(os.sched_getaffinity(0))


def memory_gb(config: NeighboursConfig) -> float:
    """Memory that may be used, in 10^9 bytes."""
    half = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2e9
    return half if config.memory_gb is None else config.memory_gb


def recall(config: NeighboursConfig) -> None:
    """How many of the true neighbours the index finds."""
    raise InputError("no index")
