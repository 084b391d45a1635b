"""``esm2-amp split``: every row in one place, parts as declared, the same seed the same bytes."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

DEMO = Path(__file__).parents[2] / "datasets" / "demo"
Table = list[dict[str, str]]


def rows(file: Path) -> Table:
    with file.open(newline="") as stream:
        return list(csv.DictReader(stream, delimiter="\t"))


@pytest.fixture
def split(tmp_path: Path, cli: Callable[..., Any]) -> Callable[..., Path]:
    def run(*options: str, pairs: str = str(DEMO / "train.tsv"), output: str = "split") -> Path:
        command = ["split", f"pairs={pairs}", f"fasta={DEMO / 'proteins.fasta'}", f"output={output}", "threads=1"]
        outcome = cli([*command, "homology.engine=kmers", *options], tmp_path)
        assert outcome.code == 0, outcome.err
        return tmp_path / output

    return run


def given(folder: Path, names: list[str]) -> Counter[tuple[str, str, str]]:
    """The rows of some files that were given, and how often."""
    found = [row for name in names for row in rows(folder / name) if row.get("source") != "sampled"]
    return Counter((row["protein_a"], row["protein_b"], row["label"]) for row in found)


def audit_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "audit.json").read_text())


@pytest.mark.parametrize("kind", ["proteins", "clusters", "random"])
def test_every_row_is_in_one_file(kind: str, split: Any, tmp_path: Path) -> None:
    body = (DEMO / "train.tsv").read_text()
    a, b, label = body.splitlines()[1].split("\t")
    body += f"NOBODY\t{a}\t1\n{b}\t{a}\t{label}\n{a}\t{a}\t1\n{a}\t{a}\t0\n"
    (tmp_path / "pairs.tsv").write_text(body)
    folder = split(f"kind={kind}", "unknown=drop", "conflicts=drop", "negatives.kind=uniform", pairs="pairs.tsv")
    parts = ["train.tsv", "val.tsv", "test.tsv", "left_out.tsv"]
    assert given(folder, parts) == Counter(tuple(line.split("\t")) for line in body.splitlines()[1:])
    out = rows(folder / "left_out.tsv")
    kinds = Counter(row["reason"].split(":")[0] for row in out)
    assert [kinds[k] for k in ("unknown protein", "repeated pair", "conflicting label")] == [1, 1, 2]
    assert len(kinds) == (3 if kind == "random" else 4)
    lines = body.splitlines()
    assert all(lines[int(row["line"]) - 1].split("\t")[0] == row["protein_a"] for row in out)
    card = json.loads((folder / "card.json").read_text())
    assert card["rows"]["given"] == len(lines) - 1
    assert card["rows"]["left_out"] == len(out)
    assert (card["clusters"] or {}).get("engine") == ("kmers" if kind == "clusters" else None)
    assert card["files"]["train.tsv"]["pairs"] == len(rows(folder / "train.tsv"))


@pytest.mark.parametrize("kind", ["proteins", "clusters"])
def test_disjoint_parts_pass_their_own_audit(kind: str, split: Any) -> None:
    folder = split(f"kind={kind}")
    audit = audit_of(folder)
    assert audit["declared"] == "c3"
    assert audit["verdict"] != "blocked"
    for finding in audit["findings"]:
        if finding["check"] == "pair_classes":
            assert (
                finding["figures"]["by_protein"]["C3"] == finding["figures"]["by_cluster"]["C3"] or kind == "proteins"
            )
    family = {row["id"]: row["family"] for row in rows(DEMO / "proteins.tsv")}
    parts = [
        {family[row[end]] for row in rows(folder / f"{name}.tsv") for end in ("protein_a", "protein_b")}
        for name in ("train", "val", "test")
    ]
    if kind == "clusters":
        shared = [len(one & other) for one, other in ((parts[0], parts[1]), (parts[0], parts[2]), (parts[1], parts[2]))]
        assert sum(shared) <= 3  # a family has a few members below 40 % identity


def test_the_seed_decides_every_byte(split: Any) -> None:
    options = ("negatives.kind=degree", "negatives.ratio=3")
    folders = [split(*options, f"seed={seed}", output=name) for seed, name in ((1, "a"), (1, "b"), (2, "c"))]
    contents = [{f.name: f.read_bytes() for f in folder.iterdir()} for folder in folders]
    assert contents[0] == contents[1]
    assert contents[0]["train.tsv"] != contents[2]["train.tsv"]


@pytest.mark.parametrize("kind", ["uniform", "degree"])
def test_drawn_negatives_are_new_pairs_of_their_own_part(kind: str, split: Any, tmp_path: Path) -> None:
    everything = [line.split("\t") for line in (DEMO / "train.tsv").read_text().splitlines()[1:]]
    positives = [(a, b) for a, b, label in everything if label == "1"]
    (tmp_path / "positives.tsv").write_text("".join(f"{a}\t{b}\n" for a, b in positives))
    folder = split(f"negatives.kind={kind}", "negatives.ratio=2", "kind=random", pairs="positives.tsv")
    known = {frozenset(pair) for pair in positives}
    seen = set()
    for name in ("train", "val", "test"):
        found = rows(folder / f"{name}.tsv")
        own = [row for row in found if row["source"] == "sampled"]
        pairs = [frozenset((row["protein_a"], row["protein_b"])) for row in own]
        assert {row["label"] for row in own} == {"0"}
        assert abs(len(own) - 2 * sum(row["label"] == "1" for row in found)) <= 5
        assert not known & set(pairs)
        assert all(len(pair) == 2 for pair in pairs)
        assert len(set(pairs)) == len(pairs)
        assert not seen & set(pairs)
        seen |= set(pairs)
    doubts = {f["check"] for f in audit_of(folder)["findings"] if f["severity"] == "show"}
    assert "degree" not in doubts or kind == "uniform"


def test_pairs_known_from_elsewhere_are_not_drawn(split: Any, tmp_path: Path) -> None:
    body = [line.split("\t") for line in (DEMO / "val.tsv").read_text().splitlines()[1:]]
    known = {frozenset(pair[:2]) for pair in body}
    for label, name in (("1", "positives"), ("0", "known")):
        (tmp_path / f"{name}.tsv").write_text("".join(f"{a}\t{b}\n" for a, b, kind in body if kind == label))
    options = ("kind=random", "ratios=[0.9,0.1]", "negatives.kind=uniform", "negatives.ratio=3")
    for more in ("null", "[known.tsv]"):
        folder = split(
            *options, f"negatives.known={more}", pairs="positives.tsv", output="without" if more == "null" else "with"
        )
        found = [row for name in ("train", "val") for row in rows(folder / f"{name}.tsv") if row["source"] == "sampled"]
        hits = sum(frozenset((row["protein_a"], row["protein_b"])) in known for row in found)
        assert (hits > 0) == (more == "null")


@pytest.mark.parametrize("fold_by", ["pairs", "proteins"])
def test_folds_measure_each_row_once_or_say_that_they_do_not(fold_by: str, split: Any) -> None:
    folder = split("kind=kfold", "folds=3", f"fold_by={fold_by}")
    held = [f"fold_{i}/val.tsv" for i in (1, 2, 3)]
    body = (DEMO / "train.tsv").read_text().splitlines()[1:]
    assert given(folder, [*held, "left_out.tsv"]) == Counter(tuple(line.split("\t")) for line in body)
    assert (len(rows(folder / "left_out.tsv")) == 0) == (fold_by == "pairs")
    for i in (1, 2, 3):
        assert audit_of(folder / f"fold_{i}")["declared"] == (None if fold_by == "pairs" else "c3")


MISTAKES = {
    "ratios": (["ratios=[0.5,0.6]"], "ratios 0.6"),
    "four parts": (["ratios=[0.4,0.2,0.2,0.2]"], "4 ratios"),
    "kind": (["kind=species"], "'species' clusters"),
    "fold_by": (["kind=kfold", "fold_by=x"], "fold_by 'x'"),
    "negatives": (["negatives.kind=all"], "'all' uniform"),
    "ratio": (["negatives.ratio=0"], "negatives.ratio 0"),
    "too many": (["negatives.kind=uniform", "negatives.ratio=1000"], "negatives only negatives.ratio"),
    "engine": (["homology.engine=blast"], "'blast'"),
    "threshold": (["homology.identity=40"], "identity 40"),
    "no fasta": (["fasta=nowhere.fasta"], "nowhere.fasta"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_said_and_nothing_is_written(name: str, tmp_path: Path, cli: Callable[..., Any]) -> None:
    options, words = MISTAKES[name]
    command = ["split", f"pairs={DEMO / 'val.tsv'}", f"fasta={DEMO / 'proteins.fasta'}", "output=out", *options]
    outcome = cli(command, tmp_path)
    assert outcome.code == 2
    assert [word for word in words.split() if word not in outcome.err] == []
    assert list(tmp_path.iterdir()) == []


def test_a_protein_without_a_sequence_is_refused_by_the_options_of_this_task(
    tmp_path: Path, cli: Callable[..., Any]
) -> None:
    (tmp_path / "pairs.tsv").write_text("SIM0001\tSIM0002\t1\nSIM0001\tNOBODY\t0\n")
    outcome = cli(["split", "pairs=pairs.tsv", f"fasta={DEMO / 'proteins.fasta'}", "output=out"], tmp_path)
    assert outcome.code == 2
    assert "pairs.tsv, line 2" in outcome.err
    assert " unknown=drop" in outcome.err


def test_labels_for_some_rows_only_are_refused(tmp_path: Path, cli: Callable[..., Any]) -> None:
    (tmp_path / "pairs.tsv").write_text("SIM0001\tSIM0002\t1\nSIM0001\tSIM0003\t\n")
    outcome = cli(["split", "pairs=pairs.tsv", f"fasta={DEMO / 'proteins.fasta'}", "output=out"], tmp_path)
    assert outcome.code == 2
    assert "pairs.tsv, line 2" in outcome.err
