"""Markdown: what a reader of it shows is the text that went in, and nothing else."""

from __future__ import annotations

import html
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esm2_amp.neighbours.markdown import Cell, escaped, linked, shown, table

HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "[click](javascript:alert(1))",
    "![x](https://evil.example/x.png)",
    "a|b|c",
    "`code`",
    "**bold** _under_ ~~struck~~",
    "line\nanother\r\nthird",
    "\u202ereversed",
    "https://evil.example and www.evil.example",
    "&lt;b&gt;",
    "$x^2$",
    "\\",
]


def read_back(markdown: str) -> str:
    """The text that is shown: references and backslashes resolved as CommonMark says."""
    return html.unescape(re.sub(r"\\([*_\[\]])", r"\1", markdown))


@given(st.text(max_size=30) | st.sampled_from(HOSTILE))
def test_the_text_shown_is_the_text_given(text: str) -> None:
    assert read_back(escaped(text)) == shown(text)


@given(st.text(max_size=30) | st.sampled_from(HOSTILE))
def test_nothing_in_a_name_is_markup(text: str) -> None:
    left = re.sub(r"&#\d+;|\\[*_\[\]]", "", escaped(text))
    assert not set(left) & set("<>\"'|`~$\\*_[]^&\n\r")
    assert not re.search(r"(?i)[a-z]://|www\.", escaped(text))


@pytest.mark.parametrize("name", HOSTILE)
def test_a_table_keeps_its_cells_and_lines(name: str) -> None:
    lines = table(["a", name], [[Cell(name, "https://example.org/" + name), Cell(name)]]).splitlines()
    assert [line.count("|") for line in lines] == [3, 3, 3]


@pytest.mark.parametrize("url", ["javascript:alert(1)", "http://x.example", "data:text/html,x", "//x.example", ""])
def test_only_https_addresses_become_links(url: str) -> None:
    assert linked(Cell("name", url)) == "name"


def test_an_address_cannot_end_its_link() -> None:
    assert linked(Cell("P1", "https://x.example/a b)>(<|`\n")) == "[P1](<https://x.example/a%20b%29%3E%28%3C%7C%60%0A>)"
