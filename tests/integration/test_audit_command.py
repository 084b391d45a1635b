"""``esm2-amp audit`` finds each fault planted into the demo, with its counts, and is silent on the clean demo."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from esm2_amp.io.fasta import read_fasta

DEMO = Path(__file__).parents[2] / "datasets" / "demo"
Row = tuple[str, str, int]
SPLITS = ("train", "val", "test")


@dataclass
class Twin:
    """The demo's files, in memory, to be spoilt; rows of a split are (a, b, label)."""

    rows: dict[str, list[Row]]
    proteins: dict[str, str]

    def write(self, folder: Path) -> list[str]:
        """Files and the command that audits them."""
        for name, rows in self.rows.items():
            text = "".join(f"{a}\t{b}\t{label}\n" for a, b, label in rows)
            (folder / f"{name}.tsv").write_text(f"protein_a\tprotein_b\tlabel\n{text}")
        (folder / "proteins.fasta").write_text("".join(f">{name}\n{text}\n" for name, text in self.proteins.items()))
        files = [f"{name}={name}.tsv" for name in self.rows]
        return ["audit", "fasta=proteins.fasta", *files, "output=audit", "threads=1"]


@pytest.fixture
def twin() -> Twin:
    files = dict(zip(SPLITS, ("train", "val", "test_c3"), strict=True))
    rows = {}
    for name, file in files.items():
        lines = (line.split("\t") for line in (DEMO / f"{file}.tsv").read_text().splitlines()[1:])
        rows[name] = [(a, b, int(label)) for a, b, label in lines]
    return Twin(rows, {protein.id: protein.sequence for protein in read_fasta(DEMO / "proteins.fasta")})


@pytest.fixture
def audited(tmp_path: Path, cli: Callable[..., Any]) -> Callable[..., tuple[Any, dict[str, Any]]]:
    """``audited(twin, *options)``: how the command ended, and its audit.json; homology only where asked for."""

    def run(twin: Twin, *options: str, engine: str = "none") -> tuple[Any, dict[str, Any]]:
        outcome = cli([*twin.write(tmp_path), f"homology.engine={engine}", *options], tmp_path)
        return outcome, json.loads((tmp_path / "audit" / "audit.json").read_text())

    return run


def told(audit: dict[str, Any]) -> dict[tuple[str, str], tuple[str, int]]:
    """(severity, count) of what is not in order, by check and splits."""
    return {
        (f["check"], " ".join(f["splits"])): (f["severity"], f["count"])
        for f in audit["findings"]
        if f["severity"] != "ok"
    }


@pytest.mark.parametrize("engine", ["kmers", "mmseqs"])
def test_the_clean_demo_is_silent(twin: Twin, audited: Any, engine: str) -> None:
    if engine == "mmseqs" and shutil.which("mmseqs") is None:
        pytest.skip("MMseqs2 is not installed")
    outcome, audit = audited(twin, "declared=c3", engine=engine)
    assert outcome.code == 0
    assert told(audit) == {}
    assert audit["verdict"] == "clean"
    assert audit["homology"]["engine"] == engine
    assert "nothing found" in outcome.out
    assert audit["homology"]["version"]
    classes = {f["splits"][0]: f["figures"]["by_protein"] for f in audit["findings"] if f["check"] == "pair_classes"}
    assert classes == {"val": {"C1": 0, "C2": 0, "C3": 400}, "test": {"C1": 0, "C2": 0, "C3": 400}}


def known_negative(twin: Twin) -> tuple[int, Row]:
    return next((i, row) for i, row in enumerate(twin.rows["train"]) if row[2] == 0)


@pytest.mark.parametrize("way", ["as it is", "swapped", "renamed"])
def test_a_pair_of_training_in_the_test_blocks(twin: Twin, audited: Any, way: str) -> None:
    at, (a, b, label) = known_negative(twin)
    if way == "renamed":
        twin.proteins |= {"NEW1": twin.proteins[a], "NEW2": twin.proteins[b]}
        a, b = "NEW1", "NEW2"
    twin.rows["test"][7] = (b, a, label) if way == "swapped" else (a, b, label)
    outcome, audit = audited(twin)
    assert outcome.code == 2
    assert told(audit) == {
        ("shared_pairs", "train test"): ("block", 1),
        ("shared_sequences", "train test"): ("show", 2),
    }
    (finding,) = (f for f in audit["findings"] if f["check"] == "shared_pairs" and f["count"])
    assert finding["figures"]["other_order"] == (way == "swapped")
    (example,) = finding["examples"]
    assert (example["file"], example["line"]) == ("test.tsv", 9)
    assert f"line {at + 2} of train" in example["what"]
    assert "test.tsv, line 9" in outcome.err
    shared = next(f for f in audit["findings"] if f["check"] == "shared_sequences" and f["count"])
    assert shared["figures"]["renamed"] == (2 if way == "renamed" else 0)


