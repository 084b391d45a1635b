"""``esm2-amp screen``: the same scores as ``predict``, nothing lost over interruptions, and files that agree."""

from __future__ import annotations

import csv
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from esm2_amp.evaluation.prevalence import shifted
from esm2_amp.features.store import FeatureStore
from esm2_amp.io.fasta import read_fasta, write_fasta
from esm2_amp.models.checkpoint import load_card, save_model
from esm2_amp.models.networks import NETWORKS

SMALL = ("features.device=cpu", "network.figures=false")
EVERYTHING = ("screen.top=null", "screen.tile=16")


def rows_of(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream, delimiter="\t"))


@pytest.fixture
def screen(world, trained, cli, warm):
    """``screen(*options)``: runs the command in a folder with the features of the world; the result is in ``out``."""

    def run(*options: str):
        files = [f"fasta={world.fasta}", f"checkpoint={trained / 'model'}", "output=out"]
        return cli(["screen", *files, *SMALL, *options], warm)

    return run


def predicted(world, cli, folder: Path, model: Path, pairs: list[tuple[str, str]]) -> np.ndarray:
    """What predict gives for some pairs."""
    lines = ["protein_a\tprotein_b", *("\t".join(pair) for pair in pairs)]
    (folder / "asked.tsv").write_text("\n".join(lines) + "\n")
    outcome = cli(world.prediction(model, "pairs=asked.tsv", "output=given.tsv"), folder)
    assert outcome.code == 0, outcome.err
    return np.array([float(row["probability"]) for row in rows_of(folder / "given.tsv")])


@pytest.mark.parametrize("name", NETWORKS)
def test_every_pair_has_the_probability_that_predict_gives_in_both_orders(name, world, trained, cli, warm):
    card = load_card(trained / "model")
    small = {"heads": 2, "layers": 2, "feedforward": 64, "components": 16, "scale_from": 128}
    import yaml

    conf = yaml.safe_load((Path(__file__).parents[2] / "conf" / "model" / f"{name}.yaml").read_text())["network"]
    values = {key: small.get(key, value) if value is not None else value for key, value in conf.items()}
    torch.manual_seed(3)
    network = NETWORKS[name](card.width, NETWORKS[name].Hyper(**values)).eval()
    network.standardise.fit(torch.randn_like(network.standardise.mean) * 0.1, torch.rand_like(network.standardise.std))
    own = {"network": name, "hyper": values, "tokens": list(network.layout)}
    save_model(warm / "model", network, type(card)(**{**vars(card), **own}), [])
    options = [f"fasta={world.fasta}", "checkpoint=model", "output=out", *SMALL, *EVERYTHING, "network.edges=5"]
    outcome = cli(["screen", *options], warm)
    assert outcome.code == 0, outcome.err
    found = pd.read_parquet(warm / "out/pairs.parquet")
    pairs = list(zip(found["protein_a"], found["protein_b"], strict=True))
    assert len({frozenset(pair) for pair in pairs}) == len(pairs) == 40 * 39 // 2
    both = predicted(world, cli, warm, warm / "model", [*pairs, *((b, a) for a, b in pairs)])
    np.testing.assert_allclose(found["probability"], both[: len(pairs)], atol=1e-5)
    np.testing.assert_allclose(found["probability"], both[len(pairs) :], atol=1e-5)


def test_prevalence_percentiles_and_proteins_agree_with_the_pairs(world, trained, screen, warm):
    outcome = screen(*EVERYTHING, "screen.negatives_per_positive=1000")
    assert outcome.code == 0, outcome.err
    found = pd.read_parquet(warm / "out/pairs.parquet")
    val = load_card(trained / "model").metrics["val"]["all"]
    expected = shifted(found["probability"], val["n_positive"] / val["n"], 1000)
    np.testing.assert_allclose(found["probability_at_prevalence"], expected, rtol=1e-3)
    proteins = pd.read_csv(warm / "out/proteins.tsv", sep="\t", index_col="id")
    assert list(proteins.index) == [protein.id for protein in read_fasta(world.fasta)]
    assert (proteins["pairs_scored"] == 39).all()
    assert (proteins["pairs_kept"] == 39).all()
    assert proteins["in_training"].sum() == 28
    for name in proteins.index[:5]:
        own = found[(found["protein_a"] == name) | (found["protein_b"] == name)].sort_values("logit")
        best = own.iloc[-1]
        assert {best["protein_a"], best["protein_b"]} == {name, proteins.loc[name, "best_partner"]}
        assert proteins.loc[name, "mean_logit"] == pytest.approx(own["logit"].mean(), abs=0.02)
        share = np.where(own["protein_a"] == name, own["percentile_a"], own["percentile_b"])
        np.testing.assert_allclose(share, (np.arange(39) + 0.5) / 39, atol=0.08)
    worth = pd.read_csv(warm / "out/precision.tsv", sep="\t")
    above = [(found["logit"] >= cut).sum() for cut in worth["logit"]]
    np.testing.assert_allclose(worth["pairs"], above, atol=8)
    assert worth["recall"].is_monotonic_increasing


