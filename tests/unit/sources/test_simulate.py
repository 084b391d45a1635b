"""The simulated world keeps its own rule, and can be checked from its files alone."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from esm2_amp.errors import InputError
from esm2_amp.io.fasta import read_fasta
from esm2_amp.io.pairs import iter_pairs
from esm2_amp.sources.divergence import BACKGROUND, to_text
from esm2_amp.sources.families import SimulatedProtein
from esm2_amp.sources.simulate import PAIR_FILES, Simulation, simulate
from esm2_amp.sources.simulation_files import write_simulation
from esm2_amp.sources.spec import SimulationSpec


@pytest.fixture(scope="module")
def simulation(spec: SimulationSpec) -> Simulation:
    return simulate(spec, 1)


@pytest.fixture(scope="module")
def folder(simulation: Simulation, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("simulation") / "demo"
    write_simulation(simulation, place)
    return place


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream, delimiter="\t"))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def identity(one: str, other: str) -> float:
    """Share of the residues of ``one`` that a global alignment (match 2, mismatch -1, gap -2) keeps."""
    score = np.zeros((len(one) + 1, len(other) + 1), dtype=int)
    same = np.zeros_like(score)
    score[:, 0], score[0, :] = -2 * np.arange(len(one) + 1), -2 * np.arange(len(other) + 1)
    for i, a in enumerate(one, start=1):
        for j, b in enumerate(other, start=1):
            choices = (
                (score[i - 1, j - 1] + (2 if a == b else -1), same[i - 1, j - 1] + (a == b)),
                (score[i - 1, j] - 2, same[i - 1, j]),
                (score[i, j - 1] - 2, same[i, j - 1]),
            )
            score[i, j], same[i, j] = max(choices)
    return float(same[-1, -1]) / len(one)


def test_the_same_seed_gives_the_same_bytes_and_another_one_others(
    spec: SimulationSpec, folder: Path, tmp_path: Path
) -> None:
    write_simulation(simulate(spec, 1), tmp_path / "again")
    write_simulation(simulate(spec, 2), tmp_path / "other")
    assert contents(tmp_path / "again") == contents(folder)
    other = contents(tmp_path / "other")
    assert [name for name, content in contents(folder).items() if other[name] == content] == []


def test_other_pairs_leave_the_proteins_as_they_are(spec: SimulationSpec, simulation: Simulation) -> None:
    assert simulate(replace(spec, c1_pairs=20, degree_spread=0.0), 1).proteins == simulation.proteins


def test_the_rule_holds_for_every_pair_by_the_region_table_alone(folder: Path) -> None:
    has: dict[str, set[str]] = {}
    binds: dict[str, set[str]] = {}
    for row in table(folder / "regions.tsv"):
        note = re.fullmatch(r"family=(\w+);binds=(\w+)", row["note"])
        assert note
        has.setdefault(row["protein"], set()).add(note[1])
        binds.setdefault(row["protein"], set()).add(note[2])
    for name in PAIR_FILES:
        for pair in iter_pairs(folder / f"{name}.tsv"):
            assert pair.label == bool(has[pair.a] & binds[pair.b]), pair
            assert pair.label == bool(has[pair.b] & binds[pair.a]), pair
    assert not any(has[protein] & binds[protein] for protein in has), "no protein binds itself"


def test_regions_contain_what_was_planted(spec: SimulationSpec, folder: Path) -> None:
    proteins = read_fasta(folder / "proteins.fasta")
    families = {family["name"]: family for family in json.loads((folder / "card.json").read_text())["module_families"]}
    found = []
    for row in table(folder / "regions.tsv"):
        family = families[row["note"][7:10]]
        protein = proteins.get(row["protein"])
        assert protein
        start, end = int(row["start"]), int(row["end"])
        assert 1 <= start <= end <= len(protein.sequence)
        assert row["kind"] == family["kind"]
        found.append(identity(family["ancestor"], protein.sequence[start - 1 : end]))
    lowest, highest = spec.module_identity
    # the alignment may find a few residues that are alike by chance, and the ends of the range are rounded
    assert min(found) > lowest - 0.03
    assert max(found) < highest + 0.05
    assert max(found) - min(found) > 0.15


def test_modules_conserve_the_stated_share_of_their_ancestor(spec: SimulationSpec, simulation: Simulation) -> None:
    shares = [share for protein in simulation.proteins for share in protein.identities]
    rounding = 0.5 / min(len(family.ancestor) for family in simulation.modules.values())
    assert spec.module_identity[0] - rounding <= min(shares)
    assert max(shares) <= spec.module_identity[1] + rounding


def test_module_families_are_matched_one_to_one(spec: SimulationSpec, simulation: Simulation) -> None:
    modules = simulation.modules
    assert all(modules[family.binds].binds == name for name, family in modules.items())
    assert all(modules[family.binds].kind == "domain" for family in modules.values() if family.kind == "motif")
    motif = next(family for family in modules.values() if family.kind == "motif")
    text = to_text(motif.ancestor)
    repeated = [text[i : i + spec.motif_length[0]] for i in range(len(text)) if i + spec.motif_length[0] <= len(text)]
    assert max(Counter(repeated).values()) >= spec.motif_repeats


def test_a_homotypic_family_binds_itself(spec: SimulationSpec) -> None:
    simulation = simulate(replace(spec, homotypic_families=2), 3)
    assert [name for name, family in simulation.modules.items() if family.binds == name] == ["D01", "D02"]
    names = {protein.protein.id: protein.modules for protein in simulation.proteins}
    alike = [pair.label for pair in simulation.pairs["train"] if {"D01"} & set(names[pair.a]) & set(names[pair.b])]
    assert alike
    assert set(alike) == {1}


def test_splits_are_disjoint_by_family_and_classes_are_what_they_say(simulation: Simulation) -> None:
    of = {protein.protein.id: protein for protein in simulation.proteins}
    splits: dict[str, set[str]] = {}
    for protein in simulation.proteins:
        splits.setdefault(protein.family, set()).add(protein.split)
    assert all(len(split) == 1 for split in splits.values())
    expected = {
        "train": {("train", "train")},
        "val": {("val", "val")},
        "test_c1": {("train", "train")},
        "test_c2": {("test", "train")},
        "test_c3": {("test", "test")},
    }
    for name, pairs in simulation.pairs.items():
        found = {tuple(sorted((of[pair.a].split, of[pair.b].split))) for pair in pairs}
        assert found == expected[name]


def test_no_pair_comes_twice_and_none_is_a_self_pair(simulation: Simulation) -> None:
    pairs = [pair.unordered for name in PAIR_FILES for pair in simulation.pairs[name]]
    assert len(set(pairs)) == len(pairs)
    assert all(a != b for a, b in pairs)


def degrees(simulation: Simulation, name: str, label: int) -> Counter[str]:
    return Counter(p for pair in simulation.pairs[name] if pair.label == label for p in (pair.a, pair.b))


@pytest.mark.parametrize("exact", [True, False])
def test_degrees_say_nothing_about_labels(spec: SimulationSpec, exact: bool) -> None:
    simulation = simulate(replace(spec, exact_degrees=exact), 4)
    for name in PAIR_FILES:
        labels = [pair.label for pair in simulation.pairs[name]]
        assert sum(label == 1 for label in labels) * 2 == len(labels)
        positive, negative = degrees(simulation, name, 1), degrees(simulation, name, 0)
        if exact or name == "train":
            assert positive == negative
        else:
            gaps = [abs(positive[protein] - negative[protein]) for protein in positive | negative]
            assert 0 < np.mean(gaps) < 3


def test_the_card_measures_the_balance(folder: Path, simulation: Simulation) -> None:
    card = json.loads((folder / "card.json").read_text())
    for name in PAIR_FILES:
        about = card["pairs"][name]
        assert about["training_degree_auroc"] == 0.5
        gaps = degrees(simulation, name, 1)
        gaps.subtract(degrees(simulation, name, 0))
        assert about["degree_difference"]["largest"] == max(map(abs, gaps.values()))


def test_the_oracle_of_the_card_is_the_one_that_the_evaluation_prints(folder: Path) -> None:
    from sklearn.metrics import roc_auc_score

    pairs = list(iter_pairs(folder / "test_c3.tsv"))
    scores = []
    for pair in pairs:
        others = [name for p in pairs if p.label and p is not pair for name in (p.a, p.b)]
        scores.append(others.count(pair.a) + others.count(pair.b))
    expected = roc_auc_score([pair.label for pair in pairs], scores)
    assert json.loads((folder / "card.json").read_text())["pairs"]["test_c3"]["degree_oracle_auroc"] == round(
        expected, 4
    )


def test_the_files_say_what_the_simulation_holds(folder: Path, simulation: Simulation) -> None:
    assert list(read_fasta(folder / "proteins.fasta")) == [protein.protein for protein in simulation.proteins]
    for name in PAIR_FILES:
        assert tuple(iter_pairs(folder / f"{name}.tsv")) == simulation.pairs[name]
    for row, protein in zip(table(folder / "proteins.tsv"), simulation.proteins, strict=True):
        assert row["id"] == protein.protein.id
        assert int(row["length"]) == len(protein.protein.sequence)
        assert row["modules"].split(",") == list(protein.modules)
        assert (row["family"], row["split"]) == (protein.family, protein.split)
    assert json.loads((folder / "card.json").read_text())["simulated"] is True
    assert "simulated" in (folder / "README.md").read_text()


def test_lengths_and_composition_are_those_of_proteins(spec: SimulationSpec, simulation: Simulation) -> None:
    sequences = [protein.protein.sequence for protein in simulation.proteins]
    lengths = [len(sequence) for sequence in sequences]
    assert spec.length_range[0] * 0.9 < min(lengths)
    assert max(lengths) < spec.length_range[1] * 1.1
    assert abs(np.median(lengths) / spec.length_median - 1) < 0.2
    assert all(sequence.startswith("M") for sequence in sequences)
    letters = Counter("".join(sequences))
    shares = np.array([letters[letter] for letter in "ACDEFGHIKLMNPQRSTVWY"]) / sum(lengths)
    assert np.corrcoef(shares, BACKGROUND)[0, 1] > 0.7


def between_modules(protein: SimulatedProtein) -> str:
    letters = list(protein.protein.sequence)
    for region in reversed(protein.regions):
        del letters[region.start - 1 : region.end]
    return "".join(letters)


def test_homologues_are_as_alike_as_asked(spec: SimulationSpec) -> None:
    still: dict[str, Any] = {"module_identity": (1.0, 1.0), "deletion_share": 0.0, "insertion_rate": 0.0}
    same = simulate(replace(spec, linker_identity=(1.0, 1.0), **still), 5)
    drifted = simulate(replace(spec, linker_identity=(0.5, 0.5), **still), 5)
    alike: list[bool] = []
    for world in (same, drifted):
        for one, other in combinations(world.proteins, 2):
            if one.family != other.family:
                continue
            assert [region[1:] for region in one.regions] == [region[1:] for region in other.regions]
            if world is same:
                assert one.protein.sequence == other.protein.sequence
            else:
                alike += [a == b for a, b in zip(between_modules(one), between_modules(other), strict=True)]
    # half of the founder's residues stay in each of two homologues: a quarter in both, and some are alike by chance
    assert 0.25 < np.mean(alike) < 0.4


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"motif_families": 2}, "matched one to one"),
        ({"motif_families": 4}, "matched one to one"),
        ({"homotypic_families": 3}, "matched one to one"),
        ({"domain_length": (60, 40)}, "domain_length"),
        ({"module_identity": (0.5, 1.2)}, "module_identity"),
        ({"linker_identity": (0.0, 0.5)}, "linker_identity"),
        ({"insertion_rate": 1.5}, "insertion_rate"),
        ({"domain_concentration": 0.0}, "domain_concentration"),
        ({"modules_per_protein": ()}, "modules_per_protein"),
        ({"modules_per_protein": (0.5, 0.3, 0.2)}, "modules_per_protein"),
        ({"motif_repeats": 9}, "motif_stretch_length"),
        ({"length_range": (60, 120), "length_median": 90.0}, "length_range"),
        ({"length_median": 900.0}, "length_median"),
        ({"homologues": (0, 3)}, "homologues"),
        ({"val_families": 3}, "val_families"),
        ({"c2_pairs": 41}, "c2_pairs"),
        ({"val_pairs": 0}, "val_pairs"),
        ({"degree_spread": -1.0}, "degree_spread"),
        ({"train_pairs": 4000}, "4000 pairs for train"),
        ({"c3_pairs": 2000}, "2000 pairs for test_c3"),
    ],
)
def test_an_impossible_world_is_refused_by_name(spec: SimulationSpec, changes: dict[str, Any], named: str) -> None:
    with pytest.raises(InputError, match=named):
        simulate(replace(spec, **changes), 1)


def test_a_negative_seed_is_refused(spec: SimulationSpec) -> None:
    with pytest.raises(InputError, match="-1"):
        simulate(spec, -1)


def test_nothing_is_overwritten(simulation: Simulation, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="there already"):
        write_simulation(simulation, tmp_path)
    assert contents(tmp_path) == {"notes.txt": b"mine"}
    (tmp_path / "empty").mkdir()
    write_simulation(simulation, tmp_path / "empty")
    assert "card.json" in contents(tmp_path / "empty")
