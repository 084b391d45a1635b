"""The page of a screening: escaped, closed to the world, and what its script is told is what was scored."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from graph_world import HOSTILE, random_pairs, tables
from html_elements import Elements

from esm2_amp.screening.graph import Interactome, interactome
from esm2_amp.screening.graph_page import ReportWords, report_page
from esm2_amp.screening.graph_tables import WordTable, community_table, hub_table


def words(text: str) -> ReportWords:
    return ReportWords(
        text, text, text, "1:100", text, [(text, text)], [text], [text],
        [WordTable(text, [text, text], [[text, text]], text)], [(text, text)],
    )  # fmt: skip


def network_of(names: list[str]) -> Interactome:
    return interactome(*tables(names, [(i, i + 1) for i in range(len(names) - 1)] + [(0, 0)]), 0)


def data_of(page: str) -> dict[str, Any]:
    (text,) = re.findall(r'<script id="data" type="application/json">(.*?)</script>', page, re.DOTALL)
    found: dict[str, Any] = json.loads(text)
    return found


def test_hostile_words_add_no_element_and_no_attribute() -> None:
    def shape(page: str) -> list[tuple[str, set[str]]]:
        found = Elements(page)
        assert found.open == []
        return [(tag, set(held) - {"class"}) for tag, held in found.found]  # the class says words or numbers

    plain = shape(report_page(network_of([f"P{i}" for i in range(len(HOSTILE))]), words("P"), {}, "{}{}".format))
    network = network_of(list(HOSTILE))
    for text in HOSTILE:
        assert shape(report_page(network, words(text), {}, text.replace("{", "{{").replace("}", "}}").format)) == plain


def test_nothing_is_asked_of_anybody() -> None:
    page = Elements(report_page(network_of(["A", "B"]), words("P"), {}, None))
    assert not {"link", "img", "iframe", "object", "embed"} & {tag for tag, _ in page.found}
    held = [
        value or "" for _, attributes in page.found for name, value in attributes.items() if name in ("src", "href")
    ]
    assert held
    assert all(value.startswith("#") for value in held)


def test_the_script_is_told_every_pair_and_protein() -> None:
    names = [f"P{i:03d}" for i in range(120)]
    network = interactome(*tables(names, random_pairs(100, 150)), 0)
    data = data_of(report_page(network, words("P"), {}, None))
    assert sorted([*data["nodes"]["name"], *data["alone"]]) == names
    pairs = [(data["nodes"]["name"][a], data["nodes"]["name"][b]) for a, b in data["edges"]["ends"]]
    assert pairs == list(network.edges[["protein_a", "protein_b"]].itertuples(index=False, name=None))
    assert data["edges"]["logit"] == pytest.approx(network.edges["logit"].tolist(), abs=1e-4)
    assert set(data["edges"]["command"]["middle"]) == {None}


def test_explanations_are_found_in_either_order_and_commands_are_whole() -> None:
    network = network_of(["A", "B", "C"])
    pages = {("B", "A"): "pages/1.html"}
    data = data_of(report_page(network, words("P"), pages, lambda a, b: f"explain --first {a} --second {b} --end"))
    edges, names = data["edges"], data["nodes"]["name"]
    for (a, b), page, middle in zip(edges["ends"], edges["page"], edges["command"]["middle"], strict=True):
        if {names[a], names[b]} == {"A", "B"}:
            assert page == "pages/1.html"
        else:
            whole = edges["command"]["start"] + middle + edges["command"]["end"]
            assert (page, whole) == (None, f"explain --first {names[a]} --second {names[b]} --end")


def test_a_command_that_would_show_as_another_is_not_offered() -> None:
    network = interactome(*tables(["A", "B", "turn\u202eed"], [(0, 1), (1, 2)]), 0)
    edges = data_of(report_page(network, words("P"), {}, lambda a, b: f"explain '{a}' '{b}'"))["edges"]
    assert [middle is None for middle in edges["command"]["middle"]] == network.edges["protein_b"].ne("B").tolist()


@pytest.mark.parametrize("link", ["https://example.org", "../up.html", "/etc/passwd", "javascript:alert(1)"])
def test_a_link_that_leads_away_is_refused(link: str) -> None:
    with pytest.raises(ValueError, match="not a link"):
        report_page(network_of(["A", "B"]), words("P"), {("A", "B"): link}, None)


def test_tables_name_the_hubs_and_the_communities() -> None:
    names = [f"P{i:02d}" for i in range(40)]
    network = interactome(*tables(names, [(0, i) for i in range(1, 9)] + [(10, 11), (11, 12), (10, 12), (0, 0)]), 0)
    hubs = hub_table(network)
    assert [row[:2] for row in hubs.rows[:3]] == [("P00", "9"), ("P10", "2"), ("P11", "2")]
    assert len(hubs.rows) == len(network.drawn)
    assert [row[:3] for row in community_table(network).rows] == [["1", "9", "9"], ["2", "3", "3"]]


def test_a_screening_that_kept_nothing_has_a_page() -> None:
    network = interactome(*tables(["A", "B"], []), 0)
    page = report_page(network, words("P"), {}, None)
    assert "There is no pair to draw." in page
    assert Elements(page).open == []
    assert 'id="data"' not in page
