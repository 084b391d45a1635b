"""The numbers behind the figures as TSV files beside a page; names stand there in full."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from esm2_amp.explain.explained import ExplainedPair, ExplainedSet, Values
from esm2_amp.explain.page_maps import BLOCKS, pair_agreement
from esm2_amp.explain.page_words import ordered_measures
from esm2_amp.io.atomic import atomic_text

Row = Sequence[object]


def write_set_tables(explained: ExplainedSet, folder: Path) -> None:
    """Write ``faithfulness``, ``profile``, ``agreement``, ``pairs`` and, where known, ``attention`` and ``blocks``.

    Raises:
        InputError: the folder cannot be written.
    """
    _write(folder / "faithfulness.tsv", ("method", "kind", "measure", "mean", "low", "high"), _faithfulness(explained))
    names = explained.layout.pair_names
    _write(folder / "profile.tsv", ("method", "token", "mean", "mean_absolute"), (
        (method, token, explained.profile[method][k], explained.magnitude[method][k])
        for method in explained.methods for k, token in enumerate(names)
    ))  # fmt: skip
    _write(folder / "agreement.tsv", ("method", *explained.methods), _matrix(explained.methods, explained.agreement))
    header = ("protein_a", "protein_b", "label", "probability", "outcome", "highest", "page")
    _write(folder / "pairs.tsv", header, (
        (pair.protein_a, pair.protein_b, pair.label, pair.probability, pair.outcome, ",".join(pair.top), pair.page)
        for pair in explained.pairs
    ))  # fmt: skip
    if explained.attention is not None:
        _write_attention(folder, explained.attention, names)
    if explained.blocks is not None:
        _write(folder / "blocks.tsv", ("layer", *BLOCKS), ((k + 1, *row) for k, row in enumerate(explained.blocks)))


def write_pair_tables(explained: ExplainedSet, pair: ExplainedPair, folder: Path) -> None:
    """Write ``values``, ``regions``, ``agreement``, ``evidence`` and, for networks that have it, ``attention``.

    Raises:
        InputError: the folder cannot be written.
    """
    methods = [name for name in explained.methods if name in pair.values]
    names = explained.layout.pair_names
    proteins = {"A": pair.protein_a, "B": pair.protein_b}
    _write(folder / "values.tsv", ("protein", "token", "first_residue", "last_residue", *methods), (
        (
            proteins[token.chain], names[token.place],
            None if token.start is None or not token.drawn else token.start + 1, token.stop if token.drawn else None,
            *(pair.values[method][token.place] for method in methods),
        )
        for token in pair.tokens(explained.layout)
    ))  # fmt: skip
    regions = ((chain, region) for chain, found in (("A", pair.regions_a), ("B", pair.regions_b)) for region in found)
    _write(folder / "regions.tsv", ("protein", "chain", "start", "end", "kind", "note"), (
        (proteins[chain], chain, region.start, region.end, region.kind, region.note) for chain, region in regions
    ))  # fmt: skip
    agreement = pair_agreement(methods, [pair.values[method] for method in methods])
    _write(folder / "agreement.tsv", ("method", *methods), _matrix(methods, agreement))
    header = ("protein_a", "protein_b", "label", "similarity", "swapped")
    _write(folder / "evidence.tsv", header, (
        (row.protein_a, row.protein_b, row.label, row.similarity, int(row.swapped)) for row in pair.evidence
    ))  # fmt: skip
    if pair.attention is not None:
        _write_attention(folder, pair.attention, names)


def _faithfulness(explained: ExplainedSet) -> Iterator[Row]:
    for row in explained.faithfulness:
        for measure in ordered_measures(row.measures):
            yield (row.method, row.kind, measure, *row.measures[measure])


def _matrix(names: Sequence[str], matrix: Values) -> Iterator[Row]:
    return ((name, *row) for name, row in zip(names, matrix, strict=True))


def _write_attention(folder: Path, attention: Values, names: Sequence[str]) -> None:
    _write(folder / "attention.tsv", ("layer", "query", *names), (
        (layer + 1, name, *row) for layer, rows in enumerate(attention) for name, row in zip(names, rows, strict=True)
    ))  # fmt: skip


def _write(target: Path, header: Row, rows: Iterable[Row]) -> None:
    with atomic_text(target) as stream:
        writer = csv.writer(stream, delimiter="\t", lineterminator="\n")
        writer.writerow(header)
        writer.writerows([_text(cell) for cell in row] for row in rows)


def _text(cell: object) -> object:
    """A number with nine digits, nothing for what is not known."""
    if cell is None:
        return ""
    if isinstance(cell, float):
        return f"{cell:.9g}" if math.isfinite(cell) else ""
    return cell