def test_bipartite_and_query_screens_have_their_pairs_only(world, cli, trained, screen, warm):
    proteins = list(read_fasta(world.fasta))
    write_fasta(warm / "b.fasta", proteins[30:])
    write_fasta(warm / "a.fasta", proteins[:32])  # two are in both
    outcome = screen(*EVERYTHING, "fasta=a.fasta", "fasta_b=b.fasta", "output=two")
    assert outcome.code == 0, outcome.err
    found = pd.read_parquet(warm / "two/pairs.parquet")
    a, b = [p.id for p in proteins[:32]], [p.id for p in proteins[30:]]
    expected = {frozenset((x, y)) for x in a for y in b if x != y}
    assert {frozenset(pair) for pair in zip(found["protein_a"], found["protein_b"], strict=True)} == expected
    assert len(found) == len(expected)
    assert set(found["protein_a"]) <= set(a)
    assert set(found["protein_b"]) <= set(b)
    assert screen(*EVERYTHING, "query=P03,P17", "output=some").code == 0
    found = pd.read_parquet(warm / "some/pairs.parquet")
    assert len(found) == 39 + 38
    assert set(found["protein_a"]) == {"P03", "P17"}


def test_the_best_make_a_network_and_their_explanations_are_linked(screen, warm):
    outcome = screen("screen.top=3", "network.edges=20", "network.explain=2", "network.figures=true")
    assert outcome.code == 0, outcome.err
    out = warm / "out"
    kept = pd.read_parquet(out / "pairs.parquet").nlargest(20, "logit")
    edges = pd.read_csv(out / "network/edges.tsv", sep="\t")
    np.testing.assert_allclose(edges["logit"], kept["logit"], rtol=1e-6)
    names = {path.name for path in (out / "network").iterdir()}
    assert names == {
        "edges.tsv", "nodes.tsv", "network.graphml", "network.sif", "network.cx2", "network.png", "network.pdf",
    }  # fmt: skip
    page = (out / "report.html").read_text()
    for number in (1, 2):
        link = f"explanations/pages/{number:06}.html"
        assert link in page
        assert (out / link).is_file()
    told = rows_of(out / "explained_pairs.tsv")
    assert [(row["protein_a"], row["protein_b"]) for row in told] == [
        tuple(row) for row in edges[["protein_a", "protein_b"]].head(2).to_numpy().tolist()
    ]
    assert json.loads((out / "screen.json").read_text())["pairs_scored"] == 780
    assert not (out / "work").exists()


def test_retrieval_scores_fewer_pairs_with_the_same_probabilities(world, trained, screen, cli, warm):
    options = ("screen.strategy=retrieve", "retrieve.share=0.3", "retrieve.components=8", "retrieve.steps=40")
    outcome = screen("screen.top=null", *options)
    assert outcome.code == 0, outcome.err
    found = pd.read_parquet(warm / "out/pairs.parquet")
    pairs = list(zip(found["protein_a"], found["protein_b"], strict=True))
    assert len({frozenset(pair) for pair in pairs}) == len(pairs)
    assert 0.95 * 234 <= len(pairs) <= 234  # random pairs that are proposed too are scored once
    given = predicted(world, cli, warm, trained / "model", pairs)
    np.testing.assert_allclose(found["probability"], given, atol=1e-5)
    assert "best" in outcome.err  # the recall is told


def test_a_model_from_before_the_operating_curve_is_screened_with_and_says_what_is_missing(trained, screen, warm):
    shutil.copytree(trained / "model", warm / "old")
    card = json.loads((warm / "old/card.json").read_text())
    del card["metrics"]["operating"], card["metrics"]["distance"]
    (warm / "old/card.json").write_text(json.dumps(card))
    outcome = screen("checkpoint=old", "network.edges=10")
    assert outcome.code == 0, outcome.err
    assert rows_of(warm / "out/precision.tsv") == []
    assert {row["far"] for row in rows_of(warm / "out/proteins.tsv")} == {""}
    page = (warm / "out/report.html").read_text()
    assert "no operating curve" in page
    assert "how far training proteins lie apart" in page


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["query=P03,NOBODY"], "query 'NOBODY'"),
        (["query=P03", "fasta_b=b.fasta"], "both fasta_b and query"),
        (["screen.strategy=guess"], "screen.strategy is 'guess'"),
        (["screen.precision=int8"], "screen.precision is 'int8'"),
        (["screen.threshold=1.5"], "screen.threshold is 1.5"),
        (["screen.top=0"], "screen.top is 0"),
        (["screen.negatives_per_positive=0"], "screen.negatives_per_positive is 0"),
        (["retrieve.share=0"], "retrieve.share is 0"),
        (["fasta=one.fasta"], "no pair to score"),
        (["fasta_b=other.fasta"], "another sequence"),
        (["trainer=ddp", "trainer.devices=2", "output=null"], "no output"),
        (["checkpoint=nowhere"], "nowhere"),
    ],
    ids=str,
)
def test_a_mistake_is_one_message_and_leaves_nothing(options, message, world, screen, warm):
    proteins = list(read_fasta(world.fasta))
    write_fasta(warm / "one.fasta", proteins[:1])
    (warm / "other.fasta").write_text(f">{proteins[0].id}\nMKVLAW\n")
    outcome = screen(*options)
    assert outcome.code == 2, outcome.err
    assert message in outcome.err
    assert outcome.err.count("error:") == 1
    assert not (warm / "out").exists()


