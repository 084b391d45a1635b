"""A small simulated world of proteins whose interactions follow a known rule."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from esm2_amp.errors import InputError
from esm2_amp.records import Pair
from esm2_amp.sources.families import SimulatedProtein, invent_modules, invent_proteins
from esm2_amp.sources.matching import Mask, balanced_pairs
from esm2_amp.sources.modules import ModuleFamily
from esm2_amp.sources.spec import SimulationSpec

PAIR_FILES = ("train", "val", "test_c1", "test_c2", "test_c3")
"""The pair lists of a simulation, in the order in which they are drawn and written."""

# each part of the world has its own stream of random numbers: other pairs do not change the sequences
_MODULES, _PROTEINS, _PAIRS = range(3)


@dataclass(frozen=True)
class Simulation:
    """A simulated world: two proteins interact exactly when a module of one binds a module of the other.

    Attributes:
        spec: its settings.
        seed: seed of its random numbers.
        modules: module families by name.
        proteins: all proteins, the members of a family and of a split in a row.
        pairs: for each name of :data:`PAIR_FILES` the rows of its file; ``line`` is the line of the TSV file.
    """

    spec: SimulationSpec
    seed: int
    modules: dict[str, ModuleFamily]
    proteins: tuple[SimulatedProtein, ...]
    pairs: dict[str, tuple[Pair, ...]]


def simulate(spec: SimulationSpec, seed: int) -> Simulation:
    """Simulate proteins and labelled pairs; the same arguments give the same result.

    Args:
        spec: the settings.
        seed: seed of the random numbers, 0 or more.

    Raises:
        InputError: settings that contradict one another, or that leave too few pairs of a kind.
    """
    spec.check()
    if seed < 0:
        raise InputError(f"the seed {seed} is negative", remedy="Give 0 or more.")
    modules = invent_modules(np.random.default_rng([seed, _MODULES]), spec)
    proteins = invent_proteins(np.random.default_rng([seed, _PROTEINS]), spec, modules)
    pairs = _draw_pairs(np.random.default_rng([seed, _PAIRS]), spec, modules, proteins)
    return Simulation(spec, seed, modules, tuple(proteins), pairs)


def interactions(modules: dict[str, ModuleFamily], proteins: list[SimulatedProtein]) -> Mask:
    """The rule: which proteins interact, as a symmetric mask of shape (n, n)."""
    names = list(modules)
    has = np.array([[name in protein.modules for name in names] for protein in proteins])
    wants = np.array([[modules[name].binds in protein.modules for name in names] for protein in proteins])
    return (has.astype(np.int64) @ wants.T.astype(np.int64)) > 0


def _draw_pairs(
    rng: np.random.Generator,
    spec: SimulationSpec,
    modules: dict[str, ModuleFamily],
    proteins: list[SimulatedProtein],
) -> dict[str, tuple[Pair, ...]]:
    truth = interactions(modules, proteins)
    free = ~np.eye(len(proteins), dtype=bool)
    seen, val, test = (np.array([p.split == split for p in proteins]) for split in ("train", "val", "test"))
    kinds = {
        "train": (seen, seen, spec.train_pairs),
        "val": (val, val, spec.val_pairs),
        "test_c1": (seen, seen, spec.c1_pairs),
        "test_c2": (seen, test, spec.c2_pairs),
        "test_c3": (test, test, spec.c3_pairs),
    }
    pairs = {}
    for name, (one, other, count) in kinds.items():
        room = free & (np.outer(one, other) | np.outer(other, one))
        # what is learnt from must not favour any protein; see balanced_pairs for what is measured on
        exact = spec.exact_degrees or name == "train"
        drawn = balanced_pairs(rng, truth & room, ~truth & room, count // 2, spec.degree_spread, exact)
        if drawn is None:
            raise _too_few(name, count, truth & room)
        free &= ~(drawn[0] | drawn[1])
        pairs[name] = _rows(rng, proteins, drawn)
    return pairs


def _rows(rng: np.random.Generator, proteins: list[SimulatedProtein], drawn: tuple[Mask, Mask]) -> tuple[Pair, ...]:
    """Shuffle the pairs of both classes, and which protein stands first."""
    labelled = [(a, b, label) for label, mask in ((1, drawn[0]), (0, drawn[1])) for a, b in _edges(mask)]
    rows = []
    for line, place in enumerate(rng.permutation(len(labelled)), start=2):  # line 1 is the header
        a, b, label = labelled[place]
        a, b = (b, a) if rng.random() < 0.5 else (a, b)
        rows.append(Pair(proteins[a].protein.id, proteins[b].protein.id, label, line))
    return tuple(rows)


def _edges(mask: Mask) -> NDArray[np.int64]:
    return np.argwhere(np.triu(mask))


def _too_few(name: str, count: int, possible: Mask) -> InputError:
    return InputError(
        f"{count} pairs for {name}, half of them interacting and as many of both kinds for every protein, could not "
        f"be found among {len(_edges(possible))} interacting pairs of its proteins",
        remedy="Ask for fewer pairs, or for more protein families or homologues.",
    )
