"""A simulation as files: sequences, pairs, the truth about both, and a card that says what it is."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from esm2_amp.errors import InputError
from esm2_amp.io.atomic import atomic_path, write_json
from esm2_amp.io.fasta import write_fasta
from esm2_amp.records import Pair
from esm2_amp.sources.divergence import to_text
from esm2_amp.sources.simulate import PAIR_FILES, Simulation

STATEMENT = (
    "Everything here is simulated: the sequences, their families, modules and interactions were drawn by a computer "
    "from a seed. No protein of this kind exists, and results on these files say nothing about biology."
)
RULE = (
    "Two proteins interact if and only if a module of one belongs to the family that a module of the other binds. "
    "Module families are matched one to one; the note of each region names its family and the family that it binds."
)

BALANCE = (
    "degree_difference is the difference between the numbers of positive and of negative pairs of a protein. "
    "training_degree_auroc scores a pair by the share of positive pairs, among the training pairs, of one protein plus "
    "that of the other (0.5 for a protein without training pairs). degree_oracle_auroc reads the labels of the file "
    "itself: the number of the other positive pairs of one protein plus that of the other. In a file without any "
    "degree difference it falls below 0.5: a positive pair takes one from the positive count of its own proteins."
)

_MEANING = {
    "train": "both proteins of the training split",
    "val": "both proteins of the validation split, none of them or of their families in training",
    "test_c1": "C1: both proteins occur in training, the pair does not",
    "test_c2": "C2: one protein of the training split, one of the test split",
    "test_c3": "C3: both proteins of the test split, none of them or of their families in training or validation",
}


def write_simulation(simulation: Simulation, folder: Path) -> None:
    """Write a simulation as a new folder; the same simulation gives the same bytes.

    The folder holds ``proteins.fasta``; ``train.tsv``, ``val.tsv`` and ``test_c1.tsv`` to ``test_c3.tsv``
    (protein_a, protein_b, label); ``regions.tsv`` (protein, start, end, kind, note; 1-based, inclusive);
    ``proteins.tsv`` (id, family, split, length, modules); ``card.json``; and ``README.md``.

    Raises:
        InputError: the folder is there and not empty, or cannot be written.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(
            "this is there already, and a simulation is written as a new folder",
            file=folder,
            remedy="Name another folder or remove this one.",
        )
    with atomic_path(folder) as place:
        place.mkdir()
        write_fasta(place / "proteins.fasta", (simulated.protein for simulated in simulation.proteins))
        for name in PAIR_FILES:
            rows = ((pair.a, pair.b, pair.label) for pair in simulation.pairs[name])
            _write_table(place / f"{name}.tsv", ("protein_a", "protein_b", "label"), rows)
        regions = (region for simulated in simulation.proteins for region in simulated.regions)
        _write_table(place / "regions.tsv", ("protein", "start", "end", "kind", "note"), regions)
        _write_table(place / "proteins.tsv", ("id", "family", "split", "length", "modules"), _protein_rows(simulation))
        card = simulation_card(simulation)
        write_json(place / "card.json", card)
        (place / "README.md").write_text(_readme(card), encoding="utf-8", newline="\n")


def simulation_card(simulation: Simulation) -> dict[str, Any]:
    """Describe a simulation: what it is, its rule, settings and seed, counts, balance and module families."""
    proteins = simulation.proteins
    lengths = [len(simulated.protein.sequence) for simulated in proteins]
    training = simulation.pairs["train"]
    return {
        "name": "simulation",
        "simulated": True,
        "statement": STATEMENT,
        "rule": RULE,
        "seed": simulation.seed,
        "settings": asdict(simulation.spec),
        "proteins": {
            "count": len(proteins),
            "families": len({simulated.family for simulated in proteins}),
            **{split: sum(p.split == split for p in proteins) for split in ("train", "val", "test")},
            "length": {"shortest": min(lengths), "median": float(np.median(lengths)), "longest": max(lengths)},
        },
        "pairs": {name: _balance(simulation.pairs[name], training) for name in PAIR_FILES},
        "balance": BALANCE,
        "module_families": [
            {
                "name": family.name,
                "kind": family.kind,
                "binds": family.binds,
                "proteins": sum(family.name in simulated.modules for simulated in proteins),
                "ancestor": to_text(family.ancestor),
            }
            for family in simulation.modules.values()
        ],
    }


