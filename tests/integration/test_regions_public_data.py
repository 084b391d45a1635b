"""A worked example: the published tool's segments on UniProt's regions. PPI_DATA names a folder that holds regions/."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

FILES = ("true_positive_segments.tsv", "true_positive_hit_rates.tsv", "uniprot_features.tsv")


@pytest.fixture
def example() -> dict[str, Path]:
    files = {name: Path(os.environ.get("PPI_DATA", "nowhere")) / "regions" / name for name in FILES}
    if not all(file.exists() for file in files.values()):
        pytest.skip("set PPI_DATA to a folder with this example")
    return files


def test_the_worked_example_is_reproduced_to_the_last_digit(
    example: dict[str, Path], tmp_path: Path, cli: Callable[..., Any]
) -> None:
    segments, rates, annotations = (example[name] for name in FILES)
    given = [f"segments={segments}", f"annotations={annotations}", "output=out"]
    outcome = cli(["regions", *given, "permutations=0", "report.resamples=0"], tmp_path)
    assert outcome.code == 0, outcome.err
    assert (tmp_path / "out" / "coverage.tsv").read_text() == segments.read_text()
    assert (tmp_path / "out" / "hit_rates.tsv").read_text() == rates.read_text()
