"""Filters mean what pandas means, every other name finds its vector or is refused, links cannot be led astray."""

from __future__ import annotations

import gzip
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from esm2_amp.errors import InputError
from esm2_amp.neighbours.aliases import Aliases
from esm2_amp.neighbours.filters import parse_filter
from esm2_amp.neighbours.ingest import write_vectors
from esm2_amp.neighbours.links import TEMPLATES, Link
from esm2_amp.neighbours.metadata import Metadata, open_metadata
from esm2_amp.neighbours.metadata_table import attach_metadata
from esm2_amp.neighbours.vectors import Vectors

IDS = ["P69905", "P68871", "sp|P04637|P53_HUMAN", "Q9", "Q10", "0012"]
TABLE = """id\tsymbol\taliases\torganism\tname\tlength\tlocus
P68871\tHBB\tbeta-globin; HBB1 |CD113t-C\t9606\tHemoglobin, beta\t147\t0011
P69905\tHBA1\tHBA; HBB1\t9606\tHemoglobin alpha\t142\t16p13
P04637\tTP53\tp53\t9606\tCellular tumor antigen "p53"\t393\t
Q9\tTrp53\t\t10090\t\tNA\t11
nobody\tX\t\t1\t\t5\t
0012\thba\t\t\themoglobin of 5' end\t1e2\t
"""


@pytest.fixture
def vectors(tmp_path: Path) -> Vectors:
    return write_vectors(tmp_path / "v", IDS, np.ones((len(IDS), 2), np.float16))


def attached(vectors: Vectors, text: str = TABLE, name: str = "t.tsv", column: str | None = None) -> Metadata:
    file = vectors.folder.parent / name
    file.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    attach_metadata(vectors, str(file), column)
    metadata = open_metadata(vectors)
    assert metadata is not None
    return metadata


def test_a_table_is_matched_by_id_and_accession(vectors: Vectors, tmp_path: Path) -> None:
    (tmp_path / "t.tsv").write_text(TABLE)
    report = attach_metadata(vectors, str(tmp_path / "t.tsv"), None)
    assert (report.rows, report.described, report.unknown, report.left_out) == (6, 5, ("nobody",), ())
    metadata = open_metadata(vectors)
    assert metadata is not None
    assert metadata.values("symbol", range(6)) == ["HBA1", "HBB", "TP53", "Trp53", "", "hba"]
    assert metadata.values("length", [5, 0, 3, 4]) == ["100", "142", "", ""]
    assert metadata.values("locus", [1, 2]) == ["0011", ""]  # no number: it begins with 0
    assert metadata.values("name", [2, 5]) == ['Cellular tumor antigen "p53"', "hemoglobin of 5' end"]
    assert metadata.columns == ("id", "symbol", "aliases", "organism", "name", "length", "locus")


def test_every_form_of_table_says_the_same(vectors: Vectors, tmp_path: Path) -> None:
    columns = [line.split("\t") for line in TABLE.splitlines()]
    frame = pd.DataFrame(columns[1:], columns=columns[0]).replace("NA", "")
    expected = attached(vectors)
    wanted = {name: expected.values(name, range(6)) for name in expected.columns}
    typed = frame.assign(
        organism=pd.to_numeric(frame["organism"]), length=pd.to_numeric(frame["length"]), nested=[[1.0]] * 6
    )
    typed["aliases"] = [cell.split("; ") for cell in frame["aliases"]]
    typed.to_parquet(tmp_path / "t.parquet")
    for name, text in (
        ("t.csv", frame.to_csv(index=False)),
        ("t.gz", TABLE),
        ("crlf.tsv", TABLE.replace("\n", "\r\n")),
    ):
        metadata = attached(vectors, text, name)
        assert {column: metadata.values(column, range(6)) for column in metadata.columns} == wanted
    report = attach_metadata(vectors, str(tmp_path / "t.parquet"), "id")
    metadata = open_metadata(vectors)
    assert metadata is not None
    assert report.left_out == ("nested",)
    for column in ("symbol", "organism", "length", "locus", "name"):
        assert metadata.values(column, range(6)) == wanted[column]
    assert metadata.values("aliases", [0]) == ["HBA;HBB1"]


cells = st.sampled_from(["", "x", "X y", "kinase", "0", "7", "a,b"])
numbers = st.sampled_from(["", "0", "7", "-3.5", "1e3"])


