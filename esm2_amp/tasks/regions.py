"""``esm2-amp regions``: ranked segments in, what annotated regions cover of them and of their background out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from omegaconf import DictConfig

from esm2_amp import __version__
from esm2_amp.errors import InputError
from esm2_amp.explain.coverage import ANY, Coverage, cover
from esm2_amp.explain.ranked_pairs import RankedPairs, pair_up
from esm2_amp.explain.region_comparison import (
    COMPARED,
    CONTRASTS,
    Compared,
    Permutations,
    compare,
)
from esm2_amp.explain.region_kinds import choose_kinds
from esm2_amp.explain.region_page import RegionPage, render
from esm2_amp.io.atomic import atomic_path
from esm2_amp.io.fasta import read_fasta
from esm2_amp.io.pairs import counted
from esm2_amp.io.region_parts import protein_key
from esm2_amp.io.regions import Annotations, read_annotations
from esm2_amp.io.resolve import Policy
from esm2_amp.io.segments import RankedSegment, read_segments
from esm2_amp.resources import resolve
from esm2_amp.tasks.audit import new_folder
from esm2_amp.tasks.config import RegionsConfig
from esm2_amp.tasks.console import log, progress, say, show_table, start_logging
from esm2_amp.tasks.options import at_least, several, typed
from esm2_amp.tasks.region_tables import Scored, as_text, notes_of, write_tables
from esm2_amp.tasks.reporting import own_provenance
from esm2_amp.tasks.training_data import file_hash

_SHOWN = 5


def run(cfg: DictConfig) -> Path:
    """Cover, compare, write; returns the folder."""
    config = typed(RegionsConfig, cfg)
    start_logging()
    config.report.resampling(None)
    at_least(permutations=(config.permutations, 0))
    if config.unknown not in get_args(Policy):
        raise InputError(f"unknown is {config.unknown!r}", remedy="Use error or drop.")
    folder = new_folder(config.output)
    scored = _scored(config)
    pairs = pair_up(scored.rows, scored.coverage)
    if not len(pairs):
        raise InputError(
            "no pair has two proteins of known length", file=config.segments, remedy="Give lengths with fasta=FILE."
        )
    compared = _compared(pairs, scored.coverage, config)
    page = _page(pairs, compared, scored, config)
    with atomic_path(folder) as scratch:
        scratch.mkdir()
        write_tables(scratch, scored, pairs, compared)
        (scratch / "report.html").write_text(render(page), encoding="utf-8", newline="\n")
    _show(compared, page)
    say(f"Report: {folder / 'report.html'}")
    return folder


def _scored(config: RegionsConfig) -> Scored:
    """Every segment that can be covered, covered; the others with the reason."""
    segments = resolve(config.segments)
    files = [resolve(file) for file in several(config.annotations)]
    if not files:
        raise InputError("annotations names no file", remedy="Give annotations=FILE.")
    rows = read_segments(segments, config.method)
    names: dict[str, str] = {}
    for row in rows:
        for name in (row.protein_a, row.protein_b):
            names.setdefault(protein_key(name), name)
    annotations = read_annotations(files, names.values())
    if not annotations.named:
        some = ", ".join(list(names.values())[:_SHOWN])
        what = f"none of {counted(len(names), 'protein')} of the segments is annotated here: {some}"
        raise InputError(what, file=files[0], remedy="Use the same ids in both, as UniProt's accessions.")
    lengths, reasons = _lengths(names, annotations, None if config.fasta is None else resolve(config.fasta))
    if reasons and config.unknown == "error":
        raise _no_length(reasons, rows, segments)
    annotations = annotations.within(lengths)
    kinds = choose_kinds(annotations.kinds(), several(config.kinds))
    return Scored(segments, rows, annotations, cover(lengths, annotations.regions, kinds), reasons)


def _lengths(
    names: dict[str, str], annotations: Annotations, fasta: str | None
) -> tuple[dict[str, int], dict[str, str]]:
    """By protein: its length, or why it has none; ``names`` are the ids as written, by key."""
    proteins = None if fasta is None else read_fasta(fasta)
    lengths, reasons = dict[str, int](), dict[str, str]()
    for key, name in names.items():
        protein = None if proteins is None else proteins.get(name) or proteins.get(key)
        said = annotations.lengths.get(key)
        length = said if protein is None else len(protein.sequence)
        if length is None:
            reasons[key] = f"no length of {name} in the annotations" + ("" if fasta is None else f" or in {fasta}")
        elif said is not None and said != length:
            reasons[key] = f"{name} has {said} residues in the annotations, but {length} in {fasta}"
        else:
            lengths[key] = length
    return lengths, reasons


def _no_length(reasons: dict[str, str], rows: Sequence[RankedSegment], segments: str) -> InputError:
    listed = "; ".join(list(reasons.values())[:_SHOWN])
    more = f" and {counted(len(reasons) - _SHOWN, 'more protein')}" if len(reasons) > _SHOWN else ""
    line = next(row.line for row in rows if {protein_key(row.protein_a), protein_key(row.protein_b)} & reasons.keys())
    return InputError(
        f"{listed}{more}",
        file=segments,
        line=line,
        remedy="Give the sequences with fasta=FILE, or leave these pairs out with unknown=drop.",
    )


def _compared(pairs: RankedPairs, coverage: Coverage, config: RegionsConfig) -> list[Compared]:
    outcomes = len(set(pairs.outcome.tolist()))
    groups = outcomes + (outcomes > 1)
    with progress("comparing", "draws") as (begin, advance):
        begin(config.permutations + groups * config.report.resamples)
        permutations = Permutations(config.permutations, config.report.seed, advance)
        return compare(pairs, coverage.columns, config.report.resampling(advance), permutations)


def _page(pairs: RankedPairs, compared: Sequence[Compared], scored: Scored, config: RegionsConfig) -> RegionPage:
    files = [("segments", scored.segments)]
    files += [("annotations", resolve(file)) for file in several(config.annotations)]
    files += [] if config.fasta is None else [("fasta", resolve(config.fasta))]
    forms = scored.annotations.forms
    provenance = [
        (key, f"{file}{f' ({forms[file]})' if file in forms else ''}, SHA-256 {file_hash(file)}") for key, file in files
    ]
    method = [] if config.method is None else [("method", config.method)]
    return RegionPage(
        subtitle=f"{len(pairs):,} pairs of {len(scored.coverage.row):,} proteins; {Path(scored.segments).name}",
        compared=compared,
        ranks=next(iter(pairs.ranked.values())).shape[1],
        level=config.report.level if config.report.resamples else None,
        draws=config.permutations,
        notes=notes_of(scored, pairs),
        provenance=[*method, *provenance, *own_provenance(config.report)],
        version=__version__,
    )


def _show(compared: Sequence[Compared], page: RegionPage) -> None:
    by_outcome: dict[str, list[str]] = {}
    for row in compared:
        if (row.column, row.measure) == (ANY, "coverage"):
            p_value = "" if row.p_value is None or row.compared != CONTRASTS[0] else f" (p {row.p_value:.2g})"
            by_outcome.setdefault(row.outcome, []).append((as_text(row.value, 2) or "-") + p_value)
    rows = [(outcome, *cells) for outcome, cells in by_outcome.items()]
    show_table("Covered by any kind of region, %", ("outcome", *COMPARED), rows)
    for note in page.notes:
        log.info(note)