def _balance(pairs: Sequence[Pair], training: Sequence[Pair]) -> dict[str, Any]:
    names = {name for pair in pairs for name in (pair.a, pair.b)}
    positive, negative = _degrees(pairs, 1), _degrees(pairs, 0)
    differences = [abs(positive.get(name, 0) - negative.get(name, 0)) for name in sorted(names)]
    good, bad = _degrees(training, 1), _degrees(training, 0)
    share = {name: good.get(name, 0) / (good.get(name, 0) + bad.get(name, 0)) for name in good.keys() | bad.keys()}
    labels = np.array([pair.label for pair in pairs])
    known = np.array([share.get(pair.a, 0.5) + share.get(pair.b, 0.5) for pair in pairs])
    oracle = np.array([positive.get(p.a, 0) + positive.get(p.b, 0) - 2 * int(p.label == 1) for p in pairs])
    return {
        "rows": len(pairs),
        "positive": int(labels.sum()),
        "negative": int((1 - labels).sum()),
        "proteins": len(names),
        "degree_difference": {"largest": max(differences), "mean": round(sum(differences) / len(differences), 3)},
        "training_degree_auroc": _auroc(labels, known),
        "degree_oracle_auroc": _auroc(labels, oracle),
    }


def _degrees(pairs: Iterable[Pair], label: int) -> dict[str, int]:
    counts: dict[str, int] = {}
    for pair in pairs:
        if pair.label == label:
            for name in (pair.a, pair.b):
                counts[name] = counts.get(name, 0) + 1
    return counts


def _auroc(labels: np.ndarray[Any, Any], scores: np.ndarray[Any, Any]) -> float:
    """Chance that a random positive pair scores above a random negative one, ties counting half."""
    ahead = scores[labels == 1][:, None] - scores[labels == 0][None, :]
    return round(float((ahead > 0).mean() + (ahead == 0).mean() / 2), 4)


def _protein_rows(simulation: Simulation) -> Iterable[tuple[object, ...]]:
    for simulated in simulation.proteins:
        protein = simulated.protein
        yield protein.id, simulated.family, simulated.split, len(protein.sequence), ",".join(simulated.modules)


def _write_table(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, delimiter="\t", lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def _readme(card: dict[str, Any]) -> str:
    proteins, settings = card["proteins"], card["settings"]
    rows = "\n".join(
        f"| `{name}.tsv` | {about['rows']:,} | {about['proteins']} | {_MEANING[name]} |"
        for name, about in card["pairs"].items()
    )
    couples = "\n".join(
        f"| {about['name']} | {about['kind']} | {len(about['ancestor'])} | {about['binds']} | {about['proteins']} |"
        for about in card["module_families"]
    )
    lowest, highest = settings["module_identity"]
    degrees = "too" if settings["exact_degrees"] else "on average"
    return f"""# Simulated proteins and interactions

**{STATEMENT}**

{proteins["count"]} proteins of {proteins["families"]} families, seed {card["seed"]}; `card.json` has every setting.

## The rule
{RULE}

| module family | kind | residues | binds | proteins |
| --- | --- | --- | --- | --- |
{couples}

A domain is a stretch of its family's own composition; a motif module is a short conserved motif, repeated in a
low-complexity linker. Each module conserves {lowest:.0%} to {highest:.0%} of the residues of its family's ancestor.
The families differ in composition more than natural domains do: a small model can learn the rule from few pairs.

## The files
`proteins.fasta` has the sequences. Pair files have the columns protein_a, protein_b and label (1: interact).

| file | pairs | proteins | which |
| --- | --- | --- | --- |
{rows}

Half of the pairs of each file are positive. In training every protein has as many positive as negative pairs, in the
other files {degrees}: how often a protein occurs says nothing about a label (measured in `card.json`).
Protein families, not only proteins, belong to one split: what training and test proteins share is their modules.

`regions.tsv` says where the modules lie (1-based, both ends included): the right answer for explanations.
`proteins.tsv` has the family, the split, the length and the modules of each protein.
"""
