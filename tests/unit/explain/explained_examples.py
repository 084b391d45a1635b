"""Explained pairs and sets as a session of explaining would give them: planted modules, found by some methods."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from esm2_amp.explain.explained import (
    Evidence,
    ExplainedPair,
    ExplainedSet,
    Faithfulness,
    Mean,
    ShownPair,
    Surrogate,
    Values,
)
from esm2_amp.explain.page_words import method
from esm2_amp.layout import SEGMENTS, TokenLayout
from esm2_amp.records import Region

METHODS = ("occlusion", "ig", "ae_rf_shap", "ae_dnn_shap", "ae_dnn_ig", "attention", "rollout", "ae_rf_gini")
CLARITY = {"occlusion": 3.0, "ig": 2.6, "ae_rf_shap": 1.6, "ae_dnn_shap": 1.2, "ae_dnn_ig": 1.1, "attention": 1.0}
LAYERS = 6
HOSTILE = (
    '<script>alert("x")</script>',
    "\"><img src=x onerror='alert(1)'>",
    "</script><script>alert(2)</script>",
    "</title></style></svg><svg onload=alert(3)>",
    "{{ 7*7 }}{% raw %} $\\frac{1}{2}$ &amp; &#60;b",
    "long" * 1250,
    "蛋白質‮gnp.exe مرحبا بالعالم שלום",
    "javascript:alert(4)",
)


def attention_maps(layers: int, tokens: int, found: tuple[int, int] | None, rng: np.random.Generator) -> Values:
    """(layers, tokens, tokens) rows that add up to 1; deeper layers look at ``found``, and across the chains."""
    maps = rng.gamma(9.0, size=(layers, tokens, tokens))
    for layer in range(layers):
        depth = (layer + 1) / layers
        maps[layer, : tokens // 2, : tokens // 2] *= 1.5 - depth
        maps[layer, tokens // 2 :, tokens // 2 :] *= 1.5 - depth
        for place in found or ():
            maps[layer, :, place] *= 1 + 3 * depth
    return np.asarray(maps / maps.sum(axis=-1, keepdims=True))


def explained_pair(
    layout: TokenLayout = SEGMENTS,
    lengths: tuple[int, int] = (342, 178),
    methods: tuple[str, ...] = METHODS,
    names: tuple[str, str] = ("SIM0012", "SIM0107"),
    seed: int = 0,
    **changes: Any,
) -> ExplainedPair:
    """A pair called interacting whose domain in A binds the motif in B."""
    rng = np.random.default_rng(seed)
    count = 2 * len(layout)
    places = (min(3, len(layout) - 1), len(layout) + min(6, len(layout) - 1))
    values = {}
    for name in methods:
        found = rng.normal(scale=0.12, size=count)
        found[list(places)] += CLARITY.get(name, 0.8) * rng.uniform(0.25, 0.4, 2)
        if not method(name).signed:
            found = np.abs(found) + 0.2
            found /= found.sum()
        values[name] = found
    truth = np.zeros(count, dtype=bool)
    truth[list(places)] = True
    a, b = lengths
    regions_a = [
        Region(names[0], max(1, int(a * 0.28)), max(1, int(a * 0.41)), "domain", "family=D03;binds=M01"),
        Region(names[0], max(1, int(a * 0.62)), max(1, int(a * 0.93)), "domain", "family=D05;binds=M02"),
        Region(names[0], max(1, int(a * 0.35)), max(1, int(a * 0.66)), "repeat", "WD40"),
    ]
    plain = ExplainedPair(
        protein_a=names[0],
        protein_b=names[1],
        length_a=a,
        length_b=b,
        label=1,
        probability=0.873,
        logit=1.93,
        threshold=0.462,
        values=values,
        regions_a=regions_a,
        regions_b=[Region(names[1], max(1, int(b * 0.6)), max(1, int(b * 0.7)), "motif", "family=M01;binds=D03")],
        attention=attention_maps(LAYERS, count, places, rng),
        evidence=[
            Evidence("SIM0031", "SIM0110", 1, 0.94, False),
            Evidence("SIM0098", "SIM0005", 1, 0.91, True),
            Evidence("SIM0044", "SIM0121", 0, 0.83, False),
        ],
        notes=[],
        ig_error=0.0042,
        truth=truth,
    )
    return replace(plain, **changes)


def faithfulness(methods: tuple[str, ...] = METHODS) -> list[Faithfulness]:
    """Rows as a session would measure them: clear methods high, random values and fresh weights at chance."""

    def row(name: str, kind: Any, good: float) -> Faithfulness:
        def near(value: float, width: float = 0.04) -> Mean:
            return Mean(value, value - width, value + width)

        return Faithfulness(
            name,
            kind,
            {
                "hit@1": near(0.05 + 0.8 * good),
                "hit@2": near(0.10 + 0.82 * good),
                "rank": near(8.0 - 6.7 * good, 0.4),
                "auroc": near(0.5 + 0.46 * good, 0.02),
                "deletion": near(0.71 - 0.4 * good, 0.02),
                "insertion": near(0.66 + 0.28 * good, 0.02),
                "comprehensiveness@2": near(0.03 + 0.36 * good, 0.02),
                "sufficiency@2": near(0.35 - 0.3 * good, 0.02),
            },
        )

    good = {name: min(1.0, CLARITY.get(name, 0.8) / 3) for name in methods}
    rows = [row(name, "method", good[name]) for name in methods]
    return [*rows, row("random", "random", 0.0), *(row(name, "randomised", 0.02) for name in methods[:2])]


def explained_set(
    layout: TokenLayout = SEGMENTS, methods: tuple[str, ...] = METHODS, rows: int = 60, **changes: Any
) -> ExplainedSet:
    """A set of simulated pairs, the first 20 with pages of their own."""
    rng = np.random.default_rng(7)
    count = 2 * len(layout)
    magnitude, profile = {}, {}
    for name in methods:
        size = rng.gamma(6.0, 0.02, count) * (1 + 0.8 * np.sin(np.arange(count) * 0.63) ** 2)
        magnitude[name] = size
        profile[name] = size * (rng.uniform(-0.8, 0.9, count) if method(name).signed else 1)
    agreement = np.clip(rng.normal(0.55, 0.2, (len(methods), len(methods))), -0.3, 0.95)
    agreement = (agreement + agreement.T) / 2
    np.fill_diagonal(agreement, 1.0)
    attention = attention_maps(LAYERS, count, None, rng)
    shown = [
        ShownPair(
            f"SIM{rng.integers(200):04d}", f"SIM{rng.integers(200):04d}", int(n % 2), float(rng.random()),
            ("TN", "TP", "FP", "FN")[n % 4], ("A_segment3", "B_segment6", "A_segment0"),
            f"pairs/{n + 1:04d}.html" if n < 20 else None,
        )
        for n in range(rows)
    ]  # fmt: skip
    half = len(layout)
    cross = attention[:, :half, half:].mean(axis=(1, 2)) * half, attention[:, half:, :half].mean(axis=(1, 2)) * half
    blocks = np.stack([1 - cross[0], cross[0], cross[1], 1 - cross[1]], axis=1) / 2
    plain = ExplainedSet(
        title="Why the scores of demo_amps on test_c1.tsv",
        subtitle="esm2-amp explain, seed 0, 21 November 2026",
        banner="Simulated proteins: what is found here is what was planted, and says nothing of real ones.",
        lead="Trust occlusion first: its two highest tokens of 20 hold the planted module for 92 % of the true "
        "positives (random values: 10 %), and the same model with fresh weights drops to chance.",
        calibration="Probabilities are calibrated with Platt's method on validation pairs (ECE 0.021).",
        layout=layout,
        methods=methods,
        outcomes={"TP": rows // 4, "FP": rows // 4, "TN": rows // 4, "FN": rows - 3 * (rows // 4)},
        faithfulness=faithfulness(methods),
        profile=profile,
        magnitude=magnitude,
        agreement=agreement,
        attention=attention,
        blocks=blocks,
        completeness=(0.0093, 0.0031, 128),
        surrogates=[
            Surrogate("AE-RF", 0.83, ""),
            Surrogate("AE-DNN", 0.58, "It knows little more than chance: its explanations explain little."),
        ],
        pairs=shown,
        notes=["Two rows of test_c1.tsv name a protein without a sequence and were not explained."],
        provenance=[
            ("checkpoint", "checkpoints/demo_amps"),
            ("pairs", "datasets/demo/test_c1.tsv"),
            ("encoder", "encoder_small, 192 wide"),
        ],
        version="0.1.0",
    )
    return replace(plain, **changes)


def hostile(text: str) -> tuple[ExplainedSet, ExplainedPair]:
    """A set and a pair in which every word is ``text``."""
    region = Region(text, 3, 60, text, text)
    pair = explained_pair(
        names=(text, text), regions_a=[region], regions_b=[region], notes=[text],
        evidence=[Evidence(text, text, 1, 0.5, True)],
    )  # fmt: skip
    shown = [
        ShownPair(text, text, None, 0.5, "", (text,), None),
        ShownPair(text, text, 1, 0.5, "TP", (text,), "1.html"),
    ]
    found = explained_set(
        title=text, subtitle=text, banner=text, lead=text, calibration=text, pairs=shown, notes=[text],
        provenance=[(text, text)], version=text, surrogates=[Surrogate(text, 0.5, text)],
    )  # fmt: skip
    return found, pair
