"""Annotated regions: every form gives the same regions, every policy is counted, every malformed line is named."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esm2_amp.errors import InputError
from esm2_amp.io.regions import Annotations, read_annotations
from esm2_amp.io.regions_uniprot import features_of
from esm2_amp.records import Region

MD5 = "0123456789abcdef0123456789abcdef"
SCAN = f"P1\t{MD5}\t90\tPfam\tPF00018\tSH3 domain\t12\t85\t1e-9\tT\t01-01-2026"
GFF = "##gff-version 3\n##sequence-region P1 1 90\nP1\t.\tpolypeptide\t1\t90\t.\t+\t.\tID=P1\n"
ENTRY = {"primaryAccession": "P1", "sequence": {"length": 90}}


def feature(start: object, end: object, kind: str = "Domain", note: str = "SH3", **more: object) -> dict[str, object]:
    """A feature of UniProt's JSON; ends are numbers, or (number, modifier)."""

    def place(end: object) -> dict[str, object]:
        value, modifier = end if isinstance(end, tuple) else (end, "EXACT")
        return {"value": value, "modifier": modifier}

    return {"type": kind, "description": note, "location": {"start": place(start), "end": place(end), **more}}


def entry(*features: object) -> dict[str, object]:
    return {**ENTRY, "features": list(features)}


FORMS = {
    "UniProt TSV": 'Entry\tLength\tDomain [FT]\nP1\t90\tDOMAIN 12..85; /note="SH3"; /evidence="ECO:0000255"\n',
    "UniProt TSV, quoted": 'Entry\tLength\tDomain\nP1\t90\t"DOMAIN 12..85; /note=""SH3"""\n',
    "all in one column": 'accession\tlength\tmine\nP1\t90\tDOMAIN 12..85; /note="SH3"\n',
    "published tool": 'Entry\tLength\tDomain\nP1\t90\t"Domain[12,85]: /note=""SH3""; /evidence=""ECO:1|A:B"""\n',
    "UniProt JSON, stream": json.dumps({"results": [entry(feature(12, 85))]}, indent=1),
    "UniProt JSON, entry": json.dumps(entry(feature(12, 85))),
    "InterProScan TSV": SCAN + "\n",
    "InterProScan TSV, 15 columns": f"{SCAN}\tIPR001452\tSH3 domain\tGO:0005515\t-\n",
    "InterProScan GFF3": f"{GFF}P1\tPfam\tprotein_match\t12\t85\t1e-9\t+\t.\tName=PF00018;signature_desc=SH3%20domain\n"
    "##FASTA\n>P1\nMKV\n",
    "UniProt GFF": "##gff-version 3\n##sequence-region P1 1 90\n"
    "P1\tUniProtKB\tDomain\t12\t85\t.\t.\t.\tNote=SH3;evidence=ECO:1\t\n",
    "table": "protein\tstart\tend\tkind\tnote\nP1\t12\t85\tdomain\tSH3\n",
    "protein2ipr": "P1\tIPR001452\tSH3 domain\tPF00018\t12\t85\n",
}


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., Annotations]:
    """Write the content of one file or several, read them."""

    def read_them(*contents: str, wanted: list[str] | None = None) -> Annotations:
        files = [tmp_path / f"annotations_{i}" for i in range(len(contents))]
        for file, content in zip(files, contents, strict=True):
            file.write_text(content)
        return read_annotations(files, wanted)

    return read_them


def cells(text: str, protein: str = "P1") -> str:
    """A UniProt table with one cell of features."""
    return f"Entry\tLength\tfeatures\n{protein}\t90\t{text}\n"


def places(found: Annotations, protein: str = "P1") -> list[tuple[str, int, int]]:
    return [(region.kind, region.start, region.end) for region in found.regions.get(protein, [])]


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_region(form: str, read: Callable[..., Annotations]) -> None:
    (region,) = read(FORMS[form], wanted=["P1"]).regions["P1"]
    assert (region.protein, region.start, region.end) == ("P1", 12, 85)
    kind = {"protein2ipr": "InterPro", "table": "domain"}.get(form, "Pfam" if "InterProScan" in form else "Domain")
    assert region.kind == kind
    assert "SH3" in region.note
    assert read(FORMS[form]).lengths == ({} if form in ("protein2ipr", "table") else {"P1": 90})


