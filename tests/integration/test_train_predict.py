"""Training and predicting through the command line, as people run them."""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

ROOT = Path(__file__).parents[2]
SLOW = ("amp_cse", "gru")
RUN_FILES = {
    "config.yaml", "metrics.json", "metrics.csv", "history.csv", "train.log",
    "predictions/val.tsv", "predictions/test.tsv",
    "model/card.json", "model/model.safetensors", "model/training_sequences.txt",
    "report.html", "audit.json",
}  # fmt: skip
BASELINES = {
    "degree oracle", "degree in training", "positive ratio in training", "additive model", "nearest training pair",
}  # fmt: skip
Run = Callable[..., Any]


def rows(file: Path, delimiter: str = "\t") -> list[dict[str, str]]:
    """A table as a list of rows by column name, plain or gzip."""
    data = file.read_bytes()
    text = (gzip.decompress(data) if file.suffix == ".gz" else data).decode()
    return list(csv.DictReader(text.splitlines(), delimiter=delimiter))


def metrics(run: Path) -> Any:
    return json.loads((run / "metrics.json").read_text())


def done(outcome: Any) -> Any:
    assert outcome.code == 0, outcome.err
    return outcome


def files_below(folder: Path) -> set[str]:
    return {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}


# --- the run folder


@pytest.mark.parametrize("model", ["dpm", "amps", *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)])
def test_training_fills_the_run_folder(model: str, world: Any, warm: Path, cli: Run) -> None:
    outcome = done(cli(world.training(f"model={model}", "epochs=1", "run_dir=a/run"), warm))
    run = warm / "a" / "run"
    assert files_below(run) >= RUN_FILES
    assert "0 computed" in outcome.err  # the features were there
    found = metrics(run)
    assert set(found["test"]) == {"all", "C1", "C2", "C3"}
    assert {kind: found["test"][kind]["n"] for kind in found["test"]} == {"all": 28, "C1": 10, "C2": 10, "C3": 8}
    assert set(found["val"]) == {"all", "C1", "C2"}
    assert set(found["baselines"]["test"]) == BASELINES
    assert found["baselines"]["test"]["degree in training"]["C3"]["auroc"] == 0.5  # it knows nothing of these
    card = json.loads((run / "model" / "card.json").read_text())
    assert (card["network"], card["width"]) == (model, 32)
    assert card["threshold"] == found["threshold"]
    page = (run / "report.html").read_text()
    assert f"{found['test']['all']['auroc']:.3f}" in page
    assert card["encoder"]["sha256"] in page
    assert hashlib.sha256(world.train.read_bytes()).hexdigest() in page
    assert 100_000 < len(page) < 400_000


def test_a_run_leaves_the_environment_as_it_was(world: Any, warm: Path, cli: Run) -> None:
    before = {name: value for name, value in os.environ.items() if "ESM2_AMP" in name}
    done(cli(world.training("model=dpm", "epochs=1", "run_dir=run"), warm))
    assert {name: value for name, value in os.environ.items() if "ESM2_AMP" in name} == before == {}


def test_the_tables_of_a_run_agree_with_each_other(trained: Path, world: Any) -> None:
    found = metrics(trained)
    table = {(r["split"], r["class"], r["metric"]): r["value"] for r in rows(trained / "metrics.csv", ",")}
    for split in ("val", "test"):
        for kind, values in found[split].items():
            expected = {name: "" if value is None else str(value) for name, value in values.items()}
            assert {name: table[split, kind, name] for name in values} == expected
    history = rows(trained / "history.csv", ",")
    assert [int(row["epoch"]) for row in history] == [0, 1]
    assert found["fit"]["epochs"] == 2
    assert float(history[found["fit"]["best_epoch"]]["val/aupr"]) == pytest.approx(found["fit"]["best_aupr"])
    test = rows(trained / "predictions" / "test.tsv")
    given = rows(world.test)
    assert [(r["protein_a"], r["protein_b"], r["label"]) for r in test] == [tuple(r.values()) for r in given]
    log = (trained / "train.log").read_text()
    assert "epoch   1" in log
    assert "INFO" in log


