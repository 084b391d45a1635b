"""``esm2-amp explain``: every row accounted for, values equal to the methods called directly, stops and goes on."""

from __future__ import annotations

import csv
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from esm2_amp.explain.occlusion import occlusion
from esm2_amp.features.store import FeatureStore
from esm2_amp.io.fasta import read_fasta
from esm2_amp.layout import SEGMENTS
from esm2_amp.models.predictor import TrainedModel

Run = Callable[..., object]
SMALL = ("features.device=cpu", "faithfulness.resamples=20", "faithfulness.pairs=6", "figures=false")
SURROGATE = (
    "surrogate.autoencoder.epochs=2", "surrogate.forest.trees=5", "surrogate.forest.trial_trees=3",
    "surrogate.forest.trials=1", "surrogate.dnn.epochs=2", "surrogate.folds=2", "surrogate.dnn.background=4",
)  # fmt: skip
ALL = ("occlusion", "ig", "ae_rf_shap", "ae_rf_gini", "ae_dnn_shap", "ae_dnn_ig")


def rows_of(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_MINIMAL))


@pytest.fixture(scope="session")
def amps(world, cli, tmp_path_factory) -> Path:
    """The run folder of a small AMPS."""
    folder = tmp_path_factory.mktemp("amps")
    small = ("model.network.layers=2", "model.network.heads=2", "model.network.feedforward=64")
    outcome = cli(world.training("model=amps", "run_dir=run", "epochs=1", *small), folder)
    assert outcome.code == 0, outcome.err
    return folder / "run"


@pytest.fixture
def explained(world, amps, cli, tmp_path) -> Callable[..., object]:
    """``explained(*options)``: runs the command in an empty folder with the features of the world."""
    shutil.copytree(amps.parent / "features", tmp_path / "features")

    def run(*options: str):
        files = [f"pairs={world.test}", f"fasta={world.fasta}", f"checkpoint={amps / 'model'}", "output=out"]
        return cli(["explain", *files, *SMALL, *options], tmp_path)

    return run


def test_values_are_those_of_the_method_itself_for_every_pair_and_token(world, amps, explained, tmp_path):
    outcome = explained("method=occlusion", "pages=2", "background=5")
    assert outcome.code == 0, outcome.err
    found = rows_of(tmp_path / "out/attributions.tsv")
    pairs = rows_of(world.test)
    assert list(found[0]) == ["protein_a", "protein_b", "method", "token", "value"]
    assert [(row["protein_a"], row["protein_b"], row["token"]) for row in found] == [
        (pair["protein_a"], pair["protein_b"], token) for pair in pairs for token in SEGMENTS.pair_names
    ]
    model, proteins = TrainedModel(amps / "model"), read_fasta(world.fasta)
    store = FeatureStore(next((tmp_path / "features").glob("*chunk*")))
    seen = sorted(model.training_sequences())
    drawn = np.random.default_rng((0, 0)).choice(len(seen), 5, replace=False)
    baseline = store.gather(store.find([seen[i] for i in drawn]), SEGMENTS.stored).astype(np.float64).mean(axis=0)
    ends = [store.find([proteins.get(row[side]).key for row in pairs]) for side in ("protein_a", "protein_b")]
    tokens = [torch.from_numpy(store.gather(rows, SEGMENTS.stored)).float() for rows in ends]
    expected = occlusion(model.network, *tokens, torch.from_numpy(baseline).float()).flatten()
    np.testing.assert_allclose([float(row["value"]) for row in found], expected, rtol=1e-4, atol=1e-6)


def test_every_method_says_something_of_every_pair_and_pages_show_it(world, explained, tmp_path):
    outcome = explained("method=all", "pages=3", *SURROGATE)
    assert outcome.code == 0, outcome.err
    found = rows_of(tmp_path / "out/attributions.tsv")
    methods = {row["method"] for row in found}
    assert methods == {*ALL, "attention", "rollout"}
    count = len(rows_of(world.test))
    assert len(found) == count * 2 * len(SEGMENTS) * len(methods)
    assert all(np.isfinite(float(row["value"])) for row in found)
    measured = {(row["method"], row["model"]) for row in rows_of(tmp_path / "out/faithfulness.tsv")}
    assert measured >= {(name, "trained") for name in (*methods, "random")} | {("ig", "randomised")}
    assert len(list((tmp_path / "out/pages").glob("*.html"))) == 3
    report = (tmp_path / "out/report.html").read_text()
    assert "pages/0000" in report
    assert not (tmp_path / "out/work").exists()
    evidence = next((tmp_path / "out/pages").glob("*/evidence.tsv"))
    trained = {frozenset((row["protein_a"], row["protein_b"])) for row in rows_of(world.train)}
    assert {frozenset((row["protein_a"], row["protein_b"])) for row in rows_of(evidence)} <= trained


def test_attention_given_is_a_share_and_segments_go_on_to_regions(world, explained, cli, tmp_path):
    assert explained("method=[attention,rollout]", "pages=0").code == 0
    found = rows_of(tmp_path / "out/attributions.tsv")
    for method in ("attention", "rollout"):
        values = np.array([float(row["value"]) for row in found if row["method"] == method]).reshape(-1, 20)
        np.testing.assert_allclose(values.sum(axis=1), 1, atol=1e-4)
    name = rows_of(world.test)[0]["protein_a"]
    (tmp_path / "regions.tsv").write_text(f"protein\tstart\tend\tkind\tnote\n{name}\t1\t9\tDomain\tSH3\n")
    files = ["segments=out/segments.tsv", "annotations=regions.tsv", f"fasta={world.fasta}"]
    outcome = cli(["regions", *files, "output=covered", "permutations=20", "report.resamples=20"], tmp_path)
    assert outcome.code == 0, outcome.err
    assert len(rows_of(tmp_path / "covered/coverage.tsv")) == 6 * len(rows_of(world.test))