@pytest.mark.parametrize("form", FORMS)
def test_gzip_and_windows_line_ends_change_nothing(form: str, tmp_path: Path) -> None:
    plain, packed = tmp_path / "plain", tmp_path / "packed"
    plain.write_text(FORMS[form])
    packed.write_bytes(gzip.compress(("\ufeff\n\n" + FORMS[form]).replace("\n", "\r\n").encode()))
    assert read_annotations([packed], None).regions == read_annotations([plain], None).regions


def test_files_of_several_forms_are_put_together(read: Callable[..., Annotations]) -> None:
    found = read(FORMS["UniProt TSV"], FORMS["protein2ipr"], SCAN.replace("P1", "sp|P1|ONE_HUMAN"))
    assert [kind for kind, _, _ in places(found)] == ["Domain", "InterPro", "Pfam"]


def test_the_entry_list_names_kinds_wherever_it_stands(read: Callable[..., Annotations]) -> None:
    types = "ENTRY_AC\tENTRY_TYPE\tENTRY_NAME\nIPR001452\tActive_site\tSH3 domain\n"
    scan = FORMS["InterProScan TSV, 15 columns"]
    found = read(FORMS["protein2ipr"], scan, SCAN, types)
    assert [kind for kind, _, _ in places(found)] == ["Active site", "Active site", "Pfam"]


def test_a_cell_holds_many_features(read: Callable[..., Annotations]) -> None:
    text = (
        'DOMAIN 12..85; /note="SH3"; /evidence="ECO:0000255|PROSITE-ProRule:PRU00192"; ACT_SITE 57; '
        'BINDING 58; /ligand="ATP"; /ligand_id="ChEBI:CHEBI:30616"; COMPBIAS 60..70; /note="Polar residues"'
    )
    found = read(cells(text))
    expected = [("Domain", 12, 85), ("Active site", 57, 57), ("Binding site", 58, 58), ("Compositional bias", 60, 70)]
    assert places(found) == expected
    assert [region.note for region in found.regions["P1"]] == ["SH3", "", "ATP", "Polar residues"]


def test_the_published_tool_leaves_out_semicolons_and_leaves_in_what_it_did_not_know(
    read: Callable[..., Annotations],
) -> None:
    found = read(cells("Repeat[5,8]: Repeat[15,18]: REPEAT 20..26"))
    assert places(found) == [("Repeat", 5, 8), ("Repeat", 15, 18), ("Repeat", 20, 26)]


NOTES = [
    "binds A; B; C",
    "[1,2] and (3..4)",
    'the "great" domain',
    "Region[1,2]: not a region",
    "a; DOMAIN of unknown function",
    "a; /b=c",
    "'",
    "<script>",
    "",
]


@pytest.mark.parametrize("note", NOTES)
@pytest.mark.parametrize(
    "form", ['DOMAIN 3..9; /note="{}"; /evidence="E:1"; MOTIF 4', 'Domain[3,9]: /note="{}"; Motif[4]']
)
def test_a_note_holds_anything(note: str, form: str) -> None:
    first, second = features_of(form.format(note), "P1", None, 1)
    assert (first.kind, first.start, first.end, first.note) == ("Domain", 3, 9, note)
    assert (second.kind, second.start, second.end) == ("Motif", 4, 4)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["DOMAIN", "ACT_SITE", "ZN_FING"]),
            st.integers(1, 99),
            st.text('ab ;"/[,.1:', max_size=12),
        )
    )
)
def test_cells_are_read_back(features: list[tuple[str, int, str]]) -> None:
    """Whatever the notes hold, short of what ends a note, no feature is lost and none is made up."""
    notes = [note for _, _, note in features]
    text = "; ".join(f'{key} {start}..{start + 3}; /note="{note}"' for key, start, note in features)
    found = list(features_of(text, "P1", None, 1))
    assert [(item.start, item.end) for item in found] == [(start, start + 3) for _, start, _ in features]
    assert [item.note for item in found] == notes