@pytest.mark.parametrize("batch_size", [1, 5, 64])
def test_the_best_validation_score_is_that_of_the_kept_model(batch_size: int, world: Any, warm: Path, cli: Run) -> None:
    from sklearn.metrics import average_precision_score

    done(cli(world.training("model=dpm", "run_dir=run", f"batch_size={batch_size}"), warm))
    val, found = rows(warm / "run" / "predictions" / "val.tsv"), metrics(warm / "run")
    aupr = average_precision_score([int(r["label"]) for r in val], [float(r["probability"]) for r in val])
    assert found["val"]["all"]["aupr"] == pytest.approx(aupr, abs=1e-6)
    assert found["fit"]["best_aupr"] == pytest.approx(aupr, abs=1e-6)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_run_and_another_seed_another(
    world: Any, warm: Path, cli: Run, trained: Path
) -> None:
    done(cli(world.training("model=dpm", "run_dir=again"), warm))
    done(cli(world.training("model=dpm", "run_dir=other", "seed=1"), warm))
    assert metrics(warm / "again") == metrics(trained)
    assert metrics(warm / "other")["test"] != metrics(trained)["test"]
    for name, tensor in load_file(warm / "again" / "model" / "model.safetensors").items():
        assert tensor.equal(load_file(trained / "model" / "model.safetensors")[name]), name


@pytest.mark.slow
def test_a_sweep_makes_one_run_folder_for_each_choice(world: Any, warm: Path, cli: Run) -> None:
    done(cli(world.training("-m", "model=dpm,gru", "epochs=1"), warm))
    runs = sorted((warm / "runs").glob("*/*"))
    assert sorted(run.name.split("-")[3] for run in runs) == ["dpm", "gru"]
    assert all(files_below(run) >= RUN_FILES for run in runs)
    assert {path.name for path in warm.iterdir()} == {"runs", "features"}  # and nothing of Hydra's own


