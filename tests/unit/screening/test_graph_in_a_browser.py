"""The page of a screening in Chromium, with 5,000 pairs: filter, search, selection, keys, links, phone and paper."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from graph_world import HOSTILE, random_pairs, tables
from headless_browser import DESKTOP, PHONE, Browser

from esm2_amp.neighbours.markdown import shown
from esm2_amp.screening.graph import Interactome, interactome
from esm2_amp.screening.graph_page import ReportWords, report_page
from esm2_amp.screening.graph_tables import WordTable

PAIRS, PROTEINS = 5000, 3000
FITS = "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
KEPT, SAID = (f"document.getElementById('{name}').textContent" for name in ("kept", "said"))
CHOSEN = "document.getElementById('chosen')"
HEADING = f"{CHOSEN}.hidden ? null : {CHOSEN}.querySelector('h3').textContent"
PARTNERS = f"[...{CHOSEN}.querySelectorAll('tbody th button')].map(b => b.textContent)"
WORDS = ReportWords(
    "A screening", "all against all", "5,000 pairs are the best.", "1:100", "1", [("3,000", "proteins")],
    ["Far from the training data."], ["A note."], [WordTable("Thresholds", ["at least", "pairs"], [["0.5", "10"]])],
    [("checkpoint", "runs/model")],
)  # fmt: skip


@pytest.fixture(scope="module")
def network() -> Interactome:
    names = [f"P{i:04d}" for i in range(PROTEINS)]
    return interactome(*tables(names, random_pairs(PROTEINS, PAIRS)), 0)


@pytest.fixture(scope="module")
def page(network: Interactome, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page beside one explanation, that of the best pair of the protein with most partners."""
    hub = hub_of(network)
    best = network.edges[(network.edges[["protein_a", "protein_b"]] == hub).any(axis=1)].iloc[0]
    pair = (best["protein_a"], best["protein_b"])
    text = report_page(network, WORDS, {pair: "why/1.html"}, lambda a, b: f"explain '{a}' '{b}' checkpoint=it")
    folder = tmp_path_factory.mktemp("page")
    (folder / "why").mkdir()
    (folder / "why" / "1.html").write_text("<title>why</title>")
    (folder / "report.html").write_text(text, encoding="utf-8")
    return folder / "report.html"


def hub_of(network: Interactome) -> str:
    return str(network.nodes["id"][network.nodes["degree"].idxmax()])


def partners(network: Interactome, name: str, count: int = PAIRS) -> list[str]:
    """Partners within the best ``count`` pairs, best first."""
    best = network.edges.iloc[:count]
    return [b if a == name else a for a, b in zip(best["protein_a"], best["protein_b"], strict=True) if name in (a, b)]


def search(chromium: Browser, text: str) -> None:
    chromium.value("document.getElementById('find').focus(); document.getElementById('find').select()")
    chromium.call("Input.insertText", text=text)
    chromium.press("Enter")


def middle(chromium: Browser) -> tuple[float, float]:
    """The middle of the canvas in the window."""
    chromium.value("document.getElementById('canvas').scrollIntoView({block: 'center'})")
    box = "document.getElementById('canvas').getBoundingClientRect()"
    x, y = chromium.value(f"(b => [b.x + b.width / 2, b.y + b.height / 2])({box})")
    return x, y


def test_the_page_is_small_and_opens_without_complaint(chromium: Browser, page: Path) -> None:
    assert page.stat().st_size < 2_000_000
    for size in (DESKTOP, PHONE):
        for dark in (False, True):
            chromium.open(page, size, dark=dark)
            assert chromium.value(FITS)
            assert chromium.value("getComputedStyle(document.querySelector('svg.static')).display") == "none"
            assert chromium.complaints == []
            assert chromium.requests == [page.as_uri()]


def test_the_picture_is_drawn_in_the_colours_of_the_scheme(chromium: Browser, page: Path) -> None:
    ink = (
        "(p => { const d = p.getImageData(0, 0, p.canvas.width, p.canvas.height).data; const seen = new Set();"
        "for (let i = 0; i < d.length; i += 4) if (d[i + 3] === 255) seen.add(d[i] << 16 | d[i + 1] << 8 | d[i + 2]);"
        "return [...seen] })(document.getElementById('canvas').getContext('2d'))"
    )
    for dark, first in ((False, 0x1F5FBF), (True, 0x6EA8FF)):
        chromium.open(page, DESKTOP, dark=dark)
        wait_for_frame(chromium)
        assert first in chromium.value(ink)


def wait_for_frame(chromium: Browser) -> None:
    script = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(1))))"
    chromium.call("Runtime.evaluate", expression=script, awaitPromise=True)


