"""Pages of explanations: escaped, self-contained, small, to scale, and their numbers those they were given."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from explained_examples import HOSTILE, attention_maps, explained_pair, explained_set, faithfulness, hostile
from html_elements import Elements
from hypothesis import given
from hypothesis import strategies as st

from esm2_amp.explain.explained import ExplainedPair, ExplainedSet, Faithfulness, Mean, ShownPair, pair_tokens
from esm2_amp.explain.page import render_set, trust_table
from esm2_amp.explain.page_chains import LANES, chain_parts, place_regions, ticks
from esm2_amp.explain.page_maps import GAP, block_shares, map_paths, pair_agreement
from esm2_amp.explain.page_pair import render_pair
from esm2_amp.explain.page_scales import diverging, sequential
from esm2_amp.explain.page_words import explained_measures, measure, ordered_measures, plain, ranked, short, signed
from esm2_amp.layout import ALL_TOKENS, CLS_SEGMENTS_EOS, MEAN, SEGMENTS, TokenLayout, segment_bounds
from esm2_amp.records import Region

LAYOUTS = (SEGMENTS, CLS_SEGMENTS_EOS, MEAN, ALL_TOKENS)


def pages(explained: ExplainedSet, pair: ExplainedPair) -> tuple[str, str]:
    return render_set(explained, "figures"), render_pair(explained, pair, "../report.html", "0001")


def harmless() -> tuple[Elements, Elements]:
    one, other = pages(*hostile("harmless"))
    return Elements(one), Elements(other)


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_no_word_of_the_user_becomes_markup(text: str) -> None:
    for page, plain_page in zip(pages(*hostile(text)), harmless(), strict=True):
        found = Elements(page)
        assert [tag for tag, _ in found.found] == [tag for tag, _ in plain_page.found]
        assert [sorted(attributes) for _, attributes in found.found] == [sorted(a) for _, a in plain_page.found]
        assert found.open == []
        assert "".join(found.text).count(short(text)) >= 8


@pytest.mark.parametrize("text", [*HOSTILE, "harmless"], ids=range(len(HOSTILE) + 1))
def test_nothing_is_asked_of_any_network(text: str) -> None:
    for page in pages(*hostile(text)):
        for _, attributes in Elements(page).found:
            assert not {"src", "xlink:href", "action", "background", "poster", "data"} & set(attributes)
            assert re.fullmatch(r"#\w+|(\.\./)?[\w/.]+", attributes.get("href") or "#x")
        style = page[page.index("<style>") : page.index("</style>")]
        assert not re.search(r"@import|url\(|http", style)


def test_only_our_script_may_run_and_its_hash_names_it() -> None:
    for page in pages(explained_set(), explained_pair()):
        assert "default-src 'none'" in page
        (script,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert f"script-src 'sha256-{digest}';" in page
        (data,) = re.findall(r'<script type="application/json">(.*?)</script>', page, re.DOTALL)
        assert "<" not in data
        assert len(json.loads(data)["maps"]) == 7


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: len(layout))
@pytest.mark.parametrize("lengths", [(342, 178), (7, 1200), (1, 9)], ids=str)
def test_every_token_is_drawn_once_in_order(layout: TokenLayout, lengths: tuple[int, int]) -> None:
    pair = explained_pair(layout, lengths)
    for chain, length in zip(chain_parts(pair, layout, ["ig"]), lengths, strict=True):
        (track,) = chain["tracks"]
        bounds = [bound for bound in segment_bounds(length) if bound[0] < bound[1]]
        drawn = [(cell["x"] * length / 100, cell["width"] * length / 100) for cell in track["cells"]]
        assert np.ravel(drawn) == pytest.approx(np.ravel([(a, b - a) for a, b in bounds] if len(layout) > 1 else []))
        assert sorted(cell["name"] for cell in track["cells"] + track["extra"]) == sorted(layout.names)
    page = render_pair(explained_set(layout), pair, None, None)
    for token in pair_tokens(layout, *lengths):
        assert page.count(f"<title>{token.chain} {token.name}, ") >= 8  # one a method
    assert Elements(page).open == []


def test_values_stand_in_the_cell_of_their_token() -> None:
    pair = explained_pair(ALL_TOKENS, (342, 178), methods=("ig",))
    pair.values["ig"][:] = np.arange(26) / 100
    page = render_pair(explained_set(ALL_TOKENS, ("ig",)), pair, None, None)
    for place, name in enumerate(ALL_TOKENS.pair_names[1:], start=1):
        assert re.search(rf"<title>{name.replace('_', ' ')}, [^<]*: \+{place / 100:.3f}, speaks for", page)
    assert "B segment2, residues 37–54. Integrated gradients: +0.160" in page


def test_both_chains_have_one_scale() -> None:
    a, b = chain_parts(explained_pair(lengths=(400, 100)), SEGMENTS, ["ig"])
    assert a["width"] == pytest.approx(100)
    assert b["width"] == pytest.approx(25)
    assert not b["widened"]
    short_one, _ = chain_parts(explained_pair(lengths=(10, 4000)), SEGMENTS, ["ig"])
    assert short_one["widened"]


@given(st.integers(1, 40_000), st.integers(1, 40_000))
def test_residue_numbers_are_where_they_say(length: int, other: int) -> None:
    longest = max(length, other)
    found = ticks(length, longest)
    numbers = [int(number.replace(",", "")) for _, number in found]
    assert numbers == sorted(set(numbers))
    assert numbers[-1] == length
    for (place, _), number in zip(found, numbers, strict=True):
        assert place == pytest.approx(100 * (number - 0.5) / length)
    assert all(b - a > 0.08 * longest for a, b in zip(numbers[1:-1], numbers[2:], strict=True))


@given(st.lists(st.tuples(st.integers(-5, 120), st.integers(0, 60)), max_size=60), st.integers(1, 100))
def test_regions_of_a_lane_do_not_touch_and_none_is_lost(spans: list[tuple[int, int]], length: int) -> None:
    regions = [Region("P", start, start + more, "kind", f"note{k}") for k, (start, more) in enumerate(spans)]
    placed, left_out = place_regions(regions, length, ["kind"])
    assert len(placed) + left_out == len(regions)
    taken: dict[int, list[tuple[float, float]]] = {}
    for region in placed:
        assert -1e-9 <= region.x < region.x + region.width <= 100 + 1e-9
        assert region.lane < LANES
        assert all(
            region.x >= end - 1e-9 or region.x + region.width <= x + 1e-9 for x, end in taken.get(region.lane, [])
        )
        taken.setdefault(region.lane, []).append((region.x, region.x + region.width))
    outside = sum(region.start > length or region.end < 1 for region in regions)
    assert left_out >= outside
    if len(regions) <= LANES:
        assert left_out == outside


def test_regions_that_are_not_drawn_are_counted_on_the_page() -> None:
    regions = [Region("P", 1, 300, "domain", str(n)) for n in range(LANES + 3)] + [Region("P", 900, 950, "site", "")]
    page = render_pair(explained_set(), explained_pair(regions_a=regions), None, None)
    assert "4 annotated regions of A not drawn here" in page


@given(st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_paths_of_a_map_paint_every_cell_in_its_colour(half: int, seed: int) -> None:
    n = 2 * half
    matrix = np.random.default_rng(seed).random((n, n)) ** 3
    painted: dict[tuple[int, int], str] = {}
    for style, path in map_paths(matrix):
        for x, y, width in re.findall(r"M([\d.]+) ([\d.]+)h(\d+)v1h-\d+z", path):
            row = round(float(y) - (GAP if float(y) >= half else 0))
            first = round(float(x) - (GAP if float(x) >= half else 0))
            for column in range(first, first + int(width)):
                assert (row, column) not in painted
                painted[row, column] = style
    low, high = float(matrix.min()), float(matrix.max())
    assert painted == {at: sequential(float(value) - low, high - low) for at, value in np.ndenumerate(matrix)}
    assert {painted[at] for at, value in np.ndenumerate(matrix) if value in (low, high)} == {"s0", "s12"}


def test_colours_say_side_and_size() -> None:
    assert [diverging(value, 2.0) for value in (2, 1, 0, -0.01, -1, -9)] == ["p8", "p4", "z", "z", "n4", "n8"]
    assert diverging(float("nan"), 1.0) == sequential(float("nan"), 1.0) == "x"
    assert [sequential(value, 0.5) for value in (0, 0.25, 0.5)] == ["s0", "s6", "s12"]
    assert diverging(0.0, 0.0) == "z"


def test_tokens_are_ranked_for_the_call_that_was_made() -> None:
    values = np.array([0.1, -0.5, 0.3, 0.3, np.nan])
    assert ranked("ig", values, called=True) == [2, 3, 0, 1]
    assert ranked("ig", values, called=False) == [1, 0, 2, 3]
    assert ranked("attention", np.abs(values), called=False) == [1, 2, 3, 0]


def test_numbers_are_written_with_their_sign() -> None:
    assert [plain(value) for value in (0.0, -0.25, 12345.0, 2e-7, float("nan"))] == [
        "0.000", "−0.250", "1.23e+04", "2.00e-07", "–",
    ]  # fmt: skip
    assert [signed(value) for value in (0.25, -0.25, 0.0, float("inf"))] == ["+0.250", "−0.250", "0.000", "–"]


def test_agreement_within_a_pair_follows_order_and_sign() -> None:
    x = np.array([0.1, -0.4, 0.3, 0.2])
    found = pair_agreement(["ig", "occlusion", "attention", "rollout"], [x, -(x**3), np.abs(x), np.full(4, 0.25)])
    assert found[0, 1] == pytest.approx(-1)
    assert found[0, 2] == found[1, 2] == pytest.approx(1)  # one without a sign: by size
    assert np.isnan(found[3]).all()
    assert np.isnan(pair_agreement(["ig"] * 2, [x[:2], x[:2]])).all()


def test_block_shares_add_up_and_even_attention_is_even() -> None:
    maps = attention_maps(3, 20, (3, 16), np.random.default_rng(0))
    shares = block_shares(maps)
    assert shares.sum(axis=1) == pytest.approx(np.ones(3))
    assert shares[:, 0] + shares[:, 1] == pytest.approx(np.full(3, 0.5))
    assert shares[1, 2] == pytest.approx(maps[1, 10:, :10].sum() / 20)
    assert block_shares(np.full((1, 20, 20), 0.05)) == pytest.approx(np.full((1, 4), 0.25))


def test_the_best_method_is_marked_in_the_direction_of_its_measure() -> None:
    rows = [
        Faithfulness("ig", "method", {"hit@1": Mean(0.8, 0.7, 0.9), "deletion": Mean(0.3, None, None)}),
        Faithfulness("attention", "method", {"hit@1": Mean(0.5, 0.4, 0.6), "deletion": Mean(0.2, 0.1, 0.3)}),
        Faithfulness("random", "random", {"hit@1": Mean(0.95, None, None), "deletion": Mean(0.01, None, None)}),
        Faithfulness("ig", "randomised", {"deletion": Mean(float("nan"), None, None)}),
    ]
    hit, deletion = trust_table(rows)["columns"]
    assert [k for k, cell in hit["cells"].items() if cell["best"]] == [0]
    assert [k for k, cell in deletion["cells"].items() if cell["best"]] == [1]
    assert hit["chance"] == hit["cells"][2]["dot"]
    assert deletion["cells"][3]["value"] == "–"
    low, high = hit["cells"][0]["line"]
    assert low < hit["cells"][0]["dot"] < high


def test_measures_of_several_k_are_explained_once() -> None:
    names = ordered_measures(["mine", "sufficiency@2", "hit@3", "deletion", "hit@1", "hit@3"])
    assert names == ["hit@3", "hit@1", "deletion", "sufficiency@2", "mine"]
    assert measure("hit@3").title == "hit@3"
    assert measure("mine").high_is_good is None
    assert [title for title, _ in explained_measures(names)] == ["hit@k", "deletion", "sufficiency@k"]


def test_the_page_of_a_set_leads_with_which_method_to_trust() -> None:
    page = render_set(explained_set(), None)
    headings = re.findall(r'<h2 id="(\w+)"', page)
    assert headings == ["trust", "profile", "agreement", "attention", "pairs", "limits", "provenance"]
    for row in faithfulness():
        assert f"{row.measures['hit@2'].value:.2f}" in page
    assert "random values, no explanation" in page
    assert "on models with fresh weights" in page


BARE: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("no attention", {"attention": None, "blocks": None}, {"attention": None}),
    ("no label", {"outcomes": {"": 12}}, {"label": None, "truth": None}),
    ("nothing known", {"faithfulness": [], "pairs": [], "notes": [], "banner": None, "surrogates": [],
                       "completeness": None, "provenance": []},
     {"regions_a": [], "regions_b": [], "evidence": [], "ig_error": None, "truth": None}),
]  # fmt: skip


@pytest.mark.parametrize(("of_set", "of_pair"), [case[1:] for case in BARE], ids=[case[0] for case in BARE])
@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: len(layout))
@pytest.mark.parametrize("methods", [("ig",), ("attention", "ae_rf_shap")], ids=len)
def test_pages_do_without_what_is_not_known(
    of_set: dict[str, Any], of_pair: dict[str, Any], layout: TokenLayout, methods: tuple[str, ...]
) -> None:
    found = explained_set(layout, methods, **of_set)
    for page in (
        render_set(found, None),
        render_pair(found, explained_pair(layout, methods=methods, **of_pair), None, None),
    ):
        assert Elements(page).open == []
        assert not re.search(
            r"\b(nan|inf|None)\b", re.sub(r"<(script|style).*?</(script|style)>", "", page, flags=re.DOTALL)
        )
    assert ("no label" in page) == (of_pair.get("label", 1) is None)


def test_values_that_are_not_finite_are_said_to_be_missing() -> None:
    pair = explained_pair(methods=("ig",))
    pair.values["ig"][[0, 5]] = np.nan, np.inf
    page = render_pair(explained_set(methods=("ig",)), pair, None, None)
    assert "A segment0, residues 1–35. Integrated gradients: –." in page


def test_a_segment_without_residues_keeps_its_value() -> None:
    pair = explained_pair(lengths=(7, 300), methods=("ig",))
    pair.values["ig"][8] = -0.125
    page = render_pair(explained_set(methods=("ig",)), pair, None, None)
    assert "A segment8, no residue. Integrated gradients: −0.125, speaks against interaction." in page
    assert "segment7, segment8, segment9 hold none" in page


@pytest.mark.parametrize(
    "link", ["javascript:alert(1)", "https://example.org", "/etc/passwd", "//x", "../up.html", 'a"b']
)
def test_a_link_out_of_the_folder_is_refused(link: str) -> None:
    row = ShownPair("A", "B", 1, 0.5, "TP", (), link)
    with pytest.raises(ValueError, match="not a link"):
        render_set(explained_set(pairs=[row]), None)
    if not link.startswith("../"):
        with pytest.raises(ValueError, match="not a link"):
            render_pair(explained_set(), explained_pair(), link, None)


def test_pages_of_many_pairs_are_small() -> None:
    names = ("x" * 5000, "<" * 5000)
    rows = [ShownPair(*names, 1, 0.5, "TP", ("A_segment1",) * 3, "1.html")] * 1000
    assert len(render_set(explained_set(ALL_TOKENS, rows=1000), "figures").encode()) < 1_500_000
    assert len(render_set(explained_set(pairs=rows), None).encode()) < 3_000_000
    regions = [Region("P", n + 1, n + 8, "domain", HOSTILE[5]) for n in range(1000)]
    rng = np.random.default_rng(0)
    deep = explained_pair(
        ALL_TOKENS, (2000, 2000), regions_a=regions, regions_b=regions, attention=attention_maps(12, 26, (4, 20), rng)
    )
    assert len(render_pair(explained_set(ALL_TOKENS), deep, None, None).encode()) < 500_000


def colours() -> list[dict[str, str]]:
    style = re.findall(r":root \{(.*?)\}", render_set(explained_set(), None), re.DOTALL)
    light, dark, more_light, more_dark = (dict(re.findall(r"--([\w-]+):(#\w+)", block)) for block in style)
    return [light | more_light, dark | more_dark]


def test_every_colour_is_there_in_light_and_dark() -> None:
    light, dark = colours()
    assert set(light) == set(dark)
    for page in pages(explained_set(), explained_pair()):
        assert set(re.findall(r"var\(--([\w-]+)[,)]", page)) <= set(light) | {"c", "t", "k", "dot", "extra"}


def linear(colour: str) -> Any:
    digits = colour.removeprefix("#")
    digits = "".join(2 * digit for digit in digits) if len(digits) == 3 else digits
    value = np.array([int(digits[k : k + 2], 16) for k in (0, 2, 4)]) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


SIGHT = {
    "all cones": np.eye(3),
    "no red cones": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "no green cones": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "no blue cones": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
"""What is left of a colour for eyes that lack a kind of cone (Machado et al. 2009, severity 1, linear RGB)."""


@pytest.mark.parametrize("sight", SIGHT)
@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_for_and_against_differ_for_everyones_eyes(sight: str, theme: int) -> None:
    seen = {name: np.clip(np.array(SIGHT[sight]) @ linear(colour), 0, 1) for name, colour in colours()[theme].items()}
    for step in ("", "-mid"):
        assert np.abs(seen[f"plus{step}"] ** (1 / 2.2) - seen[f"minus{step}"] ** (1 / 2.2)).max() > 0.3
    bright = {name: 0.05 + float(np.dot([0.2126, 0.7152, 0.0722], value)) for name, value in seen.items()}
    for side in ("plus", "minus", "share"):  # the stronger, the farther from the page's ground
        ramp = [bright[name] for name in ("zero", f"{side}-mid", side)]
        assert ramp == sorted(ramp, reverse=theme == 0)
        assert max(ramp[2], bright["paper"]) / min(ramp[2], bright["paper"]) > 4.5


def test_pages_name_files_only_where_there_are_some(tmp_path: Path) -> None:
    assert "Files beside this page" not in render_set(explained_set(), None)
    assert "Files beside this page" in render_set(explained_set(), "figures")
