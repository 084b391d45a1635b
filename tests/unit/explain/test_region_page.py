"""The page of region coverage: escaped, self-contained, its numbers those of the comparison."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from esm2_amp.explain.ranked_pairs import HIT_LEVELS
from esm2_amp.explain.region_comparison import COMPARED, CONTRASTS, Compared
from esm2_amp.explain.region_measures import MEASURES
from esm2_amp.explain.region_page import RegionPage, lead_sentence, render

HOSTILE = '<script>alert("x")</script> & \'"><img src=x onerror=y> $\\frac{1}{2}$ {{ 7*7 }}'


def rows(outcome: str, column: str, difference: float = 4.0, empty: bool = False) -> list[Compared]:
    values = (54.0, 46.0, 54.0 - difference, difference, -4.0, 8.0)
    found = []
    for measure in MEASURES:
        for compared, value in zip(COMPARED, values, strict=True):
            contrast = compared in CONTRASTS
            more = (0.25, 1.1, 0.002) if contrast and not empty else (None, None, None)
            interval = None if empty else (value - 3.0, value + 3.0)
            found.append(Compared(outcome, column, measure, compared, None if empty else value, interval, *more, 7, 9))
    return found


def page(*compared: Compared) -> RegionPage:
    return RegionPage("7 pairs", compared, 3, 0.95, 99, ["81 proteins"], [("segments", "s.tsv")], "1.2.3")


class Tags(HTMLParser):
    """Every element, every attribute, and all text outside the style sheet."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data if not self.tags or self.tags[-1] != "style" else ""


def test_hostile_names_stay_text() -> None:
    numbers = [*rows(HOSTILE, "any"), *rows(HOSTILE, HOSTILE), *rows(HOSTILE, "x" * 5000)]
    hostile = replace(page(*numbers), subtitle=HOSTILE, notes=[HOSTILE], provenance=[(HOSTILE, HOSTILE)])
    found = Tags(render(hostile))
    assert {"script", "img"} & set(found.tags) == set()
    assert [name for name, _ in found.attributes if name.startswith("on")] == []
    assert found.text.count(HOSTILE) > 5


def test_the_page_is_one_file_without_script_or_request() -> None:
    text = render(page(*rows("1-1", "any"), *rows("0-0", "any"), *rows("all", "any")))
    found = Tags(text)
    addresses = [value for name, value in found.attributes if name in ("src", "href", "data", "action")]
    assert [value for value in addresses if not str(value).startswith("#")] == []
    assert "script" not in found.tags
    assert re.findall(r"url\((?!#)", text) == []
    assert "@import" not in text
    assert len(text) < 200_000
    for words in (
        "true positives",
        "true negatives",
        "What this does not prove",
        "prefers-color-scheme",
        "@media print",
    ):
        assert words in text


def test_the_numbers_are_those_given() -> None:
    found = Tags(render(page(*rows("1-1", "any"), *rows("1-1", "Domain", difference=-0.01))))
    for words in (
        "54.0 % of the top-ranked",
        "difference of +4.0 points (+1.0 to +7.0), p = 0.002",
        "p 0.002, d +0.25",
    ):
        assert words in found.text
    assert "-0.0" not in found.text
    assert all(f"pairs hit at {level} %" in found.text for level in HIT_LEVELS)


@pytest.mark.parametrize(("difference", "unclear"), [(4.0, False), (2.0, True), (-2.0, True), (-4.0, False)])
def test_a_difference_within_its_interval_is_none(difference: float, unclear: bool) -> None:
    numbers = {row[1:4]: row for row in rows("1-1", "any", difference)}
    assert ("no difference is shown" in lead_sentence(numbers)) == unclear


def test_what_is_undefined_is_a_dash() -> None:
    text = render(page(*rows("1-1", "any", empty=True)))
    assert "nan" not in Tags(text).text.lower()
    assert "No pair has top-ranked segments" in text


def test_many_kinds_are_all_in_the_table() -> None:
    kinds = [f"kind {i}" for i in range(40)]
    found = Tags(render(page(*rows("1-1", "any"), *(row for kind in kinds for row in rows("1-1", kind)))))
    assert [kind for kind in kinds if found.text.count(kind) < 4] == []
    assert "21 more kinds" in found.text
