"""Homology search on families that were made by mutation, so that the right answer is known."""

from __future__ import annotations

import csv
import shutil
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from esm2_amp.data import homology_kmers
from esm2_amp.data.homology import (
    HomologyEngine,
    cluster_classes,
    cluster_sequences,
    homology_engine,
    max_identity,
)
from esm2_amp.errors import InputError
from esm2_amp.evaluation.metrics import pair_classes
from esm2_amp.io.fasta import read_fasta
from esm2_amp.records import STANDARD_RESIDUES

DEMO = Path(__file__).parents[3] / "datasets" / "demo"
KEPT = (0.9, 0.75, 0.6, 0.5)
"""Share of the founder's residues that each further member of a family keeps."""


def mutated(sequence: str, kept: float, rng: np.random.Generator) -> str:
    """Substitute exactly the rest, each by another residue."""
    letters = list(sequence)
    for i in rng.choice(len(letters), round((1 - kept) * len(letters)), replace=False):
        letters[i] = rng.choice([letter for letter in STANDARD_RESIDUES if letter != letters[i]])
    return "".join(letters)


def drawn(length: int, rng: np.random.Generator) -> str:
    return "".join(rng.choice(list(STANDARD_RESIDUES), length))


@pytest.fixture(scope="module")
def families() -> tuple[list[str], np.ndarray]:
    """Twelve founders and their mutants, and the family of each."""
    rng = np.random.default_rng(4)
    sequences = []
    for _ in range(12):
        founder = drawn(int(rng.integers(120, 500)), rng)
        sequences += [founder, *(mutated(founder, kept, rng) for kept in KEPT)]
    return sequences, np.repeat(np.arange(12), len(KEPT) + 1)


@pytest.fixture(scope="module", params=["kmers", "mmseqs"])
def engine(request: pytest.FixtureRequest) -> HomologyEngine:
    if request.param == "mmseqs" and shutil.which("mmseqs") is None:
        pytest.skip("MMseqs2 is not installed")
    return homology_engine(request.param)


def test_identity_is_the_share_of_residues_that_were_kept(engine: HomologyEngine, families: tuple) -> None:
    sequences, family = families
    founder = np.arange(len(sequences)) % (len(KEPT) + 1) == 0
    mutants, founders = ([sequences[i] for i in np.flatnonzero(chosen)] for chosen in (~founder, founder))
    identity, nearest = max_identity(mutants, founders, 0.8, engine, 1)
    np.testing.assert_array_equal(nearest, family[~founder])
    np.testing.assert_allclose(identity, np.tile(KEPT, 12), atol=0.05)


def test_clusters_are_the_families(engine: HomologyEngine, families: tuple) -> None:
    sequences, family = families
    np.testing.assert_array_equal(cluster_sequences(sequences, 0.4, 0.8, engine, 1), family)


def test_above_every_identity_only_equal_sequences_are_together(engine: HomologyEngine, families: tuple) -> None:
    sequences = [*families[0][:6], families[0][2]]
    found = cluster_sequences(sequences, 0.99, 0.8, engine, 1)
    np.testing.assert_array_equal(found, [0, 1, 2, 3, 4, 5, 2])


def test_both_engines_find_the_same(families: tuple) -> None:
    if shutil.which("mmseqs") is None:
        pytest.skip("MMseqs2 is not installed")
    sequences, _ = families
    found = []
    for name in ("kmers", "mmseqs"):
        hits = homology_engine(name).hits(sequences, sequences, 0.8, 1)
        found.append(dict(zip(zip(hits.query.tolist(), hits.target.tolist(), strict=True), hits.identity, strict=True)))
    both = found[0].keys() & found[1].keys()
    np.testing.assert_allclose([found[0][k] for k in both], [found[1][k] for k in both], atol=0.06)
    for one, other in (found, found[::-1]):
        assert all(other.get(pair, 0) > 0.45 for pair, identity in one.items() if identity > 0.52)


