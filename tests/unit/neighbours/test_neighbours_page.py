"""The page: hostile names are text, it asks nobody for anything, and its script works in a browser."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest

from esm2_amp.neighbours.map import lay_out
from esm2_amp.neighbours.page import Chart, Page, PageCell, PageRow, Point, render

HOSTILE = (
    "</script><script>document.title='owned'</script>\"'><img src=x onerror=\"document.title='owned'\">\u202e{{7*7}}"
)
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def page(names: list[str]) -> str:
    rng = np.random.default_rng(0)
    points = [
        Point(name, f"about {name}", f"https://example.org/{quote(name, safe='')}", kind, name)
        for name, kind in zip(names, ["query", "hit", *["dust"] * len(names)], strict=False)
    ]
    chart = Chart(points, lay_out(rng.normal(size=(len(names), 5)).astype(np.float32), "pca", 0), [(0, 1, "hit")])
    cells = [PageCell(name, name, f"https://example.org/{quote(name, safe='')}", i) for i, name in enumerate(names[:2])]
    provenance = [("vectors", names[0])]
    return render(
        Page(
            names[0], names[1], provenance, "1", ["query", "hit", "score"], [PageRow(cells, "0.9")], 0, chart, (), names
        )
    )


class Tags(HTMLParser):
    """Counts elements and collects the addresses in attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]


def parsed(text: str) -> Tags:
    tags = Tags()
    tags.feed(text)
    return tags


def test_a_hostile_name_adds_no_element_and_no_attribute() -> None:
    harmless, hostile = parsed(page(["A", "B", "C"])), parsed(page([HOSTILE, HOSTILE + "2", HOSTILE + "3"]))
    assert hostile.tags == harmless.tags
    assert [name for name, _ in hostile.attributes] == [name for name, _ in harmless.attributes]
    assert "\u202e" not in page([HOSTILE, "B", "C"])


def test_nothing_is_loaded_and_links_are_https() -> None:
    found = parsed(page(["A", "B", "C"]))
    assert not {"link", "img", "iframe", "object"} & set(found.tags)
    assert [value for name, value in found.attributes if name == "src"] == []
    assert all(value.startswith("https://") for name, value in found.attributes if name == "href")


def test_the_points_are_data_for_the_script() -> None:
    text = page([HOSTILE, "B", "C"])
    (data,) = re.findall(r'<script id="points" type="application/json">(.*?)</script>', text, re.DOTALL)
    points = json.loads(data)
    assert points["name"][1:] == ["B", "C"]
    assert len(points["x"]) == len(points["y"]) == len(points["url"]) == 3


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
@pytest.mark.parametrize("name", ["P68871", HOSTILE])
def test_a_browser_shows_the_card_of_the_point_in_the_address(name: str, tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    file.write_text(page([name, "B", "C"]), encoding="utf-8")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    wanted = quote(name.replace("\u202e", "\ufffd"))
    command = [str(CHROMIUM), *flags, "--dump-dom", f"{file.as_uri()}#{wanted}"]
    dom = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    (card,) = re.findall(r'<div id="card" class="card"( hidden="")?[^>]*><b>(.*?)</b>', dom)
    assert card[0] == ""  # it is shown
    assert "<" not in card[1]
    assert card[1].startswith("P68871" if name == "P68871" else "&lt;/script&gt;")
    assert "owned" not in re.findall(r"<title>(.*?)</title>", dom)[0].replace("document.title='owned'", "")