def test_a_finished_screen_and_other_settings_are_refused(screen, warm):
    assert screen("network.edges=0").code == 0
    outcome = screen("network.edges=0")
    assert outcome.code == 2
    assert "is finished" in outcome.err
    (warm / "out/screen.json").unlink()
    outcome = screen("network.edges=0", "screen.top=7")
    assert outcome.code == 2
    assert "another screen" in outcome.err


def command_line(world, trained, *options: str) -> list[str]:
    files = [f"fasta={world.fasta}", f"checkpoint={trained / 'model'}"]
    return [sys.executable, "-m", "esm2_amp", "screen", *files, *SMALL, *EVERYTHING, *options]


@pytest.mark.slow
def test_a_screen_killed_again_and_again_ends_as_if_it_had_not(world, trained, screen, warm):
    options = ("screen.tile=2", "screen.commit_seconds=0", "network.edges=30")
    assert screen(*options, "output=whole").code == 0
    command, chance = command_line(world, trained, *options, "output=out"), random.Random(5)
    for _ in range(20):
        process = subprocess.Popen(command, cwd=warm, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        goal = len(list(warm.glob("out/work/*/part-*"))) + chance.randint(1, 8)
        while process.poll() is None and len(list(warm.glob("out/work/*/part-*"))) < goal:
            time.sleep(0.01)
        process.kill()
        assert process.wait() == -signal.SIGKILL  # and not done before
    subprocess.run(command, cwd=warm, check=True, capture_output=True)
    for name in ("pairs.parquet", "proteins.tsv", "precision.tsv", "network/edges.tsv", "network/network.cx2"):
        assert (warm / "out" / name).read_bytes() == (warm / "whole" / name).read_bytes(), name


@pytest.mark.slow
def test_two_processes_share_the_tiles_and_give_the_same(world, trained, screen, warm):
    assert screen(*EVERYTHING, "output=alone", "network.edges=10").code == 0
    team = ("trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2", "output=shared", "network.edges=10")
    subprocess.run(
        command_line(world, trained, *team), cwd=warm, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    alone, shared = (pd.read_parquet(warm / name / "pairs.parquet") for name in ("alone", "shared"))
    pd.testing.assert_frame_equal(alone, shared, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_a_full_disk_is_one_message_and_what_is_done_can_be_read(world, trained, screen, warm):
    if shutil.which("mount") is None or os.geteuid() != 0:
        pytest.skip("needs a file system of its own, which only root can mount")
    small = warm / "small"
    small.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(small)], capture_output=True)
    if done.returncode:
        pytest.skip("tmpfs cannot be mounted here")
    try:
        options = ("screen.tile=2", "screen.commit_seconds=0", "output=small/out")
        outcome = screen(*options)
        assert outcome.code == 2, outcome.err
        assert "space" in outcome.err
        assert outcome.err.count("error:") == 1
        tables = [pd.read_parquet(file) for file in (small / "out/work").glob("*/part-*/pairs.parquet")]
        found = pd.concat(tables)
        assert 0 < len(found) < 780
        assert set(found["protein_a"]) <= {p.id for p in read_fasta(world.fasta)}
        subprocess.run(["mount", "-o", "remount,size=50M", str(small)], check=True)
        assert screen(*options).code == 0
        assert len(pd.read_parquet(small / "out/pairs.parquet")) == 780
    finally:
        subprocess.run(["umount", str(small)], check=False)


def test_the_store_is_read_only_where_features_are_there(world, screen, warm):
    folder = next((warm / "features").glob("*"))
    before = len(FeatureStore(folder))
    outcome = screen("network.edges=0")
    assert outcome.code == 0
    assert "Computing features" not in outcome.err
    assert len(FeatureStore(folder)) == before
