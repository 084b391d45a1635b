"""The pages in Chromium: light and dark, wide and narrow, by keyboard, by pointer, on paper and without scripts."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from explained_examples import HOSTILE, explained_pair, explained_set, hostile
from headless_browser import DESKTOP, PHONE, Browser

from esm2_amp.explain.page import render_set
from esm2_amp.explain.page_pair import render_pair
from esm2_amp.layout import ALL_TOKENS, MEAN

SIZES = {"desktop": DESKTOP, "phone": PHONE}
FITS = "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
SHOWN = "[...document.querySelectorAll('.map')].filter(m => m.getBoundingClientRect().height).map(m => m.id)"
MAP_SAID = "document.querySelector('.maps .said').textContent"
TRACK_SAID = "document.querySelector('.cells .said').textContent"
FOCUSED = "(document.activeElement.querySelector('title') || document.activeElement).textContent"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a set, that of a pair, and the same with hostile words, other layouts and nothing known."""
    folder = tmp_path_factory.mktemp("pages")
    explained, pair = explained_set(), explained_pair()
    pages = {"set": render_set(explained, "figures"), "pair": render_pair(explained, pair, "set.html", "0001")}
    for number, text in enumerate(HOSTILE):
        explained, pair = hostile(text)
        pages |= {f"hostile{number}": render_set(explained, None) + render_pair(explained, pair, None, None)}
        pages |= {f"hostile{number}-set": render_set(explained, None)}
        pages |= {f"hostile{number}-pair": render_pair(explained, pair, None, None)}
    for name, layout, lengths in (("all", ALL_TOKENS, (7, 2500)), ("mean", MEAN, (90, 80))):
        found = explained_set(layout)
        pages |= {f"{name}-set": render_set(found, None)}
        pages |= {f"{name}-pair": render_pair(found, explained_pair(layout, lengths), None, None)}
    for name, text in pages.items():
        (folder / f"{name}.html").write_text(text, encoding="utf-8")
    return folder


