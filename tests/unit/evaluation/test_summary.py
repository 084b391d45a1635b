"""The summary: each number is that of its own function on the pairs of the class; nothing is too small for it."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from esm2_amp.evaluation.intervals import Resampling, protein_intervals, ranking_intervals
from esm2_amp.evaluation.metrics import binary_metrics, ranking_metrics
from esm2_amp.evaluation.per_protein import per_protein_auroc
from esm2_amp.evaluation.prevalence import average_precision_at, top_precision
from esm2_amp.evaluation.summary import count_resamples, summarise

HOW = Resampling(20, 3, 0.9)
KEYS = ["n", "n_positive", "auroc", "aupr", "mcc", "f1", "precision", "recall", "accuracy", "brier", "ece", "threshold",
        "intervals", "left_out", "ap_1_10", "ap_1_100", "precision_top_1", "precision_top_5", "precision_top_10",
        "per_protein", "baselines"]  # fmt: skip


def world(n: int = 200, proteins: int = 30, seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    a, b = rng.integers(proteins, size=(2, n))
    label = rng.integers(0, 2, n)
    return {
        "a": a,
        "b": b,
        "label": label,
        "probability": np.clip(0.3 * label + 0.7 * rng.random(n), 0, 1),
        "groups": {"protein": rng.choice(["C1", "C2"], n), "cluster": rng.choice(["C2", "C3"], n)},
        "threshold": 0.55,
        "baselines": {"oracle": label + rng.normal(size=n), "coin": rng.normal(size=n)},
        "n_proteins": proteins,
        "resampling": HOW,
    }


def test_each_number_is_that_of_its_function() -> None:
    given_ = world()
    found = summarise(**given_)
    assert {family: list(classes) for family, classes in found["families"].items()} == {
        "protein": ["all", "C1", "C2"],
        "cluster": ["all", "C2", "C3"],
    }
    assert found["families"]["protein"]["all"] == found["families"]["cluster"]["all"]
    for family, classes in found["families"].items():
        for name, got in classes.items():
            chosen = given_["groups"][family] == name if name != "all" else np.ones(200, dtype=bool)
            a, b, label, p = (given_[key][chosen] for key in ("a", "b", "label", "probability"))
            assert got.items() >= binary_metrics(label, p, 0.55).items()
            drawn = protein_intervals(a, b, label, p, 0.55, n_proteins=30, resampling=HOW)
            assert got["intervals"] == {key: list(pair or ()) for key, pair in drawn.bounds.items()}
            assert got["ap_1_10"] == average_precision_at(label, p, 10)
            assert got["ap_1_100"] == average_precision_at(label, p, 100)
            assert got["precision_top_5"] == top_precision(label, p, 0.05)
            assert got["per_protein"] == per_protein_auroc(a, b, label, p, 30)._asdict()
            for baseline, score in given_["baselines"].items():
                beside = got["baselines"][baseline]
                assert beside.items() >= ranking_metrics(label, score[chosen]).items()
                one = ranking_intervals(a, b, label, [score[chosen]], n_proteins=30, resampling=HOW)[0]
                assert beside["intervals"]["auroc"] == list(one.bounds["auroc"] or ())


def test_a_warning_names_the_class_and_the_baseline_that_is_not_beaten() -> None:
    given_ = world()
    assert summarise(**(given_ | {"baselines": {"coin": given_["baselines"]["coin"]}}))["warnings"] == []
    same = summarise(**(given_ | {"baselines": {"itself": given_["probability"], "coin": given_["baselines"]["coin"]}}))
    assert len(same["warnings"]) == 5
    assert "all pairs (n = 200)" in same["warnings"][0]
    assert all("'itself'" in sentence for sentence in same["warnings"])
    assert "C3 by cluster" in same["warnings"][-1]


@pytest.mark.filterwarnings("error")
@settings(max_examples=60)
@given(st.integers(0, 6), st.integers(1, 3), st.integers(0, 2), st.data())
def test_the_smallest_sets_have_numbers_or_none(n: int, proteins: int, classes: int, data: st.DataObject) -> None:
    ends = st.lists(st.integers(0, proteins - 1), min_size=n, max_size=n)
    label = data.draw(st.lists(st.integers(0, 1), min_size=n, max_size=n))
    probability = data.draw(st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=n, max_size=n))
    groups = {"protein": data.draw(st.lists(st.sampled_from(["C1", "C3"]), min_size=n, max_size=n))} if classes else {}
    found = summarise(
        data.draw(ends), data.draw(ends), label, probability, groups, 0.5, {"flat": [0.0] * n} if classes == 2 else {},
        n_proteins=proteins, resampling=Resampling(5, 0, 0.9),
    )  # fmt: skip
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    whole = found["families"]["protein" if classes else "all"]["all"]
    assert list(whole) == KEYS
    if n == 0:
        assert whole["auroc"] is whole["accuracy"] is whole["intervals"]["f1"] is None


def test_without_resampling_there_are_the_same_numbers_and_no_intervals() -> None:
    given_ = world()
    full, bare = summarise(**given_), summarise(**(given_ | {"resampling": None}))
    assert (bare["resamples"], bare["warnings"]) == (0, full["warnings"])
    for family, classes in full["families"].items():
        for name, numbers in classes.items():
            other = bare["families"][family][name]
            assert set(other["intervals"].values()) == {None}
            for beside in other["baselines"].values():
                assert set(beside["intervals"].values()) == {None}
            plain = set(numbers) - {"intervals", "left_out", "baselines"}
            assert {key: other[key] for key in plain} == {key: numbers[key] for key in plain}


def test_progress_sees_every_resample() -> None:
    given_ = world()
    steps: list[int] = []
    summarise(**(given_ | {"resampling": Resampling(20, 3, 0.9, steps.append)}))
    assert sum(steps) == count_resamples(given_["groups"], given_["baselines"], 20)


def test_nonsense_is_refused() -> None:
    given_ = world()
    with pytest.raises(ValueError, match=r"classes by protein of shape \(3,\)"):
        summarise(**(given_ | {"groups": {"protein": ["C1", "C2", "C3"]}}))
    with pytest.raises(ValueError, match="called 'all'"):
        summarise(**(given_ | {"groups": {"protein": ["all"] * 200}}))
    with pytest.raises(ValueError, match="not finite"):
        summarise(**(given_ | {"baselines": {"broken": np.full(200, np.nan)}}))
    with pytest.raises(ValueError, match="shape"):
        summarise(**(given_ | {"baselines": {"short": np.zeros(199)}}))
    with pytest.raises(ValueError, match="must lie in"):
        summarise(**(given_ | {"probability": np.full(200, 7.0)}))
