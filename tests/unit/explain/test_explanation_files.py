"""Figures for a paper and tables beside the pages: whole, repeatable, and all that a page names."""

from __future__ import annotations

import csv
import re
import struct
import warnings
from pathlib import Path

import numpy as np
import pytest
from explained_examples import HOSTILE, attention_maps, explained_pair, explained_set, faithfulness, hostile

from esm2_amp.explain.page import render_set
from esm2_amp.explain.page_pair import render_pair
from esm2_amp.explain.paper_figures import write_set_figures
from esm2_amp.explain.paper_pair import write_pair_figures
from esm2_amp.explain.tables import write_pair_tables, write_set_tables
from esm2_amp.layout import ALL_TOKENS, MEAN, SEGMENTS, TokenLayout

METHODS = ("ig", "attention")


def rows(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream, delimiter="\t"))


def test_every_file_that_a_page_names_is_written(tmp_path: Path) -> None:
    maps = attention_maps(1, 20, (3, 16), np.random.default_rng(0))
    few = [row._replace(measures={"hit@2": row.measures["hit@2"]}) for row in faithfulness(METHODS)]
    explained = explained_set(methods=METHODS, pairs=[], attention=maps, faithfulness=few)
    pair = explained_pair(methods=METHODS, attention=maps)
    write_set_figures(explained, tmp_path / "figures")
    write_set_tables(explained, tmp_path / "figures")
    write_pair_figures(explained, pair, tmp_path / "pairs" / "0001")
    write_pair_tables(explained, pair, tmp_path / "pairs" / "0001")
    (tmp_path / "report.html").write_text(render_set(explained, "figures"))
    (tmp_path / "pairs" / "0001.html").write_text(render_pair(explained, pair, "../report.html", "0001"))
    for page in (tmp_path / "report.html", tmp_path / "pairs" / "0001.html"):
        links = re.findall(r'href="([^"#]+)"', page.read_text())
        assert len(links) > 5
        assert [link for link in links if not (page.parent / link).is_file()] == []
    for picture in tmp_path.rglob("*.png"):
        assert picture.with_suffix(".pdf").read_bytes().startswith(b"%PDF")
        assert picture.with_suffix(".tsv").is_file() or picture.stem == "chains"
    assert not [path for path in tmp_path.rglob("*") if path.name.startswith(".")]


def test_the_same_numbers_give_the_same_bytes(tmp_path: Path) -> None:
    explained = explained_set(MEAN, ("ig",), attention=None, faithfulness=[])
    pair = explained_pair(MEAN, methods=METHODS, attention=None)
    for folder in (tmp_path / "one", tmp_path / "two"):
        write_set_figures(explained, folder)
        write_pair_figures(explained, pair, folder)
    names = sorted(file.name for file in (tmp_path / "one").iterdir())
    assert names == [f"{name}.{kind}" for name in ("blocks", "chains", "profile") for kind in ("pdf", "png")]
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name


def test_a_picture_has_150_dots_an_inch(tmp_path: Path) -> None:
    write_pair_figures(explained_set(), explained_pair(methods=("ig",), attention=None), tmp_path)
    picture = (tmp_path / "chains.png").read_bytes()
    width, _ = struct.unpack(">II", picture[16:24])
    assert width == round(7.2 * 150)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["chains.pdf", "chains.png"]


@pytest.mark.parametrize("layout", [SEGMENTS, MEAN, ALL_TOKENS], ids=len)
@pytest.mark.parametrize("lengths", [(7, 1200), (1, 1)], ids=str)
def test_short_proteins_are_drawn(tmp_path: Path, layout: TokenLayout, lengths: tuple[int, int]) -> None:
    pair = explained_pair(layout, lengths, ("ig",), attention=None, truth=None, label=None)
    pair.values["ig"][0] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        write_pair_figures(explained_set(layout, ("ig",)), pair, tmp_path)
    assert (tmp_path / "chains.png").stat().st_size > 3000


@pytest.mark.parametrize("number", [0, 4, 6])
def test_hostile_names_are_drawn_without_complaint(tmp_path: Path, number: int) -> None:
    explained, pair = hostile(HOSTILE[number])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        write_pair_figures(explained, pair, tmp_path)
    assert (tmp_path / "chains.pdf").is_file()


@pytest.mark.parametrize("text", [*HOSTILE, "tab\there", 'quote"d'], ids=range(len(HOSTILE) + 2))
def test_tables_hold_names_in_full(tmp_path: Path, text: str) -> None:
    explained, pair = hostile(text)
    write_set_tables(explained, tmp_path / "set")
    write_pair_tables(explained, pair, tmp_path / "pair")
    assert [row["protein_a"] for row in rows(tmp_path / "set" / "pairs.tsv")] == [text, text]
    assert [row["label"] for row in rows(tmp_path / "set" / "pairs.tsv")] == ["", "1"]
    assert {row["protein"] for row in rows(tmp_path / "pair" / "values.tsv")} == {text}
    assert [row["note"] for row in rows(tmp_path / "pair" / "regions.tsv")] == [text, text]
    assert [row["protein_b"] for row in rows(tmp_path / "pair" / "evidence.tsv")] == [text]


def test_tables_give_back_the_numbers(tmp_path: Path) -> None:
    explained, pair = explained_set(ALL_TOKENS), explained_pair(ALL_TOKENS, (7, 90))
    pair.values["ig"][2] = np.nan
    write_set_tables(explained, tmp_path / "set")
    write_pair_tables(explained, pair, tmp_path / "pair")
    found = rows(tmp_path / "pair" / "values.tsv")
    assert [row["token"] for row in found] == list(ALL_TOKENS.pair_names)
    for method, values in pair.values.items():
        read = [float(row[method] or "nan") for row in found]
        assert read == pytest.approx(values, rel=1e-8, nan_ok=True)
    spans = [(row["first_residue"], row["last_residue"]) for row in found]
    assert spans[0] == ("", "")  # cls
    assert spans[1:8] == [(str(n), str(n)) for n in range(1, 8)]
    assert spans[8:11] == [("", "")] * 3  # segments without a residue
    assert spans[14:16] == [("1", "9"), ("10", "18")]
    maps = rows(tmp_path / "pair" / "attention.tsv")
    read = [[float(row[name]) for name in ALL_TOKENS.pair_names] for row in maps]
    assert pair.attention is not None
    assert np.array(read).reshape(6, 26, 26) == pytest.approx(pair.attention, rel=1e-8)
    table = rows(tmp_path / "set" / "faithfulness.tsv")
    for row in explained.faithfulness:
        for name, mean in row.measures.items():
            (one,) = [r for r in table if (r["method"], r["kind"], r["measure"]) == (row.method, row.kind, name)]
            assert [float(one[k]) for k in ("mean", "low", "high")] == pytest.approx(mean)
