"""Where the answers of ``esm2-amp neighbours`` go: the terminal, a table, Markdown, a page."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from esm2_amp import __version__
from esm2_amp.errors import InputError
from esm2_amp.io.atomic import atomic_text
from esm2_amp.neighbours.answer_page import MapOptions, answer_markdown, answer_page, score, title_of
from esm2_amp.neighbours.answers import Answer
from esm2_amp.neighbours.map import check_method
from esm2_amp.neighbours.markdown import shown
from esm2_amp.neighbours.page import Page, render
from esm2_amp.neighbours.queries import Neighbours, operation
from esm2_amp.tasks.config_neighbours import NeighboursConfig
from esm2_amp.tasks.console import log, say, show_table
from esm2_amp.tasks.output_files import TABLES, output_file


@dataclass(frozen=True)
class Outputs:
    """The files to write, checked before any work."""

    table: Path | None
    markdown: Path | None
    page: Path | None

    @classmethod
    def of(cls, config: NeighboursConfig) -> Outputs:
        """What a configuration asks for.

        Raises:
            InputError: a file that cannot be written, or that is read, or that lies among the vectors.
        """
        inputs = [name for name in (config.ids_file, config.fasta, config.query, config.source) if name is not None]
        wanted = (
            ("output", config.output, "a table", TABLES),
            ("markdown", config.markdown, "Markdown", (".md", ".md.gz")),
            ("page", config.page, "a page", (".html",)),
        )
        files = [
            None if name is None else output_file(name, key, kind, endings, inputs)
            for key, name, kind, endings in wanted
        ]
        within = Path(config.vectors).resolve()
        for file in files:
            if file is not None and within in file.resolve().parents:
                raise InputError(f"{str(file)!r} lies among the vectors", remedy="Write it into another folder.")
        check_method(config.map.method)
        return cls(*files)


def show_answer(near: Neighbours, answer: Answer, limit: int) -> None:
    """Print the first rows as a table, and the remarks."""
    about = near.names.describes
    columns = [*answer.columns[:-1], *(["about"] if about else []), answer.columns[-1]]
    rows, cards = [], near.names.cards(answer.rows[:limit, -1])
    for i, (names, card) in enumerate(zip(answer.names[:limit], cards, strict=True)):
        rows.append([*map(shown, (*names, *([card.about] if about else []))), score(answer, i)])
    for note in answer.notes:
        log.info("%s", shown(note))
    if rows:
        show_table(shown(title_of(answer)), columns, rows, names=len(columns) - 1)
    if len(answer) > limit:
        say(f"{len(answer) - limit:,} more rows are not shown.")


def write_answer(near: Neighbours, answer: Answer, config: NeighboursConfig, outputs: Outputs) -> None:
    """Write the files that were asked for."""
    figures = []
    if config.clusters and config.action == "analogy":
        from esm2_amp.neighbours.answer_clusters import clustered

        answer, figure = clustered(near, answer, operation(config.op), config.clusters, config.seed)
        figures = [] if figure is None else [figure]
    if outputs.table is not None:
        _write_table(outputs.table, answer)
    if outputs.markdown is not None:
        with atomic_text(outputs.markdown) as stream:
            stream.write(answer_markdown(near, answer))
    if outputs.page is not None:
        options = map_options(config)
        write_page(outputs.page, answer_page(near, answer, options, figures, provenance(near, config), __version__))
    if written := [str(file) for file in (outputs.table, outputs.markdown, outputs.page) if file is not None]:
        say(f"{len(answer):,} rows written to {', '.join(written)}")


def write_page(file: Path, page: Page) -> None:
    """Write a page."""
    with atomic_text(file) as stream:
        stream.write(render(page))


def map_options(config: NeighboursConfig) -> MapOptions:
    """How the map of a page is drawn."""
    return MapOptions(config.map.method, config.map.points, config.map.colour, config.seed)


def _write_table(file: Path, answer: Answer) -> None:
    delimiter = "," if ".csv" in file.suffixes else "\t"
    with atomic_text(file) as stream:
        writer = csv.writer(stream, delimiter=delimiter, lineterminator="\n")
        clusters = [()] * len(answer) if answer.clusters is None else [(number,) for number in answer.clusters.tolist()]
        writer.writerow([*answer.columns, *(["cluster"] if answer.clusters is not None else [])])
        for names, value, cluster in zip(answer.names, answer.scores.tolist(), clusters, strict=True):
            writer.writerow((*names, f"{value:.8g}", *cluster))


def provenance(near: Neighbours, config: NeighboursConfig) -> list[tuple[str, str]]:
    """What an answer depends on."""
    vectors, source = near.vectors, near.vectors.manifest.source
    rows = [
        ("vectors", f"{config.vectors}, digest {vectors.digest[:16]}"),
        ("from", f"{source['form']} {source['name']}"),
        ("searched", near.said),
    ]
    asked = {"filter": config.filter, "max_similarity": config.max_similarity}
    if config.action == "analogy":
        asked["op"] = config.op
    return rows + [(key, str(value)) for key, value in asked.items() if value is not None]
