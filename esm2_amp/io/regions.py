"""Annotated regions of proteins, read in the forms people have.

Forms, known by their content, plain or gzip: UniProt's tables and JSON, the spelling of the published tool, InterPro's
protein2ipr.dat, InterProScan's TSV and GFF3, UniProt's GFF, and tables with the columns protein, start, end, kind.
InterPro's entry.list beside them says what the entries are (Domain, Active site...).

Policies, each counted and listed in :attr:`Annotations.issues`:

- An end marked ``<``, ``>`` or ``?`` with a number is taken at its number: the region is cut where it is known.
- An end that is ``?`` alone leaves the annotation out.
- Positions in an isoform (``P12345-2:3..9``) belong to the protein of that name, ``P12345-2``; where only ``P12345``
  is asked for they are left out, since they count the residues of another sequence.
- What reaches beyond the last residue is cut there; what lies beyond it is left out (:meth:`Annotations.within`).
- A bond (disulfide, cross-link) is its two residues, not what lies between them.

Annotations of proteins that are not asked for are passed over.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from esm2_amp.errors import InputError
from esm2_amp.io.region_parts import COUNTED_FROM_1, Annotation, Item, Lines, protein_key
from esm2_amp.io.regions_interpro import (
    entry_types,
    interproscan,
    is_entry_list,
    is_interproscan,
    is_protein2ipr,
    protein2ipr,
)
from esm2_amp.io.regions_tables import TABLE_COLUMNS, gff3, region_table
from esm2_amp.io.regions_uniprot import ID_COLUMNS, uniprot_json, uniprot_table
from esm2_amp.io.text import FilePath, is_text, text_lines
from esm2_amp.records import Region

_READERS: dict[str, Callable[[Lines, FilePath], Iterator[Item]]] = {
    "UniProt table": uniprot_table,
    "UniProt JSON": uniprot_json,
    "protein2ipr": protein2ipr,
    "InterProScan TSV": interproscan,
    "GFF3": gff3,
    "table of regions": region_table,
}
_ENTRY_LIST = "InterPro entry.list"
_KNOWN = (
    "Read are UniProt's TSV (with a column Entry) and JSON, protein2ipr.dat, InterProScan's TSV and GFF3, and tables "
    "with the columns protein, start, end and kind."
)


class RegionIssue(NamedTuple):
    """An annotation that a policy spoke about; ``place`` as written, ``line`` in ``file`` (of JSON: the entry)."""

    file: str
    line: int
    protein: str
    kind: str
    place: str
    action: Literal["kept", "cut", "left out"]
    reason: str


@dataclass(frozen=True, eq=False)
class Annotations:
    """Annotations of some proteins, by :func:`~esm2_amp.io.region_parts.protein_key`.

    ``regions`` in the order of the files; ``lengths`` where a file says them; ``named``: proteins that a file speaks
    about, annotated or not; ``forms``: by file, what it was read as.
    """

    regions: dict[str, list[Region]] = field(default_factory=dict)
    lengths: dict[str, int] = field(default_factory=dict)
    named: set[str] = field(default_factory=set)
    issues: list[RegionIssue] = field(default_factory=list)
    forms: dict[str, str] = field(default_factory=dict)
    _lines: dict[str, list[tuple[str, int]]] = field(default_factory=dict)

    def kinds(self) -> Counter[str]:
        """How many regions there are of each kind, in the order in which they came."""
        return Counter(region.kind for regions in self.regions.values() for region in regions)

    def within(self, lengths: Mapping[str, int]) -> Annotations:
        """The same with every region inside its protein, by the lengths given; others as they are."""
        kept, issues = dict[str, list[Region]](), list(self.issues)
        for key, regions in self.regions.items():
            kept[key] = []
            last = lengths.get(key)
            for region, (file, line) in zip(regions, self._lines[key], strict=True):
                if last is None or region.end <= last:
                    kept[key].append(region)
                    continue
                beyond, place = region.start > last, f"{region.start}..{region.end}"
                reason = f"the protein has {last} residues"
                issues.append(RegionIssue(file, line, key, region.kind, place, "left out" if beyond else "cut", reason))
                if not beyond:
                    kept[key].append(region._replace(end=last))
        return Annotations(kept, self.lengths, self.named, issues, self.forms)


def read_annotations(paths: Sequence[FilePath], wanted: Iterable[str] | None) -> Annotations:
    """Read annotations by the policies at the top of this module.

    Args:
        paths: files of any form; their annotations are put together.
        wanted: names of the proteins asked for; None: all.

    Raises:
        InputError: with file and line: a form that is not known, a malformed line, a region that ends before it
            begins or begins before residue 1, two lengths of one protein.
    """
    keys = None if wanted is None else {protein_key(name) for name in wanted}
    forms = {path: _form(path) for path in paths}
    types = dict[str, str]()
    for path, form in forms.items():
        if form == _ENTRY_LIST:
            types |= entry_types(_lines(path), path)
    found = Annotations(forms={str(path): form for path, form in forms.items()})
    for path, form in forms.items():
        if form != _ENTRY_LIST:
            for item in _READERS[form](_lines(path), path):
                _take(item, path, keys, types, found)
    return found


def _take(item: Item, path: FilePath, keys: set[str] | None, types: Mapping[str, str], found: Annotations) -> None:
    """Put what a file says into ``found``, or pass over it."""
    key = protein_key(item.protein)
    if isinstance(item, Annotation):
        if item.isoform and (keys is None or item.isoform in keys):
            key = item.isoform
        if keys is None or key in keys:
            kind = types.get(item.entry, item.kind)
            _take_annotation(item._replace(kind=kind), key, path, found)
        return
    if keys is not None and key not in keys:
        return
    found.named.add(key)
    if item.length is not None and found.lengths.setdefault(key, item.length) != item.length:
        raise InputError(
            f"{key} has {item.length} residues here and {found.lengths[key]} elsewhere",
            file=path,
            line=item.line,
            remedy="Take all annotations from one release of the database.",
        )


def _take_annotation(item: Annotation, key: str, path: FilePath, found: Annotations) -> None:
    """Apply the policies that need no length."""

    def issue(action: Literal["kept", "left out"], reason: str) -> None:
        found.issues.append(RegionIssue(str(path), item.line, key, item.kind, item.place, action, reason))

    if item.isoform and item.isoform != key:
        issue("left out", "its positions are those of an isoform")
    elif item.start is None or item.end is None:
        issue("left out", "an end is unknown")
    elif not 1 <= item.start <= item.end:
        what = f"{key}: the {item.kind} {item.place} is no region"
        raise InputError(what, file=path, line=item.line, remedy=f"{COUNTED_FROM_1} Correct or remove it.")
    else:
        if item.inexact:
            issue("kept", "an end is not exact: taken at its number")
        found.named.add(key)
        found.regions.setdefault(key, []).append(Region(key, item.start, item.end, item.kind, item.note))
        found._lines.setdefault(key, []).append((str(path), item.line))


def _lines(path: FilePath) -> Lines:
    """The lines of a file from its first that is not blank.

    Raises:
        InputError: a line that is not UTF-8 text.
    """
    begun = False
    for line, text in text_lines(path):
        begun = begun or bool(text.strip())
        if not is_text(text):
            raise InputError("bytes that are not UTF-8 text", file=path, line=line, remedy="Save the file as UTF-8.")
        if begun:
            yield line, text


def _form(path: FilePath) -> str:
    """What a file is, by its first line.

    Raises:
        InputError: nothing that is read here.
    """
    line, text = next(_lines(path), (1, ""))
    cells = [cell.strip() for cell in text.split("\t")]
    names = {cell.strip('"').lower() for cell in cells}
    rules = (
        ("UniProt JSON", text.lstrip()[:1] in ("{", "[")),
        ("GFF3", text.startswith("##gff-version") or len(cells) == 9 and cells[3].isdigit() and cells[4].isdigit()),
        ("table of regions", names.issuperset(TABLE_COLUMNS)),
        (_ENTRY_LIST, is_entry_list(cells)),
        ("protein2ipr", is_protein2ipr(cells)),
        ("InterProScan TSV", is_interproscan(cells)),
        ("UniProt table", len(cells) > 1 and not names.isdisjoint(ID_COLUMNS)),
    )
    form = next((name for name, holds in rules if holds), None)
    if form is None:
        what = f"annotations of an unknown form: '{text[:60]}'" if text else "the file is empty"
        raise InputError(what, file=path, line=line, remedy=_KNOWN)
    return form
