"""``esm2-amp neighbours ingest``, ``index`` and ``recall``."""

from __future__ import annotations

import csv
import os
from pathlib import Path

from esm2_amp import __version__
from esm2_amp.errors import InputError
from esm2_amp.io.atomic import atomic_text
from esm2_amp.neighbours.ingest import IngestReport, ingest
from esm2_amp.neighbours.queries import INDEX, Neighbours
from esm2_amp.neighbours.readers.recognise import SourceOptions
from esm2_amp.neighbours.vectors import open_vectors
from esm2_amp.tasks.config_neighbours import NeighboursConfig
from esm2_amp.tasks.console import log, progress, say, show_table
from esm2_amp.tasks.options import at_least, several

_CANDIDATES = (50, 100, 200, 400)
"""Of these, recall chooses how many hits of the index are compared exactly, unless told."""


def ingest_vectors(config: NeighboursConfig) -> None:
    """Vectors of a source, and metadata, into a folder."""
    if config.source is None and config.metadata is None:
        raise InputError("source is not given", remedy="Add source=FOLDER_OR_FILE.")
    if config.source is not None:
        settings = config.ingest
        tokens = tuple(several(settings.token)) or (
            ("mean",) if (Path(config.source) / "manifest.json").exists() else ()
        )
        options = SourceOptions(settings.form, tokens, settings.ids, settings.key)
        with progress("ingest", "vectors") as (begin, advance):
            report = ingest(config.source, config.vectors, options, settings.duplicates, begin, advance)
        _tell(config, report)
    if config.metadata is not None:
        _attach(config, config.metadata)


def _tell(config: NeighboursConfig, report: IngestReport) -> None:
    vectors, manifest = report.vectors, report.vectors.manifest
    if report.finished_before:
        say("All was there already.")
    elif report.resumed_at:
        say(f"Went on after {report.resumed_at:,} vectors that were there already.")
    say(f"{vectors.n:,} vectors of {vectors.dim} dimensions are in {config.vectors}")
    if manifest.repeated:
        say(
            f"{manifest.repeated:,} more came under an id of these and were left out, {manifest.differing:,} different."
        )
    if manifest.zeros:
        say(f"{manifest.zeros:,} are zero vectors, which have no cosine and are never found by it.")


def _attach(config: NeighboursConfig, file: str) -> None:
    from esm2_amp.neighbours.metadata_table import attach_metadata

    found = attach_metadata(open_vectors(config.vectors), file, config.ingest.id_column)
    say(f"Metadata: {found.rows:,} rows, {found.described:,} of the vectors are described.")
    if found.unknown:
        log.warning("%d rows are of no vector, first %r.", found.rows - found.described, found.unknown[0])
    if found.left_out:
        log.warning("Columns not kept: %s.", ", ".join(map(repr, found.left_out)))


def build(config: NeighboursConfig) -> None:
    """Print the plan of an index, then build it; a killed build goes on where it was."""
    from esm2_amp.neighbours.index_build import build_index
    from esm2_amp.neighbours.plan import EXACT, PART_ROWS, make_plan

    at_least(threads=(config.threads, 1), seed=(config.seed, 0))
    vectors = open_vectors(config.vectors)
    if config.milvus.uri is not None:
        from esm2_amp.tasks.neighbours_milvus import copy_to_milvus  # pymilvus comes with it

        copy_to_milvus(vectors, config.milvus, config.metric)
        return
    plan = make_plan(vectors.n, vectors.dim, memory_gb(config), config.factory)
    show_table("plan", ["index", ""], [list(row) for row in plan.table()], names=2)
    folder = vectors.folder / INDEX
    with progress("index", "vectors") as (begin, advance):
        card = build_index(vectors, folder, plan, config.seed, threads_of(config), PART_ROWS, begin, advance)
    if card.factory == EXACT:
        say("So few vectors need no index: every search is exact. factory=... builds one all the same.")
        return
    say(f"Index {card.factory} is in {folder}: {card.file_bytes:,} bytes, {card.file_bytes / card.rows:.0f} a vector.")
    say(f"How well it finds: esm2-amp neighbours recall vectors={config.vectors}")


def recall(config: NeighboursConfig) -> None:
    """Measure how many of the true neighbours the index finds, and keep the setting that finds enough."""
    from esm2_amp.neighbours.page import Page, PageFigure, drawing
    from esm2_amp.neighbours.recall import RecallQuestion, measure_recall, save_measured
    from esm2_amp.neighbours.recall_figure import draw_tradeoff
    from esm2_amp.tasks.neighbours_output import Outputs, provenance, write_page

    outputs = Outputs.of(config)
    near = Neighbours(config.vectors, threads=threads_of(config))
    if near.index is None:
        raise InputError(
            "there is no index, so every search is exact",
            file=near.vectors.folder,
            remedy=f"Build one: esm2-amp neighbours index vectors={config.vectors} factory=...",
        )
    given = config.index
    question = RecallQuestion(config.k, config.metric, given.samples, given.recall, config.seed)
    with progress("recall", "settings") as (begin, advance):
        found = measure_recall(
            near.vectors,
            near.index,
            question,
            [given.nprobe] if given.nprobe else _powers(near.index.card.lists),
            [given.candidates] if given.candidates else _CANDIDATES,
            begin,
            advance,
        )
    save_measured(near.index, found)
    columns = ["nprobe", "candidates", "recall", "milliseconds"]
    rows = [[f"{s.nprobe}", f"{s.candidates}", f"{s.recall:.4f}", f"{s.milliseconds:.3f}"] for s in found.settings]
    show_table(f"recall of the true {config.k} nearest of {found.chosen.queries} vectors", columns, rows)
    chosen = found.chosen
    verdict = (
        "kept for the searches that follow"
        if found.reached
        else f"the best there is; {given.recall:.1%} is not reached"
    )
    summary = f"nprobe={chosen.nprobe}, candidates={chosen.candidates} found {chosen.recall:.1%}: {verdict}."
    say(f"{summary} Exact search takes {found.exact_milliseconds:.3f} milliseconds a query.")
    if outputs.table is not None:
        with atomic_text(outputs.table) as stream:
            delimiter = "," if ".csv" in outputs.table.suffixes else "\t"
            csv.writer(stream, delimiter=delimiter, lineterminator="\n").writerows([columns, *rows])
    if outputs.page is not None:
        caption = "Each line: so many candidates compared exactly, over the lists searched. Dashed: the recall wanted."
        figure = PageFigure("Recall and time", drawing(draw_tradeoff("tradeoff", found)), caption)
        about = provenance(near, config)
        write_page(outputs.page, Page("Recall of the index", summary, about, __version__, figures=[figure]))


def threads_of(config: NeighboursConfig) -> int:
    """Processor cores to use."""
    return config.threads or len(os.sched_getaffinity(0))


def memory_gb(config: NeighboursConfig) -> float:
    """Memory that may be used, in 10^9 bytes."""
    half = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2e9
    return half if config.memory_gb is None else config.memory_gb


def _powers(lists: int) -> list[int]:
    return [1 << bit for bit in range(lists.bit_length()) if 1 << bit <= lists]
