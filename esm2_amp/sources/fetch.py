"""A public dataset brought home: its files downloaded and verified, and written in the standard form."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from esm2_amp.errors import InputError
from esm2_amp.io.atomic import atomic_text, write_json
from esm2_amp.io.fasta import ProteinSet, read_fasta, write_fasta
from esm2_amp.io.pairs import iter_pairs
from esm2_amp.records import Protein
from esm2_amp.sources.archives import extract, members
from esm2_amp.sources.catalog import Dataset, Part, find_dataset
from esm2_amp.sources.download import RemoteFile, download
from esm2_amp.sources.services import BASE_URLS, Record, list_files
from esm2_amp.sources.web import PATIENT, Retry

FetchProgress = Callable[[str, int, int], None]
"""Called with the name of a file, the bytes that are there and the bytes of the whole file."""

_SEQUENCES = "proteins.fasta"
_SHOWN = 40


@dataclass(frozen=True)
class FetchResult:
    """What came of a fetch.

    Attributes:
        folder: where it lies: the pair files, ``proteins.fasta``, ``card.json`` and the originals under ``raw/``.
        version: the version of the record.
        rows: for each pair file its number of rows.
        proteins: number of sequences in ``proteins.fasta``; only proteins of the pair files are kept.
        missing: ids of the pair files that have no sequence, sorted; their rows are kept.
    """

    folder: Path
    version: str
    rows: dict[str, int]
    proteins: int
    missing: tuple[str, ...]


def fetch(
    name: str,
    folder: Path,
    base_url: str | None = None,
    progress: FetchProgress | None = None,
    retry: Retry = PATIENT,
) -> FetchResult:
    """Download a dataset and write it in the standard form; a second call fetches only what is not there yet.

    Args:
        name: its name in the catalogue.
        folder: where to put it.
        base_url: where its service answers; None for the public address.
        progress: told after every chunk.
        retry: how patient to be with the network.

    Raises:
        InputError: an unknown name; the service or a download fails; the record lacks a file that is needed; a
            file is not what it should be.
    """
    dataset = find_dataset(name)
    record = list_files(dataset.source, base_url or BASE_URLS[dataset.source.service], retry)
    shelf = _Shelf(folder / "raw", record.files, progress, retry)
    chosen = _collect(dataset, shelf)
    tables = {output: _write_pairs(folder / output, paths) for output, paths in chosen.items() if output != _SEQUENCES}
    wanted = set().union(*(table.ids for table in tables.values()))
    held = _write_sequences(folder / _SEQUENCES, chosen.get(_SEQUENCES, []), wanted)
    missing = tuple(sorted(wanted - held))
    card = _card(dataset, record, shelf.fetched, {output: table.counts() for output, table in tables.items()})
    card |= {"proteins": len(held), "ids_without_sequence": list(missing)}
    write_json(folder / "card.json", card)
    rows = {output: table.rows for output, table in tables.items()}
    return FetchResult(folder, record.version, rows, len(held), missing)


class _Shelf:
    """The folder of original files, and the record it is filled from."""

    def __init__(self, folder: Path, files: Sequence[RemoteFile], progress: FetchProgress | None, retry: Retry) -> None:
        self._folder, self._progress, self._retry = folder, progress, retry
        self.names = [file.name for file in files]
        self.files = {file.name: file for file in files}
        self.fetched: dict[str, RemoteFile] = {}

    def path(self, name: str) -> Path:
        """Where a file is kept: a name from outside must not lead elsewhere."""
        return self._folder / re.sub(r"[^\w.+-]", "_", name).lstrip(".")

    def take(self, name: str) -> Path:
        """Download a file of the record, unless it is there."""
        remote, target, progress = self.files[name], self.path(name), self._progress
        tell = None if progress is None else lambda done, total: progress(name, done, total)
        download(remote, target, tell, self._retry)
        self.fetched[name] = remote
        return target


def _collect(dataset: Dataset, shelf: _Shelf) -> dict[str, list[tuple[Path, Part]]]:
    """Find and download the file of every part: among the files of the record, else inside its archives."""
    direct = {part: name for part in dataset.parts if (name := _match(part, shelf.names))}
    absent = [part for part in dataset.parts if part not in direct]
    packed: dict[Part, Path] = {}
    seen: list[str] = []
    for archive in _archives(dataset, shelf):
        if not any(part.required for part in absent):
            break
        path = shelf.take(archive)
        inside = members(path)
        seen += inside
        found = {part: name for part in absent if (name := _match(part, inside))}
        targets = {name: shelf.path(name) for name in found.values()}
        extract(path, targets)
        packed |= {part: targets[name] for part, name in found.items()}
        absent = [part for part in absent if part not in found]
    if any(part.required for part in absent):
        raise _lacking(dataset, absent, [*shelf.names, *seen])
    chosen: dict[str, list[tuple[Path, Part]]] = defaultdict(list)
    for part in dataset.parts:
        if part in direct or part in packed:
            chosen[part.output].append((packed[part] if part in packed else shelf.take(direct[part]), part))
    return chosen


def _match(part: Part, names: Sequence[str]) -> str | None:
    """The name that fits a part, by the first of its patterns that fits one."""
    for pattern in part.patterns:
        fits = [name for name in names if re.fullmatch(pattern, name, re.IGNORECASE)]
        if len(fits) > 1 and part.required:
            raise InputError(
                f"several files could be the source of {part.output}: {', '.join(fits[:_SHOWN])}",
                remedy="The record has changed: download the right one by hand.",
            )
        if len(fits) == 1:
            return fits[0]
    return None


def _archives(dataset: Dataset, shelf: _Shelf) -> list[str]:
    """Archives worth opening, the most promising and smallest first."""
    ranked = []
    for name, file in shelf.files.items():
        ranks = [i for i, pattern in enumerate(dataset.archives) if re.fullmatch(pattern, name, re.IGNORECASE)]
        if ranks:
            ranked.append((ranks[0], file.size, name))
    return [name for _, _, name in sorted(ranked)]


def _lacking(dataset: Dataset, absent: list[Part], offered: list[str]) -> InputError:
    wanted = "; ".join(f"{part.patterns[0]} for {part.output}" for part in absent if part.required)
    more = f" and {len(offered) - _SHOWN} more" if len(offered) > _SHOWN else ""
    return InputError(
        f"{dataset.source.service} record {dataset.source.record} does not offer what '{dataset.name}' needs "
        f"({wanted}); it offers: {', '.join(offered[:_SHOWN]) or 'nothing'}{more}",
        remedy="Download the right files by hand and train on them with data=files.",
    )


class _Table:
    """Counts of one pair file, and the ids in it."""

    def __init__(self) -> None:
        self.rows, self.positive = 0, 0
        self.ids: set[str] = set()

    def counts(self) -> dict[str, int]:
        """The counts as they stand in the card."""
        return {"rows": self.rows, "positive": self.positive, "negative": self.rows - self.positive}


def _write_pairs(target: Path, sources: list[tuple[Path, Part]]) -> _Table:
    table = _Table()
    with atomic_text(target) as stream:
        stream.write("protein_a\tprotein_b\tlabel\n")
        for path, part in sources:
            for pair in iter_pairs(path):
                label = pair.label if part.label is None else part.label
                if label is None:
                    raise InputError("a row without a label", file=path, line=pair.line, remedy="Is it the right file?")
                stream.write(f"{pair.a}\t{pair.b}\t{label}\n")
                table.rows += 1
                table.positive += label
                table.ids.update((pair.a, pair.b))
    return table


def _write_sequences(target: Path, sources: list[tuple[Path, Part]], wanted: set[str]) -> set[str]:
    """Write the sequences of the wanted ids, under the ids of the pair files; give the ids that have one."""
    if not sources:
        return set()
    sets = [read_fasta(path) for path, _ in sources]
    found = ((name, proteins.get(name)) for proteins in sets for name in sorted(wanted))
    # a set of sets: one id with two sequences is refused
    held = ProteinSet((Protein(name, protein.sequence) for name, protein in found if protein), target)
    write_fasta(target, held)
    return {protein.id for protein in held}


def _card(
    dataset: Dataset, record: Record, fetched: dict[str, RemoteFile], outputs: dict[str, dict[str, int]]
) -> dict[str, Any]:
    return {
        "name": dataset.name,
        "title": dataset.title,
        "citation": dataset.citation,
        "licence": dataset.licence,
        "source": {
            "service": dataset.source.service,
            "record": dataset.source.record,
            "title": record.title,
            "version": record.version,
            "doi": record.doi,
            "licence": record.licence,
        },
        "files": [
            {"name": file.name, "url": file.url, "size": file.size, "md5": file.md5} for file in fetched.values()
        ],
        "pairs": outputs,
        "notes": list(dataset.notes),
    }
