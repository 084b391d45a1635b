"""An answer as a page and as Markdown: its table with links, and a map with what was asked and found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from esm2_amp.neighbours.answers import ANALOGY, SIMILAR, Answer
from esm2_amp.neighbours.catalogue import Card
from esm2_amp.neighbours.map import lay_out, sample_rows
from esm2_amp.neighbours.markdown import Cell, escaped, table
from esm2_amp.neighbours.page import ROWS_SHOWN, Chart, Page, PageCell, PageFigure, PageRow, Point
from esm2_amp.neighbours.queries import Neighbours

_TITLED = 3
_ARMS = 500
"""More lines than these would cover the points."""


@dataclass(frozen=True)
class MapOptions:
    """How a map is drawn: the method, so many other vectors behind, a column of the metadata for colours, the seed."""

    method: str
    others: int
    colour: str | None
    seed: int


@dataclass
class _Drawn:
    """The points of a map, and which of them a stored vector is."""

    points: list[Point] = field(default_factory=list)
    vectors: list[NDArray[np.float32]] = field(default_factory=list)
    of_row: dict[int, int] = field(default_factory=dict)
    of_name: dict[str, int] = field(default_factory=dict)


def title_of(answer: Answer) -> str:
    """What an answer is about, in a line."""
    if answer.columns == SIMILAR:
        return f"Similar to {_listed(list(dict.fromkeys(names[0] for names in answer.names)))}"
    if answer.columns == ANALOGY:
        return f"Analogies of {_listed(list(dict.fromkeys(_asked(answer, i) for i in range(len(answer)))))}"
    return "The closest pairs"


def answer_page(
    near: Neighbours,
    answer: Answer,
    options: MapOptions,
    figures: Sequence[PageFigure],
    provenance: Sequence[tuple[str, str]],
    version: str,
) -> Page:
    """The page of an answer.

    Args:
        near: what was asked.
        answer: what it found.
        options: of the map.
        figures: further drawings.
        provenance: names and values of what the answer depends on.
        version: of this program.
    """
    kinds = _kinds(answer)
    drawn = _draw(near, options, kinds, answer)
    cards = _cards(near, answer, min(len(answer), ROWS_SHOWN))
    rows = [PageRow(_cells(answer, drawn, i, known), score(answer, i)) for i, known in enumerate(cards)]
    return Page(
        title=title_of(answer),
        subtitle=_subtitle(near, answer),
        provenance=provenance,
        version=version,
        columns=answer.columns,
        rows=rows,
        left_out=len(answer) - len(rows),
        chart=_chart(drawn, options, _arms(answer, drawn)),
        figures=figures,
        notes=answer.notes,
    )


def map_page(near: Neighbours, options: MapOptions, provenance: Sequence[tuple[str, str]], version: str) -> Page:
    """A page with nothing but the map."""
    drawn = _draw(near, options, {}, None)
    subtitle = f"{len(drawn.points):,} of {near.vectors.n:,} vectors of {near.vectors.dim} dimensions"
    chart = _chart(drawn, options, [])
    return Page(title="Map", subtitle=subtitle, provenance=provenance, version=version, chart=chart)


def answer_markdown(near: Neighbours, answer: Answer) -> str:
    """The answer as a Markdown document: a heading, remarks, and a table whose names are links."""
    about = near.names.describes
    columns = [*answer.columns[:-1], *(["about"] if about else []), answer.columns[-1]]
    lines = []
    for i, (names, cards) in enumerate(zip(answer.names, _cards(near, answer, len(answer)), strict=True)):
        cells = [Cell(name, card.url) for name, card in zip(names, cards, strict=True)]
        lines.append([*cells, *([Cell(cards[-1].about)] if about else []), Cell(score(answer, i))])
    notes = "".join(f"{escaped(note)}\n\n" for note in answer.notes)
    return f"# {escaped(title_of(answer))}\n\n{escaped(_subtitle(near, answer))}\n\n{notes}{table(columns, lines)}"


def score(answer: Answer, row: int) -> str:
    """The score of a row as it is shown."""
    cluster = "" if answer.clusters is None else f", cluster {answer.clusters[row]}"
    return f"{answer.scores[row]:.4f}{cluster}"


def _subtitle(near: Neighbours, answer: Answer) -> str:
    count = f"{len(answer):,} row{'s' * (len(answer) != 1)}"
    return f"{count} by {answer.metric}, among {near.vectors.n:,} vectors of {near.vectors.dim} dimensions"


def _asked(answer: Answer, row: int) -> str:
    """The names of a row that were given."""
    return " and ".join(answer.names[row][: max(1, answer.given[row])])


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _TITLED:,} more" if len(names) > _TITLED else ""
    return ", ".join(names[:_TITLED]) + more if names else "nothing"


def _cards(near: Neighbours, answer: Answer, count: int) -> list[list[Card]]:
    """What is known of every name in the first rows."""
    width = len(answer.columns) - 1
    cards = near.names.cards(answer.rows[:count].ravel())
    return [cards[i : i + width] for i in range(0, len(cards), width)]


def _cells(answer: Answer, drawn: _Drawn, row: int, cards: Sequence[Card]) -> list[PageCell]:
    cells = []
    for name, stored, card in zip(answer.names[row], answer.rows[row].tolist(), cards, strict=True):
        point = drawn.of_row.get(stored) if stored >= 0 else drawn.of_name.get(name)
        cells.append(PageCell(name, card.about, card.url, point))
    return cells


def _kinds(answer: Answer) -> dict[int, str]:
    """Stored vectors to mark, at most as many as there are rows on a page, and how."""
    kinds: dict[int, str] = {}
    for i in range(min(len(answer), ROWS_SHOWN)):
        for column, row in enumerate(answer.rows[i].tolist()):
            if row >= 0 and kinds.get(row) != "query":
                kinds[row] = "query" if column < answer.given[i] else "hit"
    return kinds


def _draw(near: Neighbours, options: MapOptions, kinds: dict[int, str], answer: Answer | None) -> _Drawn:
    marked = np.array(sorted(kinds), dtype=np.int64)
    rows = sample_rows(near.vectors.n, options.others, marked, options.seed)
    drawn = _Drawn(vectors=[near.vectors.take(rows)])
    groups = near.names.column(options.colour, rows) if options.colour is not None else [""] * len(rows)
    for row, card, group in zip(rows.tolist(), near.names.cards(rows), groups, strict=True):
        drawn.of_row[row] = len(drawn.points)
        drawn.points.append(Point(card.name, card.about, card.url, kinds.get(row, "dust"), group))
    for name, vector in (answer.outside if answer is not None else {}).items():
        if len(drawn.of_name) < ROWS_SHOWN:
            drawn.of_name[name] = len(drawn.points)
            drawn.points.append(Point(name, "a query from outside", None, "query"))
            drawn.vectors.append(vector[None])
    return drawn


def _chart(drawn: _Drawn, options: MapOptions, arms: Sequence[tuple[int, int, str]]) -> Chart:
    return Chart(drawn.points, lay_out(np.concatenate(drawn.vectors), options.method, options.seed), arms)


def _arms(answer: Answer, drawn: _Drawn) -> list[tuple[int, int, str]]:
    """Lines between what a row joins: query and hit, a and b, c and d."""
    arms: dict[tuple[int, int, str], None] = {}
    for i in range(min(len(answer), ROWS_SHOWN)):
        names, rows = answer.names[i], answer.rows[i].tolist()
        ends = [drawn.of_row.get(row, drawn.of_name.get(name, -1)) for name, row in zip(names, rows, strict=True)]
        for at in range(0, len(ends), 2):
            kind = "query" if at == 0 and answer.columns == ANALOGY else "hit"
            if ends[at] >= 0 and ends[at + 1] >= 0:
                arms.setdefault((ends[at], ends[at + 1], kind))
    return list(arms)[:_ARMS]
