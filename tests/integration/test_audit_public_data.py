"""The audit of two public benchmarks. Set PPI_DATA to a folder that holds bernett/ and yeast/ to run these tests."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow


def audited(name: str, files: dict[str, str], options: list[str], cli: Callable[..., Any], folder: Path) -> Any:
    """How the command ended, and the findings by check and splits."""
    data = Path(os.environ.get("PPI_DATA", "nowhere")) / name
    given = {key: data / file for key, file in files.items()}
    if not all(file.exists() for file in given.values()):
        pytest.skip("set PPI_DATA to a folder with this benchmark")
    outcome = cli(["audit", *(f"{key}={file}" for key, file in given.items()), "output=audit", *options], folder)
    audit = json.loads((folder / "audit" / "audit.json").read_text())
    return outcome, {(f["check"], " ".join(f["splits"])): f for f in audit["findings"]}


def test_bernett_is_disjoint_and_gives_nothing_away_by_degree(tmp_path: Path, cli: Callable[..., Any]) -> None:
    files = {"fasta": "proteins.fasta.gz", "train": "train.tsv.gz", "val": "val.tsv.gz"}
    outcome, found = audited("bernett", files, ["declared=c3"], cli, tmp_path)
    assert outcome.code == 0
    assert found["shared_sequences", "train val"]["count"] == 0
    assert found["shared_pairs", "train val"]["count"] == 0
    assert found["pair_classes", "val"]["figures"]["by_protein"] == {"C1": 0, "C2": 0, "C3": 59_260}
    assert found["homology", "val"]["severity"] == "ok"
    for split in ("train", "val"):
        assert abs(found["degree", split]["figures"]["oracle_auroc"] - 0.5) < 0.05
        assert found["column_order", split]["severity"] == "show"  # in its positives, a bait stands first


def test_yeast_is_solved_by_degree(tmp_path: Path, cli: Callable[..., Any]) -> None:
    outcome, found = audited("yeast", {"fasta": "proteins.fasta.gz", "train": "pairs.tsv.gz"}, [], cli, tmp_path)
    one_class = found["one_class_proteins", "train"]
    assert one_class["severity"] == found["degree", "train"]["severity"] == "show"
    assert (one_class["figures"]["only_negative"], one_class["figures"]["proteins"]) == (3297, 5664)
    assert round(found["degree", "train"]["figures"]["oracle_auroc"], 2) == 0.90
    assert found["label_conflicts", "train"]["count"] == 10  # paralogues of one sequence
    assert outcome.code == 2
