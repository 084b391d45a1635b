"""The tables of ``esm2-amp regions``, and what it says was left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from esm2_amp.explain.coverage import Coverage
from esm2_amp.explain.ranked_pairs import RankedPairs, hit_rates
from esm2_amp.explain.region_comparison import Compared
from esm2_amp.io.pairs import counted
from esm2_amp.io.region_parts import protein_key
from esm2_amp.io.regions import Annotations, RegionIssue
from esm2_amp.io.segments import COLUMNS, RankedSegment
from esm2_amp.tasks.run_folder import write_table

_PLACES = 4
"""Decimals of percentages, as the worked example of the published tool's data has them."""
_SHOWN = 5


@dataclass(frozen=True, eq=False)
class Scored:
    """Ranked segments and their coverage.

    ``segments`` is their file; ``annotations`` lie within their proteins; ``reasons`` says why a protein, by
    :func:`~esm2_amp.io.region_parts.protein_key`, is not covered.
    """

    segments: str
    rows: list[RankedSegment]
    annotations: Annotations
    coverage: Coverage
    reasons: dict[str, str]


def as_text(value: float | None, places: int = _PLACES) -> str:
    """A number as the tables have it: rounded, without zeros behind; empty for what is undefined."""
    return "" if value is None or np.isnan(value) else repr(round(float(value), places))


def write_tables(folder: Path, scored: Scored, pairs: RankedPairs, compared: Sequence[Compared]) -> None:
    """Write coverage.tsv, hit_rates.tsv, comparison.tsv and issues.tsv into a folder."""
    columns = scored.coverage.columns
    write_table(folder / "coverage.tsv", (*COLUMNS, *columns), list(_coverage_rows(scored)))
    rates = [(rate.outcome, rate.kind, rate.level, rate.rank, *map(as_text, rate.rates)) for rate in hit_rates(pairs)]
    write_table(folder / "hit_rates.tsv", ("outcome", "kind", "threshold", "rank", *columns), rates)
    head = ("outcome", "region", "measure", "compared", "value", "ci_low", "ci_high", "effect_size", "ratio", "p_value")
    write_table(folder / "comparison.tsv", (*head, "pairs", "proteins"), [_comparison_row(row) for row in compared])
    write_table(folder / "issues.tsv", RegionIssue._fields, [*scored.annotations.issues, *_segment_issues(scored)])


def notes_of(scored: Scored, pairs: RankedPairs) -> list[str]:
    """Sentences on what counts, and on everything that was left out or cut."""
    annotations, coverage = scored.annotations, scored.coverage
    kinds = annotations.kinds()
    counting = ", ".join(f"{kind} ({kinds[kind]:,})" for kind in coverage.columns[1:])
    passed = ", ".join(f"{kind} ({count:,})" for kind, count in kinds.items() if kind not in coverage.columns[1:])
    bare = [
        key for key in coverage.row if not any(r.kind in coverage.columns for r in annotations.regions.get(key, ()))
    ]
    nameless = [key for key in bare if key not in annotations.named]
    notes = [f"Regions that count: {counting}."]
    if passed:
        notes.append(f"Annotations of other kinds, which do not count (choose with kinds=[...]): {passed}.")
    if bare:
        notes.append(f"{counted(len(bare), 'protein')} without a region that counts, covered 0 %: {_some(bare)}.")
    if nameless:
        what = f"{counted(len(nameless), 'protein')} of these that the annotations do not speak of at all"
        notes.append(f"{what}: {_some(nameless)}.")
    issues = Counter((issue.action, issue.reason.split(" has ")[0]) for issue in annotations.issues)
    for (action, reason), count in issues.items():
        said = "the protein ends before or within it" if reason == "the protein" else reason
        notes.append(f"{counted(count, 'annotation')} {action}: {said} (issues.tsv).")
    notes += [f"{count:,} of {len(scored.rows):,} rows {text}" for text, count in _row_notes(scored).items()]
    again = len(pairs) - len(set(zip(pairs.outcome.tolist(), pairs.a.tolist(), pairs.b.tolist(), strict=True)))
    if again:
        notes.append(f"{counted(again, 'pair')} that came before in the same order, counted again.")
    return notes


def _row_notes(scored: Scored) -> Counter[str]:
    """Rows of segments without numbers, by what is said of them."""
    return Counter(
        "of a pair with a protein of unknown length: not in the rates and comparisons (issues.tsv)."
        if _unknown(row, scored)
        else "are segments without residues, of proteins with fewer than ten: no coverage (issues.tsv)."
        for row in scored.rows
        if _unknown(row, scored) or _is_empty(row, scored.coverage)
    )


def _coverage_rows(scored: Scored) -> Iterator[tuple[str, ...]]:
    percent, nothing = scored.coverage.percent, [""] * len(scored.coverage.columns)
    for row in scored.rows:
        number = scored.coverage.row.get(protein_key(row.protein))
        cells = nothing if number is None else [as_text(value) for value in percent[number, row.segment]]
        yield (row.outcome, row.kind, str(row.rank), row.protein_a, row.protein_b, row.token, *cells)


def _comparison_row(row: Compared) -> tuple[str | int, ...]:
    low, high = row.interval or (None, None)
    p_value = "" if row.p_value is None else f"{row.p_value:.4g}"
    numbers = (row.value, low, high, row.effect_size, row.ratio)
    return (*row[:4], *map(as_text, numbers), p_value, row.pairs, row.proteins)


def _segment_issues(scored: Scored) -> Iterator[RegionIssue]:
    for row in scored.rows:
        reasons = _unknown(row, scored)
        if _is_empty(row, scored.coverage):
            reasons = [*reasons, "the segment has no residues"]
        for reason in reasons:
            kind = f"{row.kind}-ranked segment {row.rank}"
            yield RegionIssue(scored.segments, row.line, row.protein, kind, row.token, "left out", reason)


def _unknown(row: RankedSegment, scored: Scored) -> list[str]:
    """Why the pair of a row cannot be compared; nothing if it can."""
    keys = dict.fromkeys(protein_key(name) for name in (row.protein_a, row.protein_b))
    return [scored.reasons[key] for key in keys if key in scored.reasons]


def _is_empty(row: RankedSegment, coverage: Coverage) -> bool:
    number = coverage.row.get(protein_key(row.protein))
    return number is not None and coverage.sizes[number, row.segment] == 0


def _some(names: Sequence[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more:,} more" if more > 0 else "")