@pytest.mark.slow
def test_two_runs_in_one_second_do_not_meet(world: Any, warm: Path, cli: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("esm2_amp.tasks.run_folder.time.strftime", lambda form: "now")
    for _ in range(2):
        done(cli(world.training("model=dpm", "epochs=1"), warm))
    assert sorted(run.name for run in (warm / "runs" / "now").iterdir()) == ["now-dpm", "now-dpm-2"]


def test_training_without_test_pairs(world: Any, warm: Path, cli: Run) -> None:
    done(cli(world.training("model=dpm", "epochs=1", "run_dir=run", "data.test=null"), warm))
    assert "test" not in metrics(warm / "run")
    assert not (warm / "run" / "predictions" / "test.tsv").exists()
    assert "val: how well" in (warm / "run" / "report.html").read_text()


def test_several_test_files_are_one_test(world: Any, warm: Path, cli: Run, trained: Path) -> None:
    head, *body = world.test.read_text().splitlines(keepends=True)
    (warm / "one.tsv").write_text(head + "".join(body[:10]))
    (warm / "two.tsv").write_text(head + "".join(body[10:]))
    done(cli(world.training("model=dpm", "run_dir=run", "data.test=[one.tsv,two.tsv]"), warm))
    assert metrics(warm / "run")["test"] == metrics(trained)["test"]


def test_rows_that_policies_drop_are_counted_and_listed(world: Any, warm: Path, cli: Run) -> None:
    (a, b), train = ("P00", "P01"), world.train.read_text()
    (warm / "train.tsv").write_text(f"{train}NOBODY\tP01\t1\n{a}\tP39\t0\nP39\t{a}\t1\n{b}\t{b}\t1\n{b}\t{b}\t1\n")
    extra = ("data.train=train.tsv", "data.unknown=drop", "data.conflicts=drop")
    done(cli(world.training("model=dpm", "epochs=1", "run_dir=run", *extra), warm))
    assert metrics(warm / "run")["issues"]["train"] == {
        "unknown_protein": 1, "conflicting_label": 2, "self_pair": 1, "repeated_pair": 1,
    }  # fmt: skip
    kinds = [row["kind"] for row in rows(warm / "run" / "issues_train.tsv")]
    assert kinds == ["unknown_protein", "conflicting_label", "conflicting_label", "self_pair", "repeated_pair"]


def test_a_run_that_was_killed_before_its_last_file_is_finished_by_resume(
    world: Any, warm: Path, cli: Run, trained: Path
) -> None:
    run = warm / "run"
    shutil.copytree(trained, run)
    (run / "metrics.json").unlink()  # written last
    done(cli(world.training("model=dpm", "run_dir=run", "resume=true"), warm))
    assert metrics(run) == metrics(trained)


# --- calibration


@pytest.fixture
def learnable(world: Any, warm: Path, cli: Run) -> Callable[[str], list[str]]:
    """``learnable(calibration)``: a training of one epoch that ranks its validation pairs well, though not perfectly.

    Their labels are made from what such a training says of them; one epoch ends with the same weights whatever they
    are.
    """

    def command(calibration: str, val: Path) -> list[str]:
        options = (f"calibration={calibration}", f"data.val={val}", f"run_dir={calibration}")
        return world.training("model=dpm", "epochs=1", *options)

    done(cli(command("none", world.val), warm))
    said = rows(warm / "none" / "predictions" / "val.tsv")
    order = sorted(range(len(said)), key=lambda i: float(said[i]["probability"]))
    label = {i: int((rank >= 12) != (rank % 4 == 1)) for rank, i in enumerate(order)}
    pairs = (f"{row['protein_a']}\t{row['protein_b']}\t{label[i]}\n" for i, row in enumerate(said))
    (warm / "val.tsv").write_text("".join(pairs))
    shutil.rmtree(warm / "none")
    return lambda calibration: command(calibration, warm / "val.tsv")


def calibrated(card: Any, rows_of_the_network: list[dict[str, str]]) -> list[float]:
    """What a temperature, Platt or beta calibration makes of the network's own probabilities."""
    numbers = card["calibration"]
    low, high = (numbers.get(name, numbers.get("slope")) for name in ("slope_low", "slope_high"))
    own = [float(row["probability"]) for row in rows_of_the_network]
    return [1 / (1 + math.exp(-numbers.get("intercept", 0)) * (1 - p) ** high / p**low) for p in own]


@pytest.mark.slow
def test_calibration_changes_probabilities_and_not_their_order(learnable: Any, warm: Path, cli: Run) -> None:
    def run(method: str) -> tuple[Any, Any, dict[str, Any]]:
        assert ("calibrated" in done(cli(learnable(method), warm)).out) == (method != "none")
        tables = {split: rows(warm / method / "predictions" / f"{split}.tsv") for split in ("val", "test")}
        return metrics(warm / method), json.loads((warm / method / "model" / "card.json").read_text()), tables

    own, own_card, own_tables = run("none")
    assert own_card["calibration"] == {"method": "none"}
    for method in ("temperature", "platt", "beta"):
        found, card, tables = run(method)
        assert card["calibration"]["method"] == method
        for split in ("val", "test"):
            values = [float(row["probability"]) for row in tables[split]]
            assert values == pytest.approx(calibrated(card, own_tables[split]), abs=1e-5)
            told = found["calibration"][split]
            for when, expected in (("before", own), ("after", found)):
                assert told[when] == {name: expected[split]["all"][name] for name in ("brier", "ece")}
            for kind in own[split]:
                ranking = [own[split][kind][name] for name in ("auroc", "aupr")]
                assert [found[split][kind][name] for name in ("auroc", "aupr")] == pytest.approx(ranking, abs=1e-12)
        assert found["calibration"]["val"]["after"]["brier"] < own["val"]["all"]["brier"]
        # the threshold is one of calibrated probabilities, and calls the same pairs positive
        assert card["threshold"] == found["threshold"] != own["threshold"]
        assert [float(row["probability"]) >= found["threshold"] for row in tables["val"]] == [
            float(row["probability"]) >= own["threshold"] for row in own_tables["val"]
        ]


def test_a_model_from_before_calibration_still_predicts(learnable: Any, world: Any, warm: Path, cli: Run) -> None:
    done(cli(learnable("platt"), warm))
    file = warm / "platt" / "model" / "card.json"
    card = json.loads(file.read_text())
    done(cli(world.prediction("platt/model", "output=new.tsv"), warm))
    file.write_text(json.dumps({**card, "calibration": {"method": "none"}}))
    done(cli(world.prediction("platt/model", "output=old.tsv"), warm))
    new = [float(row["probability"]) for row in rows(warm / "new.tsv")]
    assert new == pytest.approx(calibrated(card, rows(warm / "old.tsv")), abs=1e-5)
    assert new == [float(row["probability"]) for row in rows(warm / "platt" / "predictions" / "test.tsv")]


def test_too_few_validation_pairs_to_calibrate_are_told(world: Any, warm: Path, cli: Run) -> None:
    (warm / "val.tsv").write_text("".join(world.val.read_text().splitlines(keepends=True)[:11]))
    outcome = done(cli(world.training("model=dpm", "epochs=1", "data.val=val.tsv", "run_dir=run"), warm))
    assert "Not calibrated, the probabilities are the network's own: in validation, 10 pairs are too few" in outcome.err
    assert json.loads((warm / "run" / "model" / "card.json").read_text())["calibration"] == {"method": "none"}


# --- predicting


@pytest.fixture
def predict(world: Any, trained: Path, cli: Run, warm: Path) -> Callable[..., list[dict[str, str]]]:
    """``predict(pairs, *options)``: rows that the trained DPM writes for a pair list; features are there."""

    def call(pairs: str, *options: str) -> list[dict[str, str]]:
        (warm / "pairs.tsv").write_text(pairs)
        done(cli(world.prediction(trained / "model", "pairs=pairs.tsv", "output=scores.tsv", *options), warm))
        return rows(warm / "scores.tsv")

    return call


def test_predicting_the_test_pairs_gives_the_probabilities_of_training(
    world: Any, trained: Path, cli: Run, warm: Path
) -> None:
    outcome = done(cli(world.prediction(trained / "model", "output=a/b/scores.tsv"), warm))
    scores, told = rows(warm / "a" / "b" / "scores.tsv"), rows(trained / "predictions" / "test.tsv")
    assert [row["probability"] for row in scores] == [row["probability"] for row in told]
    assert {row["status"] for row in scores} == {"ok"}
    assert "Computing" not in outcome.err
    auroc = metrics(trained)["val"]["all"]["auroc"]
    assert f"On its validation pairs this model reached an AUROC of {auroc:.3f}" in outcome.err
    found = json.loads((warm / "a" / "b" / "scores.metrics.json").read_text())
    expected = metrics(trained)["test"]
    assert found["unscored"] == 0
    for kind in ("all", "C1", "C2", "C3"):
        assert found[kind] == pytest.approx(expected[kind])


def test_every_row_comes_back_in_its_place(predict: Any, world: Any) -> None:
    given = [("P00", "P01"), ("P01", "P00"), ("P05", "P05"), ("NOBODY", "P01"), ("P00", "P01"), ("P00", "GHOST")]
    given += [("NOBODY", "GHOST"), ("P00", "P39"), ("GHOST", "GHOST")]
    scores = predict("".join(f"{a}\t{b}\n" for a, b in given))
    assert [(row["protein_a"], row["protein_b"]) for row in scores] == given
    swapped, again = scores[1], scores[4]
    assert scores[0]["probability"] == swapped["probability"] == again["probability"]
    assert [row["status"] for row in scores] == [
        "ok", "ok", "ok", "no sequence for NOBODY", "ok", "no sequence for GHOST",
        "no sequence for NOBODY and GHOST", "ok", "no sequence for GHOST",
    ]  # fmt: skip
    assert all((row["probability"] != "") == (row["status"] == "ok") for row in scores)


@pytest.mark.parametrize("name", ["scores.csv", "scores.csv.gz", "scores.tsv.gz"])
def test_the_output_is_what_its_name_says(name: str, world: Any, trained: Path, cli: Run, warm: Path) -> None:
    done(cli(world.prediction(trained / "model", f"output={name}"), warm))
    table = rows(warm / name, "," if ".csv" in name else "\t")
    assert list(table[0]) == ["protein_a", "protein_b", "probability", "status"]
    told = rows(trained / "predictions" / "test.tsv")
    assert [row["probability"] for row in table] == [row["probability"] for row in told]


def test_without_labels_there_are_scores_and_no_metrics(predict: Any, warm: Path, world: Any, trained: Path) -> None:
    bare = "".join(f"{row['protein_a']},{row['protein_b']}\n" for row in rows(world.test))
    scores = predict(bare)
    told = rows(trained / "predictions" / "test.tsv")
    assert [row["probability"] for row in scores] == [row["probability"] for row in told]
    assert not list(warm.glob("*.json"))


def test_rows_with_and_without_labels_may_stand_together(predict: Any, warm: Path) -> None:
    predict("protein_a\tprotein_b\tlabel\nP00\tP01\t1\nP00\tP02\t\nP03\tP02\t0\nGHOST\tP02\t1\n")
    found = json.loads((warm / "scores.metrics.json").read_text())
    assert (found["all"]["n"], found["unscored"]) == (2, 1)


def test_the_size_of_a_batch_does_not_matter(predict: Any, world: Any) -> None:
    one, many = (predict(world.test.read_text(), f"batch_size={n}") for n in (1, 256))
    assert [float(row["probability"]) for row in one] == pytest.approx([float(row["probability"]) for row in many])


def test_only_what_the_store_lacks_is_computed(world: Any, trained: Path, cli: Run, tmp_path: Path) -> None:
    def predicted(text: str, output: str) -> str:
        (tmp_path / "pairs.tsv").write_text(text)
        command = world.prediction(trained / "model", "pairs=pairs.tsv", f"output={output}")
        return done(cli(command, tmp_path)).err

    assert "features of 2 sequences" in predicted("P00\tP01\n", "one.tsv")
    assert "features of 1 sequences" in predicted("P00\tP01\nP02\tP00\n", "two.tsv")
    before = {file.name: file.stat().st_size for file in (tmp_path / "features").rglob("*")}
    assert "omputing" not in predicted("P02\tP01\n", "three.tsv")
    assert {file.name: file.stat().st_size for file in (tmp_path / "features").rglob("*")} == before


@pytest.mark.slow
def test_the_encoder_is_needed_only_for_what_is_new(world: Any, cli: Run, tmp_path: Path) -> None:
    encoder = tmp_path / "encoder"
    shutil.copytree(world.encoder, encoder)
    done(cli(world.training("model=dpm", "epochs=1", "run_dir=run", "encoder.path=encoder"), tmp_path))
    shutil.rmtree(encoder)
    done(cli(world.prediction("run/model", "output=scores.tsv"), tmp_path))
    assert len(rows(tmp_path / "scores.tsv")) == 28
    shutil.copytree(world.encoder, tmp_path / "moved")
    (tmp_path / "more.fasta").write_text(world.fasta.read_text() + ">NEW\nACDEFGHIKL\n")
    (tmp_path / "new.tsv").write_text("NEW\tP00\n")
    new = ("pairs=new.tsv", "fasta=more.fasta", "output=new_scores.tsv")
    assert cli(world.prediction("run/model", *new), tmp_path).code == 2
    done(cli(world.prediction("run/model", *new, "encoder.path=moved"), tmp_path))
    assert rows(tmp_path / "new_scores.tsv")[0]["status"] == "ok"


def test_python_gives_what_the_command_line_gives(world: Any, trained: Path, cli: Run, warm: Path) -> None:
    from esm2_amp import load_model

    text = world.test.read_text() + "GHOST\tP00\t1\n"
    (warm / "pairs.tsv").write_text(text)
    done(cli(world.prediction(trained / "model", "pairs=pairs.tsv", "output=scores.tsv"), warm))
    model = load_model(trained / "model")
    by_file = model.predict(warm / "pairs.tsv", world.fasta)
    pairs = [tuple(line.split("\t")[:2]) for line in text.splitlines()[1:]]
    records = world.fasta.read_text().split(">")[1:]
    sequences = {record.split()[0]: record.splitlines()[1] for record in records}
    by_values = model.predict(pairs, sequences)
    expected = rows(warm / "scores.tsv")
    for frame in (by_file, by_values):
        found = [
            {
                "protein_a": row.protein_a,
                "protein_b": row.protein_b,
                "probability": "" if row.probability != row.probability else f"{row.probability:.6g}",
                "status": row.status,
            }
            for row in frame.itertuples()
        ]
        assert found == expected


# --- extract, store


def test_extract_then_look_then_export(world: Any, trained: Path, cli: Run, tmp_path: Path) -> None:
    import numpy as np

    command = ["extract", f"fasta={world.fasta}", f"encoder.path={world.encoder}", "store=store", "features.device=cpu"]
    done(cli(command, tmp_path))
    assert "0 computed" in done(cli(command, tmp_path)).err
    assert "40" in done(cli(["store", "info", "store=store"], tmp_path)).out
    done(cli(["store", "export", "store=store", "output=all.npz"], tmp_path))
    (tmp_path / "two.fasta").write_text("".join(f">{r}" for r in world.fasta.read_text().split(">")[3:0:-2]))
    done(cli(["store", "export", "store=store", "output=two.npz", "fasta=two.fasta"], tmp_path))
    with np.load(tmp_path / "all.npz") as every, np.load(tmp_path / "two.npz") as two:
        assert every["tokens"].shape == (40, 13, 32)
        assert every["ids"].tolist() == [f"P{i:02}" for i in range(40)]
        assert two["ids"].tolist() == ["P02", "P00"]
        assert np.array_equal(two["tokens"], every["tokens"][[2, 0]])


# --- what helps and what is thin


@pytest.mark.parametrize("argv", [[], ["--help"], ["-h"], ["help"]])
def test_the_overview_names_every_task(argv: list[str], cli: Run, tmp_path: Path) -> None:
    from esm2_amp.tasks.cli import TASKS

    out = done(cli(argv, tmp_path)).out
    assert all(f"  {task} " in out and sentence in out for task, sentence in TASKS.items())


def test_the_configuration_can_be_shown_without_running(cli: Run, world: Any, tmp_path: Path) -> None:
    out = done(cli(world.training("model=gru", "--cfg", "job"), tmp_path)).out
    assert "name: gru" in out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_scripts_are_the_tasks(world: Any, tmp_path: Path) -> None:
    def script(name: str, argv: list[str]) -> None:
        command = [sys.executable, str(ROOT / name), *argv]
        ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stderr

    script("train.py", world.training("model=dpm", "epochs=1", "run_dir=run")[1:])
    script("predict.py", world.prediction("run/model", "output=scores.tsv")[1:])
    told = rows(tmp_path / "run" / "predictions" / "test.tsv")
    assert [row["probability"] for row in rows(tmp_path / "scores.tsv")] == [row["probability"] for row in told]


@pytest.mark.slow
@pytest.mark.parametrize(("argv", "code"), [(["--help"], 0), (["--version"], 0), (["predct"], 2), (["train", "x"], 2)])
def test_the_console_script_ends_with_the_right_code(argv: list[str], code: int, tmp_path: Path) -> None:
    program = Path(sys.executable).with_name("esm2-amp")
    if not program.exists():
        pytest.skip("the package is not installed")
    ended = subprocess.run([program, *argv], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == code
    assert "Traceback" not in ended.stderr
    assert (ended.stderr.startswith("error: ")) == (code == 2)
