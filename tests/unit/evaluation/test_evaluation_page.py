"""The page: escaped, self-contained, small, and its numbers those of the summary."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from html_elements import Elements

from esm2_amp.evaluation.intervals import Resampling
from esm2_amp.evaluation.metrics import binary_metrics
from esm2_amp.evaluation.page import Page, Seeds, render
from esm2_amp.evaluation.page_parts import ScoredSet, confusion, lead_sentence, verdict
from esm2_amp.evaluation.summary import summarise

HOSTILE = '<script>alert("x")</script> & \'"><img src=x onerror=y> $\\frac{1}{2}$ {{ 7*7 }}'


def scored_set(
    n: int = 300, *, name: str = "test", label: Any = None, resamples: int = 5, clear: bool = True
) -> ScoredSet:
    rng = np.random.default_rng(4)
    proteins = max(8, n // 10)
    a, b = rng.integers(proteins, size=(2, n))
    label = (rng.random(n) < 0.5).astype(np.int64) if label is None else label
    logit = rng.normal(size=n) + 1.5 * label
    probability, before = 1 / (1 + np.exp(-logit)), 1 / (1 + np.exp(-3 * logit))
    classes = np.array(["C1", "C2", "C3"])[(a > proteins * 0.6).astype(int) + (b > proteins * 0.6)]
    baselines = {"degree oracle": rng.normal(size=n), "additive model": logit + 0.1 * rng.normal(size=n)}
    if clear:
        del baselines["additive model"]
    resampling = Resampling(resamples, 0, 0.95) if resamples else None
    summary = summarise(
        a, b, label, probability, {"protein": classes}, 0.5, baselines, n_proteins=proteins, resampling=resampling
    )
    return ScoredSet(name, label, probability, before, classes, baselines, summary)


def page(*sets: ScoredSet, **changes: Any) -> Page:
    plain = Page(
        title="a model on its pairs",
        subtitle="seed 0",
        sets=sets,
        threshold=0.5,
        threshold_from="Given.",
        calibration="Platt.",
        provenance=[("encoder", "esm2")],
        version="1.2.3",
    )
    return replace(plain, **changes)


HISTORY = [
    {"epoch": i, "train/loss": 0.7 - i / 10, "val/loss": 0.7, "val/aupr": 0.5, "val/auroc": 0.5 + i / 10}
    for i in range(3)
]


def hostile_page() -> str:
    one = {"name": HOSTILE, "metrics": binary_metrics([0, 1], [0.2, 0.7], 0.5)}
    difference = {"auroc": {"first": 0.5, "second": 0.6, "difference": -0.1, "interval": None, "left_out": 0}}
    return render(
        page(
            scored_set(name=HOSTILE),
            title=HOSTILE, subtitle=HOSTILE, banner=HOSTILE, threshold_from=HOSTILE, calibration=HOSTILE,
            notes=[HOSTILE], provenance=[(HOSTILE, HOSTILE)], version=HOSTILE, history=HISTORY,
            findings=[{"check": HOSTILE, "severity": s, "count": 1, "sentence": HOSTILE} for s in ("block", "ok")],
            seeds=Seeds([one], one["metrics"], difference),
            shuffled={"auroc": 0.5, "aupr": None},
        )
    )  # fmt: skip


def test_no_word_of_the_user_becomes_markup() -> None:
    found = Elements(hostile_page())
    assert {tag for tag, _ in found.found} & {"script", "img", "iframe", "link", "object", "embed", "form"} == set()
    assert not any(name.startswith("on") for _, attributes in found.found for name in attributes)
    assert "".join(found.text).count(HOSTILE) >= 12  # title, subtitle, ..., as it was written
    assert found.open == []


def plain_page() -> str:
    return render(page(scored_set(), scored_set(name="val"), history=HISTORY))


@pytest.mark.parametrize("make", [hostile_page, plain_page])
def test_nothing_is_asked_of_any_network(make: Callable[[], str]) -> None:
    text = make()
    assert "http" not in text.lower().replace("http-equiv", "")
    assert not re.search(r"@import|url\((?!#)", text)
    for _, attributes in Elements(text).found:
        assert "src" not in attributes
        assert all(value.startswith("#") for name, value in attributes.items() if name.endswith("href"))
    assert "default-src 'none'" in text


def test_ids_are_there_once_and_every_reference_is_to_one() -> None:
    text = plain_page()
    ids = re.findall(r'\bid="([^"]*)"', text)
    assert len(ids) == len(set(ids))
    used = re.findall(r'href="#([^"]*)"|url\(#([^)]*)\)', text)
    assert {one or other for one, other in used} <= set(ids)


def test_every_drawing_tells_what_it_shows() -> None:
    drawings = [attributes for tag, attributes in Elements(render(page(scored_set()))).found if tag == "svg"]
    assert len(drawings) == 5
    assert all(drawing["role"] == "img" and len(drawing["aria-label"] or "") > 20 for drawing in drawings)


def test_colours_of_drawings_follow_the_theme() -> None:
    text = render(page(scored_set()))
    drawn = set(re.findall(r"(?:fill|stroke): ([^;\"]+)", text))
    assert drawn <= {"none", *re.findall(r"var\(--\w+\)", text)}
    style = text[text.index("<style>") : text.index("</style>")]
    light, dark = (set(re.findall(r"(--[\w-]+):", block)) for block in re.findall(r":root \{(.*?)\}", style, re.DOTALL))
    assert light == dark
    assert set(re.findall(r"var\((--[\w-]+)\)", text)) <= light


def test_a_page_of_many_pairs_is_small() -> None:
    assert len(render(page(scored_set(60_000, resamples=0)))) < 300_000


@pytest.mark.parametrize("label", [0, 1])
def test_pairs_of_one_class_have_a_page_too(label: int) -> None:
    text = render(page(scored_set(40, label=np.full(40, label))))
    assert "All pairs have one label" in text
    assert "no ranking can be measured" in text
    assert ">nan<" not in text.lower()


@pytest.mark.parametrize("n", [1, 2])
def test_a_single_pair_has_a_page(n: int) -> None:
    assert "<svg" in render(page(scored_set(n, label=np.arange(n) % 2)))


def test_without_resamples_there_is_no_talk_of_intervals() -> None:
    text = render(page(scored_set(resamples=0)))
    assert "resamples of the proteins" not in text
    assert " to 0." not in text
    assert "95% intervals from 5 resamples" in render(page(scored_set()))


def test_the_lead_names_the_hardest_class_and_its_best_baseline() -> None:
    scored = scored_set(clear=False)
    c3 = scored.summary["families"]["protein"]["C3"]
    sentence = lead_sentence(scored)
    assert f"AUROC of {c3['auroc']:.3f} (" in sentence
    assert f"additive model, has an AUROC of {c3['baselines']['additive model']['auroc']:.3f}" in sentence
    assert "C2" not in sentence


def test_a_model_that_is_not_clear_of_a_baseline_is_warned_of_and_not_praised() -> None:
    near, clear = scored_set(clear=False), scored_set()
    assert verdict(near) is None
    assert "Not clear of the baselines" in render(page(near))
    assert "degree oracle" in (verdict(clear) or "")
    assert "Not clear of the baselines" not in render(page(clear))


def test_a_class_that_holds_all_pairs_is_shown_once() -> None:
    scored = scored_set()
    families = {"protein": {"all": scored.numbers["all"], "C3": scored.numbers["all"]}}
    assert list(replace(scored, summary={**scored.summary, "families": families}).shown) == [
        "all pairs (C3, none seen)"
    ]


def test_confusion_counts_calls_by_label() -> None:
    label, probability = np.array([1, 1, 1, 0, 0]), np.array([0.9, 0.5, 0.1, 0.5, 0.2])
    cells = [[cell["value"] for cell in row["cells"]] for row in confusion(label, probability, 0.5)]
    assert cells == [["2", "1"], ["1", "1"]]


def test_findings_of_an_audit_stand_by_their_severity() -> None:
    said = [("block", "A pair is in both."), ("show", "Degrees tell labels."), ("ok", "No sequence is shared.")]
    findings = [{"check": "c", "severity": kind, "count": 1, "sentence": text} for kind, text in said]
    text = render(page(scored_set(), findings=findings))
    assert re.search(r'box stop"><strong>c</strong>: A pair is in both', text)
    assert re.search(r'box warn"><strong>c</strong>: Degrees tell labels', text)
    assert "<li>No sequence is shared.</li>" in text
    assert "No audit was made" in render(page(scored_set()))
