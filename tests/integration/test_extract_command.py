"""``esm2-amp extract`` with every policy, precision and number of threads, from the real command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from esm2_amp.features.store import FeatureStore
from esm2_amp.io.fasta import read_fasta
from esm2_amp.layout import STORED_TOKENS, segment_bounds


@pytest.fixture
def extract(world: Any, cli: Any, tmp_path: Path) -> Any:
    """``extract(*overrides)``: the store of the world's proteins."""

    def run(name: str, *overrides: str) -> FeatureStore:
        words = [f"fasta={world.fasta}", f"encoder.path={world.encoder}", f"store={name}", "features.device=cpu"]
        outcome = cli(["extract", *words, *overrides], tmp_path)
        assert outcome.code == 0, outcome.err
        return FeatureStore(tmp_path / name)

    return run


def tokens_of(store: FeatureStore, world: Any) -> np.ndarray:
    rows = store.find([protein.key for protein in read_fasta(world.fasta)])
    return store.gather(rows, range(13)).astype(np.float32)


@pytest.mark.parametrize("long", ["full", "chunk", "truncate"])
def test_tokens_are_means_of_the_residue_states_beside_them(extract: Any, world: Any, long: str) -> None:
    store = extract("s", "features.residues=true", f"features.long={long}", "features.max_residues=20")
    proteins = list(read_fasta(world.fasta))
    assert max(len(protein.sequence) for protein in proteins) > 20
    for protein, tokens in zip(proteins, tokens_of(store, world), strict=True):
        (row,) = store.find([protein.key])
        states = store.residue_states(int(row)).astype(np.float32)
        assert len(states) == (min(20, len(protein.sequence)) if long == "truncate" else len(protein.sequence))
        by_name = dict(zip(STORED_TOKENS, tokens, strict=True))
        np.testing.assert_allclose(by_name["mean"], states.mean(axis=0), atol=5e-3)
        for number, (start, stop) in enumerate(segment_bounds(len(states))):
            expected = states[start:stop].mean(axis=0) if stop > start else 0 * states[0]
            np.testing.assert_allclose(by_name[f"segment{number}"], expected, atol=5e-3)


def test_threads_and_budgets_write_the_same_and_bfloat16_nearly(extract: Any, world: Any) -> None:
    before = torch.get_num_threads()
    one = tokens_of(extract("one", "features.threads=1"), world)
    two = tokens_of(extract("two", "features.threads=3", "features.token_budget=100"), world)
    assert torch.get_num_threads() == before  # those of a training that follows
    np.testing.assert_allclose(two, one, rtol=2**-10, atol=1e-4)
    half = tokens_of(extract("half", "features.precision=bfloat16"), world)
    assert not np.array_equal(half, one)
    np.testing.assert_allclose(half, one, atol=0.1)


def test_the_default_folder_tells_policies_and_residue_states_apart(world: Any, cli: Any, tmp_path: Path) -> None:
    words = ["extract", f"fasta={world.fasta}", f"encoder.path={world.encoder}", "features.device=cpu"]
    for overrides in ([], ["features.residues=true"], ["features.long=truncate", "features.max_residues=30"]):
        assert cli([*words, *overrides], tmp_path).code == 0
    assert len(list((tmp_path / "features").iterdir())) == 3


def test_a_store_with_residue_states_is_not_continued_without_them(extract: Any, world: Any, cli: Any) -> None:
    store = extract("s", "features.residues=true")
    words = ["extract", f"fasta={world.fasta}", f"encoder.path={world.encoder}", "store=s", "features.device=cpu"]
    outcome = cli(words, store.folder.parent)
    assert outcome.code == 2
    assert "residue states" in outcome.err