@pytest.mark.parametrize(
    ("place", "expected", "issue"),
    [
        ("57", (57, 57), None),
        ("<1..50", (1, 50), "kept"),
        ("1..>50", (1, 50), "kept"),
        ("<1..>50", (1, 50), "kept"),
        ("?12..80", (12, 80), "kept"),
        ("?..80", None, "left out"),
        ("12..?", None, "left out"),
        ("?", None, "left out"),
        ("P1-2:3..9", None, "left out"),
    ],
)
def test_ends_that_are_not_exact(
    place: str, expected: tuple[int, int] | None, issue: str | None, read: Callable[..., Annotations]
) -> None:
    for text in (f'DOMAIN {place}; /note="x"', f"Domain[{place.replace('..', ',')}]:"):
        found = read(cells(text), wanted=["P1"])
        assert places(found) == ([] if expected is None else [("Domain", *expected)])
        assert [(i.line, i.protein, i.kind, i.place, i.action) for i in found.issues] == (
            [] if issue is None else [(2, "P1", "Domain", place, issue)]
        )


def test_json_says_the_same_of_ends_that_are_not_exact(read: Callable[..., Annotations]) -> None:
    features = [
        feature((1, "OUTSIDE"), (50, "OUTSIDE")),
        feature((12, "UNSURE"), 80),
        feature((None, "UNKNOWN"), 80),
        feature(3, 9, sequence="P1-2"),
        feature(10, 20, kind="Disulfide bond"),
    ]
    found = read(json.dumps([entry(*features)]), wanted=["P1"])
    bond = [("Disulfide bond", 10, 10), ("Disulfide bond", 20, 20)]
    assert places(found) == [("Domain", 1, 50), ("Domain", 12, 80), *bond]
    expected = [("<1..>50", "kept"), ("?12..80", "kept"), ("?..80", "left out"), ("P1-2:3..9", "left out")]
    assert [(issue.place, issue.action) for issue in found.issues] == expected


def test_an_isoform_that_is_asked_for_has_its_own_regions(read: Callable[..., Annotations]) -> None:
    found = read(cells("DOMAIN P1-2:3..9; MOTIF 4..5"), wanted=["P1-2", "P1"])
    assert (places(found), places(found, "P1-2")) == ([("Motif", 4, 5)], [("Domain", 3, 9)])
    assert found.issues == []


def test_a_region_ends_with_its_protein(read: Callable[..., Annotations]) -> None:
    found = read(cells("DOMAIN 80..95; MOTIF 91..92; SITE 90")).within({"P1": 90})
    assert places(found) == [("Domain", 80, 90), ("Site", 90, 90)]
    assert [(i.kind, i.place, i.action, i.line) for i in found.issues] == [
        ("Domain", "80..95", "cut", 2),
        ("Motif", "91..92", "left out", 2),
    ]


def test_proteins_are_found_by_accession_and_others_passed_over(read: Callable[..., Annotations]) -> None:
    text = cells("DOMAIN 1..5", "P1") + "P2\t50\tDOMAIN 1..5; MOTIF ?..8\nP3\t40\t\n"
    found = read(text, wanted=["sp|P1|ONE_HUMAN", "P3"])
    assert found.named == {"P1", "P3"}
    assert found.lengths == {"P1": 90, "P3": 40}
    assert found.regions == {"P1": [Region("P1", 1, 5, "Domain", "")]}
    assert found.issues == []