@given(st.lists(st.tuples(cells, numbers), min_size=1, max_size=6), st.sampled_from(["x", "7", "KIN", "a,b", "0"]))
@settings(max_examples=40, deadline=None)
def test_filters_are_those_of_pandas(rows: list[tuple[str, str]], value: str) -> None:
    n = len(rows) + 1  # the last vector has no row
    numeric = pd.Series([float(number) if number else np.nan for _, number in rows], dtype=float)
    text = pd.Series([cell for cell, _ in rows], dtype=object)
    table = pa.table({"esm2_amp_row": pa.array(range(len(rows))), "text": text, "size": pa.array(numeric)})
    metadata = Metadata(n, table)
    for expression, expected, unknown in (
        (f'text="{value}"', text == value, False),
        (f'text!="{value}"', text != value, True),
        (f'text~"{value}"', text.str.lower().str.contains(value.lower(), regex=False), False),
        ("size=7", numeric == 7, False),
        ("size!=7.0", numeric != 7, True),
        ("size<7", numeric < 7, False),
        (" size >= 0 , size<1e3", (numeric >= 0) & (numeric < 1000), False),
        ("size>-4,size<=7", (numeric > -4) & (numeric <= 7), False),
        ("size=", numeric.isna(), True),
        ("size!=", numeric.notna(), False),
        ("text=", text == "", True),
        ("size!=7,text!=x", (numeric != 7) & (text != "x"), True),
    ):
        assert metadata.allowed(expression).tolist() == [*expected.astype(bool).tolist(), unknown], expression


def test_quotes_let_values_and_columns_hold_anything() -> None:
    found = parse_filter('name="a, ""b"" = c",  "odd, column" ~ x=y ,z=')
    assert [(c.column, c.test, c.value) for c in found] == [
        ("name", "=", 'a, "b" = c'), ("odd, column", "~", "x=y"), ("z", "=", ""),
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["", "a", "=1", "a=1,", "a=1,,b=2", 'a="1', 'a=1"2"', "__import__('os')", "a==1,b"])
def test_what_is_no_filter_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="cannot be understood"):
        parse_filter(text)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("organsm=1", "no column 'organsm'. Did you mean 'organism'"),
        ("organism=human", "'human' is not a number"),
        ("length<x", "'x' is not a number"),
        ("length<", "'' is not a number"),
        ("symbol<5", "the column 'symbol' holds text"),
        ("symbol~", "nothing to look for"),
        ("esm2_amp_row=1", "no column"),
    ],
)
def test_filters_that_do_not_fit_the_table_are_refused(vectors: Vectors, text: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        attached(vectors).allowed(text)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "the table is empty"),
        ("id\tx\nzzz\t1\n", "none of its 1 ids in the column 'id' is that of a vector, first 'zzz'"),
        ("id\tx\nQ9\t1\nQ9\t1\n", "1 ids have several rows, such as 'Q9'"),
        ("id\tx\nP04637\t1\nsp|P04637|P53_HUMAN\t1\n", "1 ids have several rows"),
        ("id\tx\tx\nQ9\t1\t1\n", "line 1: two columns are called 'x'"),
        ("id\t\nQ9\t1\n", "line 1: a column without a name"),
        ("id\tx\nQ9\n", "line 2: 1 cells where the header has 2"),
        ('id\tx\nQ9\t"a\n', "line 2: quotes that do not match"),
        ("id\tesm2_amp_row\nQ9\t1\n", "two columns are called 'esm2_amp_row'"),
    ],
)
def test_a_table_that_does_not_fit_is_refused_and_the_one_before_stays(vectors: Vectors, text: str, says: str) -> None:
    attached(vectors)
    with pytest.raises(InputError, match=says):
        attached(vectors, text, "bad.tsv")
    metadata = open_metadata(vectors)
    assert metadata is not None
    assert metadata.values("symbol", [0]) == ["HBA1"]
    with pytest.raises(InputError, match="no column 'key'. The columns are 'id', 'symbol'"):
        attached(vectors, column="key")