@pytest.mark.parametrize("page", ["set", "pair", "all-set", "all-pair", "mean-set", "mean-pair"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_a_page_shows_without_complaint(chromium: Browser, folder: Path, page: str, size: str, dark: bool) -> None:
    chromium.open(folder / f"{page}.html", SIZES[size], dark=dark)
    assert chromium.value(FITS)
    brightness = sum(map(int, re.findall(r"\d+", chromium.value("getComputedStyle(document.body).backgroundColor"))))
    assert (brightness < 100) == dark
    assert chromium.value(
        "[...document.querySelectorAll('svg')].every(s => s.closest('.map') || s.getBoundingClientRect().width > 2)"
    )
    assert chromium.complaints == []
    assert chromium.requests == [(folder / f"{page}.html").as_uri()]


@pytest.mark.parametrize("number", range(len(HOSTILE)))
@pytest.mark.parametrize("page", ["set", "pair"])
def test_hostile_words_do_nothing(chromium: Browser, folder: Path, page: str, number: int) -> None:
    chromium.open(folder / f"hostile{number}-{page}.html", PHONE)
    assert chromium.value(FITS)
    assert chromium.value("document.querySelectorAll('script').length") == 2
    assert chromium.value("document.querySelectorAll('img, iframe, object, embed, [onload], [onerror]').length") == 0
    assert chromium.value("document.body.lastElementChild.tagName") == "SCRIPT"
    assert chromium.value("document.querySelectorAll('bdi').length") >= 4
    assert chromium.complaints == []
    assert chromium.requests == [(folder / f"hostile{number}-{page}.html").as_uri()]


def test_the_browser_of_these_tests_sees_what_goes_wrong(chromium: Browser, tmp_path: Path) -> None:
    bad = tmp_path / "bad.html"
    bad.write_text(
        "<p style='width:3000px'><img src='nowhere.png'><script>alert(1); console.log(2); nothing()</script>"
    )
    chromium.open(bad, PHONE)
    assert not chromium.value(FITS)
    assert {complaint.split(":")[0] for complaint in chromium.complaints} >= {"dialog", "console", "exception"}
    assert any(request.endswith("nowhere.png") for request in chromium.requests)
    page = render_set(explained_set(), None).replace("<main>", "<main><script>document.title = 'run'</script>")
    bad.write_text(page)
    chromium.open(bad, PHONE)
    assert chromium.value("document.title") != "run"  # the policy of the page holds even if a script gets in
    assert any("Content Security Policy" in complaint for complaint in chromium.complaints)


def press(chromium: Browser, *keys: str) -> None:
    for key in keys:
        chromium.press(key)


def reach(chromium: Browser, selector: str) -> None:
    """Press Tab until the focus is on the element."""
    for _ in range(60):
        chromium.press("Tab")
        if chromium.value(f"document.activeElement.matches({selector!r})"):
            return
    raise AssertionError(f"Tab does not lead to {selector}")


@pytest.mark.parametrize("page", ["set", "pair"])
def test_layers_of_the_attention_map_are_chosen_by_keyboard(chromium: Browser, folder: Path, page: str) -> None:
    chromium.open(folder / f"{page}.html", DESKTOP)
    assert chromium.value(SHOWN) == ["map-0"]
    reach(chromium, "input[type=radio]")
    press(chromium, "ArrowRight", "ArrowRight")
    assert chromium.value(SHOWN) == ["map-2"]
    press(chromium, "Tab", "ArrowDown", "ArrowRight", "ArrowRight")
    explained, pair = explained_set(), explained_pair()
    maps: Any = explained.attention if page == "set" else pair.attention
    words = ("A segment1", "A segment2")
    if page == "pair":
        words = ("A segment1 (residues 36–70)", "A segment2 (residues 71–104)")
    assert chromium.value(MAP_SAID) == (
        f"Layer 2: {words[0]} gives {100 * round(maps[1, 1, 2], 4):.1f} % of its attention to {words[1]}."
    )


def test_a_cell_of_the_map_is_named_under_the_pointer(chromium: Browser, folder: Path) -> None:
    chromium.open(folder / "set.html", PHONE)
    find = "document.querySelector('.map .ground')"
    chromium.value(f"{find}.scrollIntoView({{block: 'center'}})")
    box = chromium.value(f"(b => [b.x, b.y, b.width])({find}.getBoundingClientRect())")
    for row, column, words in ((0, 0, ("A segment0", "A segment0")), (9, 10, ("A segment9", "B segment0")),
                               (19, 19, ("B segment9", "B segment9"))):  # fmt: skip
        place = [(k + 0.5 + (0.4 if k > 9 else 0)) / 20.4 * box[2] for k in (column, row)]
        chromium.point(box[0] + place[0], box[1] + place[1])
        said = chromium.value(MAP_SAID)
        assert said.startswith(f"Mean over 6 layers: {words[0]} gives ")
        assert said.endswith(f" to {words[1]}.")


def test_segments_are_read_by_keyboard(chromium: Browser, folder: Path) -> None:
    chromium.open(folder / "pair.html", DESKTOP)
    reach(chromium, ".cell")
    assert chromium.value(FOCUSED).startswith("domain 95–140")
    press(chromium, "ArrowDown", "ArrowDown", "ArrowRight", "ArrowRight", "ArrowRight")
    said = chromium.value(TRACK_SAID)
    assert said == chromium.value(FOCUSED)
    assert said.startswith("A segment3, residues 105–138. Integrated gradients: +0.")
    assert "speaks for interaction, among its highest two" in said
    press(chromium, "ArrowLeft", "ArrowUp")
    assert chromium.value(TRACK_SAID).startswith("A segment2, residues 71–104. Occlusion")
    press(chromium, *["ArrowLeft"] * 5)
    assert chromium.value(TRACK_SAID).startswith("A segment0")
    assert chromium.value("document.querySelectorAll('.cells [tabindex=\"0\"]').length") == 1


def test_a_segment_is_named_under_the_pointer(chromium: Browser, folder: Path) -> None:
    chromium.open(folder / "pair.html", PHONE)
    chromium.value("document.querySelectorAll('svg.track')[8].scrollIntoView({block: 'center'})")
    x, y, width = chromium.value(
        "(b => [b.x, b.y, b.width])(document.querySelectorAll('svg.track')[8].getBoundingClientRect())"
    )
    chromium.point(x + 0.65 * width, y + 12)
    assert chromium.value(TRACK_SAID).startswith("B segment6, residues 109–126. Occlusion: +0.")


ROWS = "[...document.querySelectorAll('table.pairs tbody tr')].filter(r => !r.hidden)"


def test_the_table_of_pairs_sorts_and_filters(chromium: Browser, folder: Path) -> None:
    chromium.open(folder / "set.html", DESKTOP)
    numbers = f"{ROWS}.map(r => Number(r.cells[2].textContent))"
    given = chromium.value(numbers)
    chromium.value("document.querySelectorAll('table.pairs th button')[2].focus()")
    press(chromium, "Enter")
    assert chromium.value(numbers) == sorted(given)
    assert chromium.value("document.querySelectorAll('table.pairs th')[2].ariaSort") == "ascending"
    press(chromium, "Enter")
    assert chromium.value(numbers) == sorted(given, reverse=True)
    chromium.value(
        "(i => {i.value = ' fp '; i.dispatchEvent(new Event('input'))})(document.querySelector('.filter input'))"
    )
    assert set(chromium.value(f"{ROWS}.map(r => r.cells[4].textContent)")) == {"FP"}
    assert chromium.value("document.querySelector('.filter output').textContent") == "15 of 60 pairs"


@pytest.mark.parametrize("page", ["set", "pair"])
def test_a_page_makes_sense_without_scripts(chromium: Browser, folder: Path, page: str) -> None:
    chromium.open(folder / f"{page}.html", PHONE, scripts=False)
    assert chromium.value(FITS)
    assert chromium.value(SHOWN) == ["map-0"]
    reach(chromium, "input[type=radio]")
    press(chromium, "ArrowRight")
    assert chromium.value(SHOWN) == ["map-1"]
    assert chromium.value("[...document.querySelectorAll('.filter, .said')].every(e => !e.textContent || e.hidden)")
    assert chromium.value("document.querySelectorAll('.cell title').length") > 100
    assert chromium.complaints == []


@pytest.mark.parametrize("page", ["set", "pair"])
def test_on_paper_every_layer_is_shown_and_no_button(
    chromium: Browser, folder: Path, page: str, tmp_path: Path
) -> None:
    chromium.open(folder / f"{page}.html", (680, 960), dark=True)
    chromium.media("print", dark=True)
    assert len(chromium.value(SHOWN)) == 7
    hidden = ".said, .layers, .filter, .back, nav"
    assert chromium.value(f"[...document.querySelectorAll({hidden!r})].every(e => !e.getClientRects().length)")
    assert chromium.value("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert chromium.value(FITS)
    chromium.paper(tmp_path / "page.pdf")
    printed = (tmp_path / "page.pdf").read_bytes()
    assert printed.startswith(b"%PDF")
    assert 2 <= len(re.findall(rb"/Type\s*/Page\b", printed)) <= 9
