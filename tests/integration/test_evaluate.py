"""``esm2-amp evaluate``: the numbers are scikit-learn's, no row is lost in silence, mistakes end in one message."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as sk

HEADER = "protein_a\tprotein_b\tlabel\tprobability\n"
Run = Callable[..., Any]


def drawn(n: int = 400, seed: int = 0, proteins: int = 40, gain: float = 1.0) -> list[tuple[str, str, int, float]]:
    """Distinct pairs of P0..P39 (the same for every seed), half of them 1, with probabilities that say something."""
    rng = np.random.default_rng(100)
    every = [(i, j) for i in range(proteins) for j in range(i + 1, proteins)]
    chosen = [every[k] for k in rng.permutation(len(every))[:n]]
    noise = np.random.default_rng(seed).normal(size=n)
    label = [k % 2 for k in range(n)]
    return [
        (f"P{i}", f"P{j}", y, round(float(1 / (1 + np.exp(-(e + gain * (2 * y - 1) / 2)))), 6))
        for (i, j), y, e in zip(chosen, label, noise, strict=True)
    ]


def table(rows: list[tuple[str, str, int, float]]) -> str:
    return HEADER + "".join("\t".join(map(str, row)) + "\n" for row in rows)


@pytest.fixture
def evaluate(cli: Run, tmp_path: Path) -> Callable[..., Any]:
    """``evaluate(text, *options)``: metrics.json of a table of scores; report.html lies beside it in ``out``."""

    def call(text: str, *options: str) -> Any:
        (tmp_path / "scores.tsv").write_text(text)
        outcome = cli(["evaluate", "scores=scores.tsv", "output=out", "report.resamples=5", *options], tmp_path)
        assert outcome.code == 0, outcome.err
        assert {path.name for path in (tmp_path / "out").iterdir()} == {"metrics.json", "report.html"}
        return json.loads((tmp_path / "out" / "metrics.json").read_text())

    return call


def expected(rows: list[tuple[str, str, int, float]], threshold: float = 0.5) -> dict[str, float]:
    label, probability = np.array([row[2] for row in rows]), np.array([row[3] for row in rows])
    called = probability >= threshold
    return {
        "auroc": sk.roc_auc_score(label, probability),
        "aupr": sk.average_precision_score(label, probability),
        "mcc": sk.matthews_corrcoef(label, called),
        "f1": sk.f1_score(label, called),
        "precision": sk.precision_score(label, called),
        "recall": sk.recall_score(label, called),
        "accuracy": sk.accuracy_score(label, called),
        "brier": sk.brier_score_loss(label, probability),
    }


@pytest.mark.parametrize("threshold", [None, 0.3])
def test_the_numbers_are_those_of_scikit_learn(threshold: float | None, evaluate: Any, tmp_path: Path) -> None:
    rows = drawn()
    found = evaluate(table(rows), *([] if threshold is None else [f"threshold={threshold}"]))
    wanted = expected(rows, threshold or 0.5)
    assert {name: found[name] for name in wanted} == pytest.approx(wanted)
    assert (found["n"], found["n_positive"], found["threshold"]) == (400, 200, threshold or 0.5)
    assert 0 <= found["ece"] <= 1
    low, high = found["evaluation"]["families"]["all"]["all"]["intervals"]["auroc"]
    assert 0.4 < low < found["auroc"] < high < 1
    page = (tmp_path / "out" / "report.html").read_text()
    assert f"{found['auroc']:.3f}" in page
    assert "The threshold is 0.5" in page or threshold


@pytest.mark.parametrize("form", ["csv", "gz", "more columns", "windows"])
def test_a_table_is_read_in_the_forms_people_have(form: str, evaluate: Any, cli: Run, tmp_path: Path) -> None:
    rows = drawn()
    auroc = evaluate(table(rows))["auroc"]
    text = table(rows)
    if form == "csv":
        text = text.replace("\t", ",")
    elif form == "more columns":
        body = "".join(f"x\t{row[3]}\t{row[0]}\tC9\t{row[2]}\t{row[1]}\n" for row in rows)
        text = "note\tProbability\tprotein_a\tclass\tlabel\tprotein_b\n" + body
    elif form == "windows":
        text = "\ufeff" + text.replace("\n", "\r\n")
    data = text.encode()
    (tmp_path / "other").write_bytes(gzip.compress(data) if form == "gz" else data)
    assert cli(["evaluate", "scores=other", "output=o", "report.resamples=0"], tmp_path).code == 0
    assert json.loads((tmp_path / "o" / "metrics.json").read_text())["auroc"] == auroc


def test_rows_that_measure_nothing_are_counted_and_told(evaluate: Any, tmp_path: Path) -> None:
    rows = drawn()
    a, b, label, probability = rows[0]
    more = f"{a}\tX\t\t0.5\n{a}\tY\t1\t\n{b}\t{a}\t{label}\t{probability}\n{a}\t{b}\t{label}\t0.123\n"
    found = evaluate(table(rows) + more)
    assert found["rows"] == {
        "rows": 404, "measured": 400, "without_label": 1, "without_probability": 1, "repeated": 2,
        "repeated_with_another_probability": 1, "both_labels": 0,
    }  # fmt: skip
    assert found["auroc"] == pytest.approx(expected(rows)["auroc"])
    page = (tmp_path / "out" / "report.html").read_text()
    assert "400 of 404 rows were measured; left out: 1 without a label, 1 without a probability, 2 of a pair" in page
    assert "1 repeated row had another probability" in page


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_is_no_error(label: int, evaluate: Any, tmp_path: Path) -> None:
    found = evaluate(table([(a, b, label, p) for a, b, _, p in drawn(30)]))
    assert (found["auroc"], found["aupr"], found["n_positive"]) == (None, None, 30 * label)
    assert found["brier"] is not None
    assert "All pairs have one label" in (tmp_path / "out" / "report.html").read_text()


def test_training_pairs_give_classes_baselines_and_leaks(evaluate: Any, tmp_path: Path) -> None:
    rows = drawn()
    seen = {f"P{i}" for i in range(25)}
    train = [(f"P{i}", f"P{i + 1}", i % 2) for i in range(24)] + [rows[0][:3]]
    (tmp_path / "train.csv").write_text("".join(f"{b},{a},{y}\n" for a, b, y in train))
    found = evaluate(table(rows), "train_pairs=train.csv")
    seen |= set(rows[0][:2])
    classes = [f"C{3 - (a in seen) - (b in seen)}" for a, b, *_ in rows]
    by_class = found["evaluation"]["families"]["protein"]
    for name in ("C1", "C2", "C3"):
        here = [row for row, kind in zip(rows, classes, strict=True) if kind == name]
        assert by_class[name]["n"] == len(here) > 0
        assert by_class[name]["auroc"] == pytest.approx(expected(here)["auroc"])
    assert set(by_class["C3"]["baselines"]) == {"degree oracle", "degree in training", "positive ratio in training"}
    assert by_class["C3"]["baselines"]["degree in training"]["auroc"] == 0.5
    known = {frozenset(row[:2]) for row in train}
    shared = sum(frozenset(row[:2]) in known for row in rows)
    assert shared > 0
    page = (tmp_path / "out" / "report.html").read_text()
    assert f'box stop"><strong>shared pairs</strong>: {shared} scored pair' in page


def test_threshold_and_calibration_come_from_validation_alone(evaluate: Any, cli: Run, tmp_path: Path) -> None:
    rows, val = drawn(), drawn(seed=1)
    (tmp_path / "val.tsv").write_text(table(val))
    before = evaluate(table(rows))
    for method in ("temperature", "platt", "beta", "isotonic"):
        shutil.rmtree(tmp_path / "out")
        found = evaluate(table(rows), "val_scores=val.tsv", f"calibration={method}")
        assert found["tables"][0]["calibration"]["method"] == method
        assert found["before_calibration"]["brier"] == pytest.approx(before["brier"])
        assert found["threshold"] != 0.5
        assert found["auroc"] == pytest.approx(before["auroc"], abs=0.02 if method == "isotonic" else 1e-9)
    # other labels of the measured pairs change nothing about either
    turned = [(a, b, 1 - y, p) for a, b, y, p in rows]
    shutil.rmtree(tmp_path / "out")
    other = evaluate(table(turned), "val_scores=val.tsv", "calibration=isotonic")
    assert other["tables"][0]["calibration"] == found["tables"][0]["calibration"]
    assert other["threshold"] == found["threshold"]


def test_several_seeds_are_compared_with_another_model(cli: Run, tmp_path: Path) -> None:
    for seed in range(3):
        (tmp_path / f"good{seed}.tsv").write_text(table(drawn(seed=seed, gain=2.0)))
        bad = drawn(seed=seed + 10, gain=0.2)
        (tmp_path / f"bad{seed}.tsv").write_text(table([(b, a, y, p) for a, b, y, p in reversed(bad)]))
    files = ["scores=[good0.tsv,good1.tsv,good2.tsv]", "against=[bad0.tsv,bad1.tsv,bad2.tsv]"]
    outcome = cli(["evaluate", *files, "output=out", "report.resamples=50"], tmp_path)
    assert outcome.code == 0, outcome.err
    found = json.loads((tmp_path / "out" / "metrics.json").read_text())
    each = [expected(drawn(seed=seed, gain=2.0))["auroc"] for seed in range(3)]
    others = [expected(drawn(seed=seed + 10, gain=0.2))["auroc"] for seed in range(3)]
    assert found["auroc"] == pytest.approx(np.mean(each))
    difference = found["seeds"]["differences"]["auroc"]
    assert difference["difference"] == pytest.approx(np.mean(each) - np.mean(others))
    assert 0 < difference["interval"][0] < difference["difference"] < difference["interval"][1]
    page = (tmp_path / "out" / "report.html").read_text()
    assert "good2.tsv" in page
    assert f"{difference['difference']:+.3f}" in page
    assert f"Over 3 seeds the mean AUROC is {found['auroc']:.3f}" in outcome.out
    assert f"less that of the others: {difference['difference']:+.3f}" in outcome.out


@pytest.mark.slow
def test_a_sweep_over_models_and_seeds_ends_in_one_comparison(world: Any, warm: Path, cli: Run) -> None:
    sweep = world.training("-m", "model=dpm,gru", "seed=0,1", "epochs=1", "report.resamples=0")
    assert cli(sweep, warm).code == 0
    runs = {}
    for run in sorted((warm / "runs").glob("*/*")):
        card = json.loads((run / "model" / "card.json").read_text())
        runs[card["network"], card["training"]["seed"]] = run.relative_to(warm)

    def files(model: str, split: str) -> str:
        return "[" + ",".join(str(runs[model, seed] / "predictions" / f"{split}.tsv") for seed in (0, 1)) + "]"

    words = [f"scores={files('dpm', 'test')}", f"against={files('gru', 'test')}", f"train_pairs={world.train}"]
    words += [f"val_scores={files('dpm', 'val')}", f"against_val={files('gru', 'val')}", f"fasta={world.fasta}"]
    (store,) = (warm / "features").iterdir()
    outcome = cli(["evaluate", *words, f"store={store}", "output=out", "report.resamples=10"], warm)
    assert outcome.code == 0, outcome.err
    found = json.loads((warm / "out" / "metrics.json").read_text())
    told = [json.loads((warm / runs["dpm", seed] / "metrics.json").read_text()) for seed in (0, 1)]
    for metric in ("auroc", "aupr", "mcc", "f1", "brier"):  # by the thresholds of validation, as in the runs
        assert found[metric] == pytest.approx(np.mean([run["test"]["all"][metric] for run in told]), abs=1e-5)
    for metric in ("auroc", "aupr"):
        for baseline, values in told[0]["baselines"]["test"].items():
            again = found["evaluation"]["families"]["protein"]["C2"]["baselines"][baseline][metric]
            assert again == pytest.approx(values["C2"][metric], abs=1e-6), baseline
    assert set(found["seeds"]["differences"]) >= {"auroc", "aupr", "mcc"}


def test_sequences_make_proteins_the_same_and_rows_without_labels_are_no_mistake(
    world: Any, cli: Run, tmp_path: Path
) -> None:
    text = world.fasta.read_text()
    twin = next(record for record in text.split(">") if record.startswith("P00 ")).split("\n", 1)[1]
    (tmp_path / "all.fasta").write_text(f"{text}>TWIN\n{twin}")
    rows = [line.split("\t") for line in world.test.read_text().splitlines()[1:]]
    scored = "".join("\t".join([*row, f"{0.2 + 0.02 * k}"]) + "\n" for k, row in enumerate(rows))
    more = "TWIN\tP39\t1\t0.5\nP00\tP39\t1\t0.5\nP00\tP38\t\t0.5\nGHOST\tP00\t0\t0.25\n"
    (tmp_path / "scores.tsv").write_text(HEADER + scored + more)
    (tmp_path / "out").mkdir()  # an empty folder may be there
    words = ["scores=scores.tsv", "output=out", "fasta=all.fasta", f"train_pairs={world.train}", "report.resamples=2"]
    outcome = cli(["evaluate", *words], tmp_path)
    assert outcome.code == 0, outcome.err
    found = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert (found["rows"]["without_label"], found["rows"]["repeated"], found["n"]) == (1, 1, len(rows) + 2)
    page = (tmp_path / "out" / "report.html").read_text()
    assert "1 protein of the scored pairs without a sequence in fasta" in page
    assert "sequence cluster" in page
    assert found["evaluation"]["families"]["cluster"]["all"]["n"] == len(rows) + 2


# --- mistakes


MISTAKES: dict[str, tuple[str, list[str], str]] = {
    "no label column": ("protein_a\tprotein_b\tprobability\nA\tB\t0.5\n", [], "line 1 'label'"),
    "no probability column": ("protein_a\tprotein_b\tlabel\nA\tB\t1\n", [], "line 1 'probability'"),
    "no header": ("A\tB\t1\t0.5\n", [], "line 1 'protein_a'"),
    "two probability columns": (HEADER[:-1] + "\tprobability\nA\tB\t1\t.5\t.5\n", [], "line 1 two_columns"),
    "not a number": (HEADER + "A\tB\t1\thigh\n", [], "line 2 'high' not_a_number"),
    "above one": (HEADER + "A\tB\t1\t0.5\nA\tC\t0\t1.5\n", [], "line 3 1.5"),
    "negative": (HEADER + "A\tB\t1\t-0.1\n", [], "line 2 -0.1"),
    "nan": (HEADER + "A\tB\t1\tnan\n", [], "line 2 nan"),
    "another label": (HEADER + "A\tB\t2\t0.5\n", [], "line 2 '2' 0_or_1"),
    "both labels": (HEADER + "A\tB\t1\t0.5\nC\tD\t0\t.1\nB\tA\t0\t0.5\n", [], "line 4 line_2"),
    "a cell less": (HEADER + "A\tB\t1\n", [], "line 2 3_columns"),
    "an empty id": (HEADER + "A\t\t1\t0.5\n", [], "line 2 id_is_empty"),
    "no row": (HEADER, [], "none_of_0_rows"),
    "no labelled row": (HEADER + "A\tB\t\t0.5\n", [], "none_of_1_row"),
    "empty": ("", [], "empty"),
    "binary": ("PAR1\x00\x01", [], "Parquet"),
    "no scores": ("", ["scores=nowhere.tsv"], "nowhere.tsv no_such_file"),
    "no training pairs": ("ok", ["train_pairs=nowhere.tsv"], "nowhere.tsv no_such_file"),
    "unlabelled training": ("ok", ["train_pairs=unlabelled.tsv"], "unlabelled.tsv line_1 no_label"),
    "no fasta": ("ok", ["fasta=nowhere.fasta"], "nowhere.fasta no_such_file"),
    "store alone": ("ok", ["store=features"], "store fasta train_pairs"),
    "threshold": ("ok", ["threshold=1.5"], "threshold 1.5"),
    "method": ("ok", ["calibration=magic", "val_scores=scores.tsv"], "magic isotonic"),
    "calibration without validation": ("ok", ["calibration=platt"], "platt val_scores"),
    "too few validations": ("ok", ["scores=[scores.tsv,scores.tsv]", "val_scores=scores.tsv"], "val_scores 1_table"),
    "uneven seeds": ("ok", ["against=[scores.tsv,scores.tsv]"], "against 2_tables"),
    "validation of one": ("ok", ["against=scores.tsv", "val_scores=scores.tsv"], "against_val val_scores"),
    "no resamples": ("ok", ["against=scores.tsv", "report.resamples=0"], "against report.resamples"),
    "a pair less": ("ok", ["against=fewer.tsv"], "fewer.tsv not_scored_here"),
    "a pair more": (table(drawn(60)[:1]), ["against=fewer.tsv"], "fewer.tsv first_table_has_not"),
    "resamples": ("ok", ["report.resamples=-1"], "report.resamples -1"),
    "level": ("ok", ["report.level=95"], "report.level 95"),
    "output not empty": ("ok", ["output=full"], "full exists_already"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_ends_with_one_message_and_no_file(name: str, cli: Run, tmp_path: Path) -> None:
    text, options, words = MISTAKES[name]
    (tmp_path / "scores.tsv").write_text(table(drawn(60)) if text == "ok" else text)
    (tmp_path / "fewer.tsv").write_text(table(drawn(60)[:-1]))
    (tmp_path / "unlabelled.tsv").write_text("P1\tP2\n")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    before = sorted(tmp_path.rglob("*"))
    outcome = cli(["evaluate", "scores=scores.tsv", "output=out", "report.resamples=2", *options], tmp_path)
    assert outcome.code == 2, outcome
    assert sorted(tmp_path.rglob("*")) == before
    (message,) = (line for line in outcome.err.splitlines() if "error: " in line)
    for word in words.split():
        assert word.replace("_", " ") in message or word in message, f"{word!r} is not in: {message}"


def test_a_hostile_name_stays_text(cli: Run, tmp_path: Path) -> None:
    name = "<script>x<b>"
    (_, *rest), *rows = drawn(30)
    (tmp_path / f"{name}.tsv").write_text(table([("<script>y", *rest), *rows]))
    (tmp_path / "train.tsv").write_text(f"<script>y\t{rest[0]}\t1\n")
    words = [f"scores='{name}.tsv'", "train_pairs=train.tsv", "output=out", "report.resamples=2"]
    outcome = cli(["evaluate", *words], tmp_path)
    assert outcome.code == 0, outcome.err
    page = (tmp_path / "out" / "report.html").read_text()
    assert "<script" not in page
    assert "&lt;script&gt;x&lt;b&gt;" in page


# --- in the reports of train and predict


def test_a_run_says_what_it_was_audited_for_and_how_sure_its_numbers_are(trained: Path) -> None:
    found = json.loads((trained / "metrics.json").read_text())
    for split in ("val", "test"):
        summary = found["evaluation"][split]
        assert summary["resamples"] == 200
        for kind, metrics in found[split].items():
            numbers = summary["families"]["protein"][kind]
            assert {name: numbers[name] for name in metrics} == metrics
            for baseline, by_class in found["baselines"][split].items():
                again = numbers["baselines"][baseline]
                assert {name: again[name] for name in ("auroc", "aupr")} == by_class[kind]
    page = (trained / "report.html").read_text()
    audit = json.loads((trained / "audit.json").read_text())
    assert all(
        finding["check"].replace("_", " ") in page for finding in audit["findings"] if finding["severity"] == "show"
    )
    card = json.loads((trained / "model" / "card.json").read_text())
    assert "evaluation" not in card["metrics"]
    assert len(json.dumps(card)) < 12_000


@pytest.mark.parametrize("pairs", [False, True])
def test_predictions_of_labelled_pairs_have_a_report(
    pairs: bool, world: Any, trained: Path, cli: Run, warm: Path
) -> None:
    given = [f"train_pairs={world.train}"] if pairs else []
    assert cli(world.prediction(trained / "model", "output=s.tsv.gz", *given), warm).code == 0
    found = json.loads((warm / "s.metrics.json").read_text())
    run = json.loads((trained / "metrics.json").read_text())
    baselines = found["evaluation"]["families"]["protein"]["C1"]["baselines"]
    assert set(baselines) == (set(run["baselines"]["test"]) if pairs else {"degree oracle"})
    for name, values in baselines.items():
        told = run["baselines"]["test"][name]["C1"]
        assert {metric: values[metric] for metric in told} == pytest.approx(told, abs=1e-6)
    page = (warm / "s.report.html").read_text()
    assert json.loads((trained / "model" / "card.json").read_text())["encoder"]["sha256"] in page
    assert f"{run['test']['all']['auroc']:.3f}" in page


def test_training_proteins_without_sequences_leave_out_the_baselines_of_features(
    world: Any, trained: Path, cli: Run, warm: Path
) -> None:
    (warm / "train.tsv").write_text(world.train.read_text() + "ELSEWHERE\tP00\t1\n")
    outcome = cli(world.prediction(trained / "model", "output=s.tsv", "train_pairs=train.tsv"), warm)
    assert outcome.code == 0, outcome.err
    baselines = json.loads((warm / "s.metrics.json").read_text())["evaluation"]["families"]["protein"]["all"][
        "baselines"
    ]
    assert set(baselines) == {"degree oracle", "degree in training", "positive ratio in training"}


def test_of_a_repeated_pair_one_row_is_measured_and_none_of_one_with_both_labels(
    world: Any, trained: Path, cli: Run, warm: Path
) -> None:
    rows = "P00\tP01\t1\nP01\tP00\t1\nP02\tP03\t0\nP02\tP04\t1\nP04\tP02\t0\n"
    (warm / "pairs.tsv").write_text(rows)
    outcome = cli(world.prediction(trained / "model", "pairs=pairs.tsv", "output=s.tsv"), warm)
    assert "2 of 5 rows were measured" in outcome.err
    assert len((warm / "s.tsv").read_text().splitlines()) == 6  # every row is scored all the same
    found = json.loads((warm / "s.metrics.json").read_text())
    assert found["all"]["n"] == 2
    assert (found["rows"]["repeated"], found["rows"]["both_labels"]) == (1, 2)
    assert (
        "1 of a pair that stands above already, in either order, 2 of pairs with both labels"
        in (warm / "s.report.html").read_text()
    )


@pytest.mark.slow
def test_a_control_says_so_everywhere(world: Any, warm: Path, cli: Run) -> None:
    for control in ("labels", "rewire"):
        outcome = cli(world.training("model=dpm", "epochs=1", f"control={control}", "partner_shuffle=true"), warm)
        assert outcome.code == 0, outcome.err
        (run,) = (warm / "runs").glob(f"*/*-dpm-control-{control}")
        assert "A control, no result" in outcome.err
        assert "A control, no result" in outcome.out
        assert "A control, no result" in (run / "report.html").read_text()
        found = json.loads((run / "metrics.json").read_text())
        assert found["control"] == control
        assert 0 <= found["partner_shuffle"]["test"]["auroc"] <= 1
        assert "Shuffle test" in (run / "report.html").read_text()
        predicted = cli(world.prediction(run / "model", f"output={control}.tsv"), warm)
        assert "This model is a control" in predicted.err


@pytest.mark.slow
def test_controls_fall_to_chance_where_the_model_learns(cli: Run, tmp_path: Path) -> None:
    def auroc(control: str) -> float:
        words = [
            f"control={control}",
            f"run_dir=run_{control}",
            "epochs=12",
            "report.resamples=0",
            "data.homology.engine=none",
        ]
        outcome = cli(["train", "model=dpm", "trainer.accelerator=cpu", "features.device=cpu", *words], tmp_path)
        assert outcome.code == 0, outcome.err
        return json.loads((tmp_path / f"run_{control}" / "metrics.json").read_text())["test"]["all"]["auroc"]

    assert auroc("null") > 0.7
    assert 0.4 < auroc("labels") < 0.6
    assert 0.4 < auroc("rewire") < 0.62