def test_metadata_of_other_vectors_are_refused(vectors: Vectors, tmp_path: Path) -> None:
    attached(vectors)
    other = write_vectors(tmp_path / "w", IDS, np.zeros((len(IDS), 2), np.float16))
    assert open_metadata(other) is None
    (vectors.folder / "metadata.parquet").rename(other.folder / "metadata.parquet")
    with pytest.raises(InputError, match="metadata are of other vectors"):
        open_metadata(other)
    (other.folder / "metadata.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputError, match="metadata cannot be read"):
        open_metadata(other)


def test_names_find_their_vectors_both_ways(vectors: Vectors) -> None:
    names = Aliases(vectors, attached(vectors))
    asked = ["0012", "P04637", "P53_HUMAN", "tp53", "TRP53", "beta-Globin", "CD113t-C", "HBA", "hba"]
    assert names.rows_of(asked).tolist() == [5, 2, 2, 2, 3, 1, 1, 0, 5]  # HBA and hba are two names
    assert names.names_of(1) == ["HBB", "beta-globin", "HBB1", "CD113t-C", "Hemoglobin, beta"]
    assert names.names_of(2)[:3] == ["P04637", "P53_HUMAN", "TP53"]
    assert names.names_of(4) == []
    assert names.complete("hb", 9) == ["HBA", "hba", "HBA1", "HBB", "HBB1"]
    with pytest.raises(InputError, match="'HBB1' is a name of 2 vectors: 'P69905', 'P68871'"):
        names.rows_of(["Q9", "HBB1"])
    with pytest.raises(InputError, match="'Hba' is a name of 2 vectors: 'P69905', '0012'"):
        names.rows_of(["Hba"])
    with pytest.raises(InputError, match="no vector has the id 'HBC'"):
        names.rows_of(["Q9", "HBC"])


def test_accessions_are_names_without_metadata(vectors: Vectors) -> None:
    names = Aliases(vectors, None)
    assert names.rows_of(["p04637", "p53_human", "Q10"]).tolist() == [2, 2, 4]


def test_gene_names_of_uniprot_are_several(vectors: Vectors) -> None:
    text = "Entry,Gene Names,Protein names\nP69905,HBA1 HBA2,Hemoglobin subunit alpha\nQ9,,\n"
    names = Aliases(vectors, attached(vectors, text, "u.csv"))
    assert names.rows_of(["HBA2", "hba1"]).tolist() == [0, 0]
    with pytest.raises(InputError, match="no vector has the id 'Hemoglobin subunit alpha'"):
        names.rows_of(["Hemoglobin subunit alpha"])


@pytest.mark.parametrize("template", TEMPLATES)
def test_known_links_hold_the_id(template: str) -> None:
    url = Link(template, ()).url("MGYP000160952468", lambda column: "")
    assert url is not None
    assert url.startswith("https://")
    assert "MGYP000160952468" in url


HOSTILE = ['"><script>', "javascript:alert(1)", "../../x", "a b&c#d?e", "{id}", "é\n", "//evil.org", "@evil.org"]


@pytest.mark.parametrize("id_", HOSTILE)
@pytest.mark.parametrize("template", [*TEMPLATES, "https://x.org/a?q={id}&s={symbol}#{id}"])
def test_no_id_leads_a_link_elsewhere(id_: str, template: str) -> None:
    link = Link(template, ("symbol",))
    url, plain = link.url(id_, lambda column: id_), link.url("A", lambda column: "A")
    assert url is not None
    assert plain is not None
    assert urlsplit(url)[:2] == urlsplit(plain)[:2]
    assert len(urlsplit(url).path.split("/")) == len(urlsplit(plain).path.split("/"))
    assert not set(url) & set("\"'<> \n{}")


def test_links_of_uniprot_ids_and_columns() -> None:
    assert Link("uniprot", ()).url("sp|P04637|P53_HUMAN", str) == "https://www.uniprot.org/uniprotkb/P04637/entry"
    link = Link("https://x.org/{symbol}", ("symbol",))
    assert link.url("A", {"symbol": "HLA-A*01"}.__getitem__) == "https://x.org/HLA-A%2A01"
    assert link.url("A", lambda column: "") is None


@pytest.mark.parametrize(
    "template",
    ["http://x.org/{id}", "javascript:{id}", "https://{id}/x", "https://{id}", "https://x.org/", "x", "https:///{id}",
     "https://x.org/{id}\" onclick=", "https://x.org/{", "https://x@{id}.org/", "https://x.org/{nope}", "https://x.org/{}"],
)  # fmt: skip
def test_other_links_are_refused(template: str) -> None:
    with pytest.raises(InputError, match="link"):
        Link(template, ("symbol",))