def test_both_engines_find_the_families_of_the_demo() -> None:
    """Their members were drawn to keep 40 to 80 % of a founder, so some lie below 40 % identity to each other."""
    with (DEMO / "proteins.tsv").open(newline="") as stream:
        family = {row["id"]: row["family"] for row in csv.DictReader(stream, delimiter="\t")}
    proteins = list(read_fasta(DEMO / "proteins.fasta"))
    names, sequences = [family[protein.id] for protein in proteins], [protein.sequence for protein in proteins]
    engines = ["kmers"] if shutil.which("mmseqs") is None else ["kmers", "mmseqs"]
    found = []
    for name in engines:
        hits = homology_engine(name).hits(sequences, sequences, 0.8, 1)
        close = (hits.identity > 0.4) & (hits.query != hits.target)
        found.append(set(zip(hits.query[close].tolist(), hits.target[close].tolist(), strict=True)))
    true = {(i, j) for i, x in enumerate(names) for j, y in enumerate(names) if x == y and i != j}
    for pairs in found:
        assert len(pairs & true) > 0.85 * len(true)
        assert len(pairs & true) > 0.9 * len(pairs)
    assert len(found[0] & found[-1]) > 0.94 * len(found[0] | found[-1])


def test_a_shared_domain_does_not_make_homologues(engine: HomologyEngine) -> None:
    rng = np.random.default_rng(5)
    domain = drawn(120, rng)
    one, other = domain + drawn(150, rng), drawn(160, rng) + domain
    assert max_identity([one], [other], 0.8, engine, 1)[0].tolist() == [0]
    if engine.name == "kmers":  # MMseqs2 takes seconds to start
        assert max_identity([one], [other], 0.3, engine, 1)[0][0] > 0.9


def test_proteins_of_rare_letters_and_of_few_residues_pass(engine: HomologyEngine) -> None:
    sequences = ["M", "MKV", "XXXXXXXXXX", "UOJBZ" * 20, "A" * 300, drawn(200, np.random.default_rng(6))]
    identity, nearest = max_identity(sequences, [sequences[-1]], 0.8, engine, 1)
    assert nearest.tolist() == [-1] * 5 + [0]
    assert identity[-1] == 1
    assert cluster_sequences([], 0.4, 0.8, engine, 1).tolist() == []


def test_pieces_of_a_long_protein_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(7)
    one = drawn(3300, rng)
    other = mutated(one, 0.6, rng)
    other = other[:800] + drawn(30, rng) + other[800:2000] + other[2040:]  # an insertion and a deletion
    whole = max_identity([one], [other], 0.8, homology_engine("kmers"), 1)[0]
    monkeypatch.setattr(homology_kmers, "CELLS", 1000)
    np.testing.assert_allclose(max_identity([one], [other], 0.8, homology_engine("kmers"), 1)[0], whole, atol=0.01)
    assert abs(whole[0] - 0.6) < 0.03


def test_classes_by_cluster_are_the_classes_of_cluster_names() -> None:
    rng = np.random.default_rng(8)
    a, b, train = rng.integers(0, 9, 50), rng.integers(0, 9, 50), rng.integers(0, 9, 4)
    by_name = pair_classes(map(str, a), map(str, b), set(map(str, train)))
    np.testing.assert_array_equal(cluster_classes(a, b, train.tolist()), by_name)


@pytest.mark.parametrize("choice", ["blast", "mmseqs", "auto"])
def test_a_missing_engine_is_said_by_name(choice: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("esm2_amp.data.homology.homology_mmseqs.version", lambda: None)
    monkeypatch.setattr("esm2_amp.data.homology.homology_kmers.version", lambda: None)
    with pytest.raises(InputError, match="pyopal" if choice == "auto" else choice):
        homology_engine(choice)


def test_families_of_one_are_as_many_clusters_as_sequences(engine: HomologyEngine) -> None:
    rng = np.random.default_rng(9)
    sequences = [drawn(150, rng) for _ in range(40)]
    assert cluster_sequences(sequences, 0.4, 0.8, engine, 1).tolist() == list(range(40))
    assert all(x != y for x, y in combinations(sequences, 2))