@pytest.mark.parametrize("step", [0, 300, 620, 1000])
def test_the_slider_leaves_the_pairs_above_a_score(
    chromium: Browser, page: Path, network: Interactome, step: int
) -> None:
    chromium.open(page, DESKTOP)
    chromium.value(
        f"(s => {{ s.value = {step}; s.dispatchEvent(new Event('input')) }})(document.getElementById('score'))"
    )
    logit = np.round(network.edges["logit"].to_numpy(np.float64), 4)
    count = int((logit >= logit.min() + np.ptp(logit) * step / 1000 - 1e-9).sum())
    expected = 100 * network.edges["probability_at_prevalence"].iloc[:count].mean()
    said = chromium.value(KEPT)
    assert said.startswith(f"{count:,} of {PAIRS:,} pairs have a probability of at least ")
    assert float(re.findall(r"([\d.]+) % of them", said)[0]) == pytest.approx(expected, abs=0.06)
    assert said.endswith("prevalence of 1:100.")
    hub = hub_of(network)
    search(chromium, hub)
    assert chromium.value(PARTNERS) == partners(network, hub, count)


def test_the_slider_moves_by_keyboard(chromium: Browser, page: Path) -> None:
    chromium.open(page, DESKTOP)
    chromium.value("document.getElementById('score').focus()")
    chromium.press("End")
    assert chromium.value(KEPT).startswith(f"1 of {PAIRS:,} pairs")
    chromium.press("Home")
    assert chromium.value(KEPT).startswith(f"{PAIRS:,} of {PAIRS:,} pairs")


def test_a_search_selects_and_says_what_is_not_there(chromium: Browser, page: Path, network: Interactome) -> None:
    chromium.open(page, PHONE)
    alone = network.nodes["id"][network.nodes["degree"] == 0].iloc[0]
    name = hub_of(network)
    search(chromium, name.lower())
    assert chromium.value(HEADING) == name
    assert chromium.value(PARTNERS) == partners(network, name)
    search(chromium, "<b>nobody")
    assert chromium.value(HEADING) is None
    assert chromium.value(SAID) == "No protein is called “<b>nobody”."
    search(chromium, alone)
    assert chromium.value(HEADING) is None
    assert chromium.value(SAID) == f"{alone} was screened, but none of its pairs is among these."


def test_an_address_can_name_a_protein(chromium: Browser, page: Path, network: Interactome) -> None:
    name = hub_of(network)
    chromium.open(page.parent / "why" / "1.html", DESKTOP)
    chromium.open(page, DESKTOP, fragment=f"#{name}")
    assert chromium.value(HEADING) == name


def test_a_protein_is_selected_by_a_click_and_another_by_its_partner(
    chromium: Browser, page: Path, network: Interactome
) -> None:
    chromium.open(page, DESKTOP)
    name = hub_of(network)
    search(chromium, name)  # it is in the middle now
    x, y = middle(chromium)
    chromium.press("Escape")
    assert chromium.value(HEADING) is None
    chromium.drag((x, y), (x + 30, y + 20), (x + 120, y + 80))
    assert chromium.value(HEADING) is None  # a drag selects nothing
    x, y = middle(chromium)  # wider again without the list
    chromium.click(x + 120, y + 80)
    assert chromium.value(HEADING) == name
    chromium.value(f"{CHOSEN}.querySelectorAll('tbody th button')[2].focus()")
    chromium.press("Enter")
    other = partners(network, name)[2]
    assert chromium.value(HEADING) == other
    assert chromium.value(PARTNERS) == partners(network, other)
    assert chromium.value("document.activeElement.tagName") == "H3"


def test_the_network_is_explored_by_keyboard(chromium: Browser, page: Path, network: Interactome) -> None:
    chromium.open(page, DESKTOP)
    name = partners(network, hub_of(network))[0]
    search(chromium, name)
    chromium.value("document.getElementById('canvas').focus()")
    chromium.press("Escape")
    chromium.press("Enter")
    assert chromium.value(HEADING) == name  # it is nearest to the middle
    for _ in range(4):
        chromium.press("ArrowRight")
    chromium.press("Enter")
    assert chromium.value(HEADING) != name
    for _ in range(4):
        chromium.press("ArrowLeft")
    chromium.press("Enter")
    assert chromium.value(HEADING) == name


def test_the_wheel_keeps_what_is_under_the_pointer(chromium: Browser, page: Path, network: Interactome) -> None:
    chromium.open(page, DESKTOP)
    name = hub_of(network)
    search(chromium, name)
    x, y = middle(chromium)
    for by in (-100, -100, 100, -100):
        chromium.wheel(x, y, by)
    wait_for_frame(chromium)
    chromium.press("Escape")
    x, y = middle(chromium)
    chromium.click(x, y)
    assert chromium.value(HEADING) == name