def test_a_pair_with_both_labels_blocks(twin: Twin, audited: Any) -> None:
    a, b, label = twin.rows["train"][5]
    twin.rows["train"].append((b, a, 1 - label))
    outcome, audit = audited(twin, "declared=c3")
    assert outcome.code == 2
    assert told(audit) == {("label_conflicts", "train"): ("block", 2)}
    outcome, audit = audited(twin, "declared=c3", "conflicts=drop", "output=second")
    assert outcome.code == 0


def test_a_pair_with_another_label_in_validation_blocks(twin: Twin, audited: Any) -> None:
    a, b, label = known_negative(twin)[1]
    twin.rows["val"][0] = (b, a, 1 - label)
    _, audit = audited(twin)
    assert told(audit) == {
        ("shared_pairs", "train val"): ("block", 1),
        ("label_conflicts", "train val"): ("block", 1),
        ("shared_sequences", "train val"): ("show", 2),
    }


@pytest.mark.parametrize(("declared", "severity", "code"), [("c3", "block", 2), ("null", "show", 0), ("c2", "", 0)])
def test_a_renamed_protein_of_training_contradicts_c3(
    twin: Twin, audited: Any, declared: str, severity: str, code: int
) -> None:
    held = twin.rows["test"][0][0]
    twin.proteins[held] = twin.proteins[twin.rows["train"][0][0]]
    outcome, audit = audited(twin, f"declared={declared}")
    assert outcome.code == code
    assert told(audit) == ({("shared_sequences", "train test"): (severity, 1)} if severity else {})


def test_a_repeated_pair_is_shown(twin: Twin, audited: Any) -> None:
    a, b, label = twin.rows["val"][3]
    twin.rows["val"] += [(b, a, label), (a, b, label)]
    outcome, audit = audited(twin, "declared=c3")
    assert outcome.code == 0
    assert told(audit) == {("repeated_pairs", "val"): ("show", 2)}


def test_a_self_pair_and_an_unknown_protein(twin: Twin, audited: Any) -> None:
    a = twin.rows["train"][0][0]
    twin.rows["train"] += [(a, a, 1), (a, "NOBODY", 0)]
    _, audit = audited(twin, "declared=c3")
    assert told(audit) == {("self_pairs", "train"): ("show", 1), ("unknown_proteins", "train"): ("block", 1)}


def test_proteins_in_negatives_only_are_shown(twin: Twin, audited: Any) -> None:
    rng = np.random.default_rng(0)
    known = sorted({name for row in twin.rows["train"] for name in row[:2]})
    for i in range(20):
        twin.proteins[f"DECOY{i}"] = "".join(rng.choice(list("ACDEFGHIKLMNPQRSTVWY"), 200))
        twin.rows["train"] += [(f"DECOY{i}", name, 0) for name in rng.choice(known, 4, replace=False)]
    _, audit = audited(twin, "declared=c3")
    assert {key for key in told(audit) if key[0] != "column_order"} == {("one_class_proteins", "train")}
    assert told(audit)["one_class_proteins", "train"] == ("show", 20)