def test_a_row_without_a_sequence_keeps_its_place_with_the_reason(world, explained, tmp_path):
    lines = world.test.read_text().splitlines()
    odd = '<b>"P\u00e9"</b>'
    (tmp_path / "pairs.tsv").write_text("\n".join([lines[0], lines[1], f"{odd}\tP01\t1", lines[2]]) + "\n")
    assert explained("method=occlusion", f"pairs={tmp_path / 'pairs.tsv'}").code == 0
    rows = rows_of(tmp_path / "out/pairs.tsv")
    assert [row["status"] for row in rows] == ["ok", f"no sequence for {odd}", "ok"]
    assert rows[1]["probability"] == ""
    assert len(rows_of(tmp_path / "out/attributions.tsv")) == 2 * 20
    assert odd not in (tmp_path / "out/report.html").read_text()


@pytest.mark.slow
def test_a_killed_command_goes_on_and_ends_as_if_it_had_not_been(world, amps, explained, tmp_path):
    options = ("method=[occlusion,ig]", "batch_size=4", "ig.max_steps=64", "pages=1")
    assert explained(*options).code == 0
    whole = (tmp_path / "out").rename(tmp_path / "whole")
    files = [f"pairs={world.test}", f"fasta={world.fasta}", f"checkpoint={amps / 'model'}", "output=out"]
    command = [sys.executable, "-m", "esm2_amp", "explain", *files, *SMALL, *options]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL, env={**os.environ})
    deadline = time.monotonic() + 120
    while not list((tmp_path / "out").glob("work/*.npz")) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "out/explanation.json").exists(), "it ended before it could be killed"
    kept = {file.name: file.stat().st_mtime_ns for file in (tmp_path / "out/work").glob("*.npz")}
    refused = explained(*options, "seed=1")
    assert (refused.code, "another" in refused.err, "seed" in refused.err) == (2, True, True)
    assert kept == {file.name: file.stat().st_mtime_ns for file in (tmp_path / "out/work").glob("*.npz")}
    assert explained(*options).code == 0
    for name in ("attributions.tsv", "pairs.tsv", "faithfulness.tsv", "segments.tsv", "report.html"):
        assert (tmp_path / "out" / name).read_bytes() == (whole / name).read_bytes()
    finished = explained(*options)
    assert (finished.code, "finished" in finished.err) == (2, True)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["method=magic"], "'magic'"),
        (["method=ae_rf_shap", "train_pairs=none"], "train_pairs=FILE"),
        (["ig.tolerance=0"], "ig.tolerance"),
        (["pages=-1"], "pages"),
        (["surrogate.folds=1"], "folds"),
        (["regions=absent.tsv"], "absent.tsv"),
        (["pairs=absent.tsv"], "absent.tsv"),
    ],
)
def test_mistakes_end_with_one_message_and_leave_nothing(explained, tmp_path, options, told):
    outcome = explained(*options)
    assert outcome.code == 2
    assert told in outcome.err
    assert "Traceback" not in outcome.err
    assert not (tmp_path / "out").exists()


def test_a_network_without_attention_says_so(world, trained, cli, tmp_path):
    files = [f"pairs={world.test}", f"fasta={world.fasta}", f"checkpoint={trained / 'model'}", "output=out"]
    outcome = cli(["explain", *files, "method=attention"], tmp_path)
    assert (outcome.code, "no attention" in outcome.err) == (2, True)


@pytest.mark.parametrize("model", ["ampx", pytest.param("gru", marks=pytest.mark.slow)])
def test_other_networks_are_explained_by_what_they_allow(world, model, cli, tmp_path):
    assert cli(world.training(f"model={model}", "run_dir=run", "epochs=1"), tmp_path).code == 0
    files = [f"pairs={world.test}", f"fasta={world.fasta}", "checkpoint=run/model", "output=out"]
    outcome = cli(["explain", *files, *SMALL, "pages=1", "method=[occlusion,ig]", "ig.max_steps=64"], tmp_path)
    assert outcome.code == 0, outcome.err
    tokens = {row["token"] for row in rows_of(tmp_path / "out/attributions.tsv")}
    assert tokens == set(TrainedModel(tmp_path / "run/model").network.layout.pair_names)


@pytest.mark.slow
def test_on_the_demo_the_planted_module_is_found_and_a_random_model_finds_nothing(cli, tmp_path):
    options = ["method=[occlusion,attention]", "faithfulness.pairs=100", "pages=0", "evidence=0", "figures=false"]
    assert cli(["explain", *options, "output=out"], tmp_path).code == 0
    found = {
        (row["method"], row["model"], row["measure"]): float(row["mean"] or "nan")
        for row in rows_of(tmp_path / "out/faithfulness.tsv")
    }
    chance = found["random", "trained", "hit@2"]
    assert found["occlusion", "trained", "hit@2"] >= 0.8 > chance
    assert found["occlusion", "randomised", "hit@2"] < chance + 0.2
    assert abs(found["occlusion", "randomised", "auroc"] - 0.5) < 0.15