def test_an_explanation_is_a_link_that_resolves_or_a_command(
    chromium: Browser, page: Path, network: Interactome
) -> None:
    chromium.open(page, DESKTOP)
    name = hub_of(network)
    search(chromium, name)
    links = chromium.value(f"[...{CHOSEN}.querySelectorAll('a')].map(a => a.href)")
    assert links == [(page.parent / "why" / "1.html").as_uri()]
    buttons = f"{CHOSEN}.querySelectorAll('td button')"
    chromium.value(f"{buttons}[3].focus()")
    chromium.press("Enter")
    other = partners(network, name)[4]
    row = network.edges[network.edges[["protein_a", "protein_b"]].isin([name, other]).all(axis=1)]
    row = row[row["protein_a"] != row["protein_b"]].iloc[0]
    command = f"explain '{row['protein_a']}' '{row['protein_b']}' checkpoint=it"
    assert chromium.value(f"{CHOSEN}.querySelector('code').textContent") == command
    chromium.press("Enter")
    assert chromium.value(f"{CHOSEN}.querySelector('code')") is None


def test_numbers_of_a_partner_are_its_own(chromium: Browser, page: Path, network: Interactome) -> None:
    chromium.open(page, DESKTOP)
    name = hub_of(network)
    search(chromium, name)
    best = network.edges[(network.edges[["protein_a", "protein_b"]] == name).any(axis=1)]
    rows = chromium.value(
        f"[...{CHOSEN}.querySelectorAll('tbody tr')].map(r => [...r.cells].slice(2).map(c => c.textContent))"
    )
    for cells, (_, edge) in zip(rows, best.iterrows(), strict=True):
        here, there = ("a", "b") if edge["protein_a"] == name else ("b", "a")
        assert float(cells[0]) == pytest.approx(edge["probability"], abs=6e-5)
        assert float(cells[1]) == pytest.approx(edge["probability_at_prevalence"], abs=6e-5)
        shares = [float(cell.removesuffix(" %")) / 100 for cell in cells[2:]]
        assert shares == pytest.approx([edge[f"percentile_{here}"], edge[f"percentile_{there}"]], abs=6e-4)


def test_colours_have_their_legend(chromium: Browser, page: Path) -> None:
    chromium.open(page, DESKTOP)
    visible = "[...document.querySelectorAll('.legend')].filter(l => l.getClientRects().length)"
    legend = f"{visible}.map(l => l.textContent.trim())"
    assert "community 1" in chromium.value(legend)[0]
    chromium.value("(s => { s.value = '2'; s.dispatchEvent(new Event('change')) })(document.getElementById('colour'))")
    (held,) = chromium.value(legend)
    assert held.split() == ["in", "the", "training", "data", "not", "in", "the", "training", "data"]


def test_on_paper_and_without_scripts_there_is_a_picture(chromium: Browser, page: Path, tmp_path: Path) -> None:
    drawn = "document.querySelector('svg.static').getBoundingClientRect().width > 300"
    hidden = "[...document.querySelectorAll('canvas, .controls, .zoom')].every(e => !e.getClientRects().length)"
    chromium.open(page, PHONE, scripts=False)
    assert chromium.value(drawn)
    assert chromium.value(hidden)
    assert chromium.value(FITS)
    chromium.open(page, (680, 960), dark=True)
    chromium.media("print", dark=True)
    assert chromium.value(drawn)
    assert chromium.value(hidden)
    assert chromium.value("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    chromium.paper(tmp_path / "page.pdf")
    printed = (tmp_path / "page.pdf").read_bytes()
    assert 2 <= len(re.findall(rb"/Type\s*/Page\b", printed)) <= 9
    assert chromium.complaints == []


def test_hostile_names_do_nothing_but_can_be_found(chromium: Browser, tmp_path: Path) -> None:
    pairs = [(i, i + 1) for i in range(len(HOSTILE) - 1)]
    network = interactome(*tables(HOSTILE, pairs), 0)
    file = tmp_path / "report.html"
    words = replace(
        WORDS, title=HOSTILE[0], lead=HOSTILE[1], tables=[WordTable(HOSTILE[0], HOSTILE[:2], [HOSTILE[1:3]])]
    )
    file.write_text(report_page(network, words, {}, lambda a, b: f"{a} {b}"), encoding="utf-8")
    chromium.open(file, PHONE)
    title = chromium.value("document.title")
    for name in HOSTILE[:9]:
        search(chromium, name)
        assert chromium.value(HEADING) == name
        assert chromium.value(PARTNERS) == [shown(partner) for partner in partners(network, name)]
        chromium.value(f"{CHOSEN}.querySelectorAll('td button').forEach(b => b.click())")
    assert chromium.value(FITS)
    assert chromium.value("document.title") == title
    assert chromium.value("document.querySelectorAll('script').length") == 2
    assert chromium.value("document.querySelectorAll('img').length") == 0
    assert chromium.complaints == []
    assert chromium.requests == [file.as_uri()]