def test_negatives_of_other_degrees_than_positives_are_shown(twin: Twin, audited: Any) -> None:
    """Each protein keeps both classes, but some are in many negatives and few positives, and the reverse."""
    rng = np.random.default_rng(1)
    names = sorted({name for row in twin.rows["train"] for name in row[:2]})
    often = set(names[: len(names) // 2])
    hubs = [(a in often) + (b in often) for a, b, _ in twin.rows["train"]]
    share = [0.1 + 0.4 * (count if row[2] else 2 - count) for row, count in zip(twin.rows["train"], hubs, strict=True)]
    twin.rows["train"] = [row for row, p in zip(twin.rows["train"], share, strict=True) if rng.random() < p]
    _, audit = audited(twin, "declared=c3")
    assert list(told(audit)) == [("degree", "train")]


def test_positives_that_keep_to_a_column_are_shown(twin: Twin, audited: Any) -> None:
    for name in SPLITS:
        twin.rows[name] = [(min(a, b), max(a, b), label) if label else (a, b, label) for a, b, label in twin.rows[name]]
    _, audit = audited(twin, "declared=c3")
    assert {key[0] for key in told(audit)} == {"column_order"}
    assert ("column_order", "train") in told(audit)


def test_a_homologue_across_the_split_is_shown_and_blocks_where_strict(twin: Twin, audited: Any) -> None:
    rng = np.random.default_rng(2)
    letters = list(twin.proteins[twin.rows["train"][0][0]])
    for i in rng.choice(len(letters), round(0.3 * len(letters)), replace=False):
        letters[i] = rng.choice([letter for letter in "ACDEFGHIKLMNPQRSTVWY" if letter != letters[i]])
    held = twin.rows["test"][0][0]
    twin.proteins[held] = "".join(letters)
    outcome, audit = audited(twin, "declared=c3", engine="kmers")
    assert outcome.code == 0
    assert list(told(audit)) == [("homology", "test")]
    finding = next(f for f in audit["findings"] if f["check"] == "homology" and f["severity"] == "show")
    assert abs(finding["figures"]["max_identity"] - 0.7) < 0.03
    assert held in finding["examples"][0]["what"]
    assert twin.rows["train"][0][0] in finding["examples"][0]["what"]
    by_cluster = next(f for f in audit["findings"] if f["check"] == "pair_classes" and f["splits"] == ["test"])
    assert by_cluster["figures"]["by_cluster"]["C2"] >= sum(held in row[:2] for row in twin.rows["test"])
    outcome, audit = audited(twin, "declared=c3", "strict=true", "output=strict", engine="kmers")
    assert outcome.code == 2


def test_one_list_without_splits_is_audited(twin: Twin, audited: Any) -> None:
    twin.rows = {"train": twin.rows["train"]}
    outcome, audit = audited(twin, engine="auto")
    assert outcome.code == 0
    assert audit["verdict"] == "clean"
    assert audit["homology"] is None


def test_a_folder_with_content_is_not_written_to(twin: Twin, audited: Any, tmp_path: Path) -> None:
    (tmp_path / "audit").mkdir()
    (tmp_path / "audit" / "audit.json").write_text("{}")
    outcome, _ = audited(twin)
    assert outcome.code == 2
    assert (tmp_path / "audit" / "audit.json").read_text() == "{}"


def test_several_test_files_keep_their_names_and_lines(twin: Twin, audited: Any) -> None:
    rows = twin.rows.pop("test")
    a, b, label = twin.rows["train"][0]
    twin.rows |= {"easy": rows[:200], "hard": [*rows[200:], (a, b, label)]}
    command = twin.write
    twin.write = lambda folder: [  # type: ignore[method-assign]
        *(word for word in command(folder) if not word.startswith(("easy", "hard"))), "test=[easy.tsv,hard.tsv]",
    ]  # fmt: skip
    _, audit = audited(twin)
    assert list(audit["splits"]) == ["train", "val", "easy", "hard"]
    (finding,) = (f for f in audit["findings"] if f["check"] == "shared_pairs" and f["count"])
    assert finding["splits"] == ["train", "hard"]
    assert finding["examples"][0]["line"] == 202


# --- before every training


def test_a_training_keeps_its_audit_and_says_what_is_doubtful(world: Any, warm: Path, cli: Callable[..., Any]) -> None:
    outcome = cli(world.training("model=dpm", "epochs=1", "run_dir=run"), warm)
    assert outcome.code == 0, outcome.err
    audit = json.loads((warm / "run" / "audit.json").read_text())
    assert audit["verdict"] == "doubtful"
    assert ("shared_sequences", "train val") in told(audit)
    assert audit["homology"]["identity"] == 0.4
    assert "shared_sequences: " in outcome.err
    assert "Audit: doubtful" in (warm / "run" / "train.log").read_text()


@pytest.mark.parametrize("options", [["data.declared=c3"], ["data.declared=c2"]])
def test_a_training_that_contradicts_its_declaration_is_refused(
    options: list[str], world: Any, warm: Path, cli: Callable[..., Any]
) -> None:
    before = sorted(path.name for path in warm.iterdir())
    outcome = cli(world.training("model=dpm", "epochs=1", "run_dir=run", *options), warm)
    assert outcome.code == 2
    assert str(world.val) in outcome.err
    assert "esm2-amp audit" in outcome.err
    assert sorted(path.name for path in warm.iterdir()) == before


def test_a_training_on_a_validation_pair_is_refused(world: Any, warm: Path, cli: Callable[..., Any]) -> None:
    a, b, label = world.train.read_text().splitlines()[1].split("\t")
    (warm / "val.tsv").write_text(world.val.read_text() + f"{b}\t{a}\t{label}\n")
    outcome = cli(world.training("model=dpm", "epochs=1", "run_dir=run", "data.val=val.tsv"), warm)
    assert outcome.code == 2
    assert "1 pair of val stands in train too" in outcome.err
    assert f"line {len((warm / 'val.tsv').read_text().splitlines())}" in outcome.err


def test_a_search_that_nobody_asked_for_does_not_hold_up_a_training(
    world: Any, warm: Path, cli: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("esm2_amp.tasks.audit.PATIENCE", 0.0)
    outcome = cli(world.training("model=dpm", "epochs=1", "run_dir=run"), warm)
    assert outcome.code == 0
    assert "Homologues were not searched" in outcome.err
    assert json.loads((warm / "run" / "audit.json").read_text())["homology"] is None