@pytest.mark.parametrize(
    ("content", "line", "word"),
    [
        ("", 1, "empty"),
        ("nothing here\n", 1, "unknown form"),
        (">P1\nMKV\n", 1, "unknown form"),
        ("Entry\tLength\tDomain [FT]\nP1\t90\n", 2, "2 columns"),
        ("Entry\tLength\tDomain [FT]\nP1\tninety\t\n", 2, "ninety"),
        ("Entry\tLength\tDomain [FT]\nP1\t0\t\n", 2, "'0'"),
        ("Entry\tLength\tDomain [FT]\n\t90\tDOMAIN 1..2\n", 2, "id is empty"),
        ("Entry\tLength\tDomain [FT]\nP1\t90\tDOMAIN 1-2\n", 2, "DOMAIN 1-2"),
        (cells("DOMAIN 1..2; DOMAIN x..4"), 2, "DOMAIN x..4"),
        (cells('DOMAIN 1..2; /note="open'), 2, "/note"),
        (cells("DOMAIN 9..3"), 2, "9..3"),
        (cells("DOMAIN 0..3"), 2, "0..3"),
        (cells("DOMAIN 1..2; DOMAIN 1..99999999999999999999"), 2, "not a feature"),
        ("Entry\tx\nP1\tnothing\nP2\tDOMAIN 1..2\n", 3, "other text above"),
        ("Entry\tx\nP1\tDOMAIN 1..2\nP2\tnothing\n", 3, "nothing"),
        ("Entry\tx\nP1\tnothing\n", None, "no column holds features"),
        (cells("DOMAIN 1..2") + "P1\t91\t\n", 3, "91 residues"),
        (FORMS["protein2ipr"] + "P1\tIPR001452\tx\tPF1\t5\n", 2, "protein2ipr"),
        (FORMS["protein2ipr"] + "P1\tIPR001452\tx\tPF1\t5\tx\n", 2, "'x'"),
        (SCAN + "\n" + SCAN.replace("\t12\t", "\tzwölf\t"), 2, "zwölf"),
        (SCAN + "\nP1\tmore\n", 2, "InterProScan"),
        (GFF + "P1\tPfam\tprotein_match\t1\n", 4, "4 columns"),
        ("protein\tstart\tend\tkind\nP1\t1\t2\n", 2, "3 columns"),
        ("protein\tstart\tend\tkind\nP1\t1\t2\t\n", 2, "kind is empty"),
        ("protein\tstart\tend\tkind\nP1\t1.0\t2\tx\n", 2, "1.0"),
        ("{\n 'no': 1}", 2, "not JSON"),
        ('{"results": [{"accession": "P1"}]}', None, "entry 1 has no primaryAccession"),
        (json.dumps({**ENTRY, "features": [{"type": "Domain"}]}), None, "P1"),
        (json.dumps(entry(feature(True, 5))), None, "P1"),
        (json.dumps(entry(feature("1", 5))), None, "P1"),
        (json.dumps({**ENTRY, "features": 7}), None, "P1"),
        (json.dumps(entry(feature(1, 5, kind="\ud800"))), None, "P1"),
        (json.dumps(entry({**feature(1, 5), "type": 7})), None, "7 is not text"),
        ("[" * 100_000, None, "JSON"),
        ("[" + "9" * 5000 + "]", None, "JSON"),
        ("ENTRY_AC\tENTRY_TYPE\tENTRY_NAME\nIPR1\tDomain\tx\n", 2, "entry.list"),
    ],
)  # fmt: skip
def test_a_malformed_file_is_refused_with_its_line(
    content: str, line: int | None, word: str, read: Callable[..., Annotations]
) -> None:
    with pytest.raises(InputError) as caught:
        read(content)
    assert word in str(caught.value)
    assert str(caught.value.file).endswith("annotations_0")
    assert caught.value.line == line


def test_text_in_another_encoding_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "latin"
    file.write_bytes("protein\tstart\tend\tkind\nP1\t1\t2\tDom\u00e4ne\n".encode("latin-1"))
    with pytest.raises(InputError, match=r"line 2.*UTF-8"):
        read_annotations([file], None)
