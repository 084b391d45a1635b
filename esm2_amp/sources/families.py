"""Simulated protein families: homologues with one domain architecture, and where their modules lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from esm2_amp.records import STANDARD_RESIDUES, Protein, Region
from esm2_amp.sources.divergence import BACKGROUND, Codes, Copy, Drift, disordered, diverge, draw, to_text
from esm2_amp.sources.modules import ModuleFamily, domain_family, motif_family, partners
from esm2_amp.sources.spec import SimulationSpec

_MAX_DRAWS = 1000
_START = STANDARD_RESIDUES.index("M")


@dataclass(frozen=True)
class SimulatedProtein:
    """A protein of the simulated world.

    Attributes:
        protein: its id and sequence.
        family: the protein family; the members of one family are homologous over their whole length.
        split: ``train``, ``val`` or ``test``.
        modules: names of its module families, from the N to the C terminus.
        regions: where they lie, in the same order; the note reads ``family=D01;binds=M02``.
        identities: conserved share of the residues of each module's ancestor.
    """

    protein: Protein
    family: str
    split: str
    modules: tuple[str, ...]
    regions: tuple[Region, ...]
    identities: tuple[float, ...]


@dataclass(frozen=True)
class _Founder:
    """The common ancestor of a protein family: linker, module, linker, ... linker."""

    linkers: tuple[Copy, ...]
    modules: tuple[ModuleFamily, ...]
    copies: tuple[Copy, ...]


def invent_modules(rng: np.random.Generator, spec: SimulationSpec) -> dict[str, ModuleFamily]:
    """Invent all module families and which binds which."""
    domains = [f"D{i + 1:02d}" for i in range(spec.domain_families)]
    motifs = [f"M{i + 1:02d}" for i in range(spec.motif_families)]
    binds = partners(rng, domains, motifs, spec.homotypic_families)
    families = {}
    for name in domains:
        composition = rng.dirichlet(BACKGROUND * spec.domain_concentration)
        families[name] = domain_family(rng, name, binds[name], spec.domain_length, composition)
    for name in motifs:
        composition = rng.dirichlet(BACKGROUND * spec.motif_concentration)
        families[name] = motif_family(
            rng,
            name,
            binds[name],
            spec.motif_stretch_length,
            spec.motif_length,
            spec.motif_repeats,
            composition,
        )
    return families


def deal_architectures(
    rng: np.random.Generator, modules: dict[str, ModuleFamily], shares: Sequence[float], count: int
) -> list[tuple[str, ...]]:
    """Give ``count`` protein families their modules, every module family about equally often.

    No module of a protein binds another one of it, and none occurs twice.

    Args:
        rng: source of randomness.
        modules: the module families by name.
        shares: relative frequency of 1, 2, 3... modules.
        count: number of protein families.
    """
    sizes = 1 + np.searchsorted(np.cumsum(shares) / sum(shares), rng.random(count), side="right")
    deck: list[str] = []
    dealt = []
    for size in sizes:
        hand: list[str] = []
        while len(hand) < size:
            allowed = [i for i, name in enumerate(deck) if _fits(name, hand, modules)]
            if allowed:
                hand.append(deck.pop(allowed[0]))
            else:
                deck += [list(modules)[i] for i in rng.permutation(len(modules))]
        dealt.append(tuple(hand))
    return dealt


def _fits(name: str, hand: list[str], modules: dict[str, ModuleFamily]) -> bool:
    return name not in hand and modules[name].binds not in hand


def invent_proteins(
    rng: np.random.Generator, spec: SimulationSpec, modules: dict[str, ModuleFamily]
) -> list[SimulatedProtein]:
    """Invent all proteins of the three splits. Protein families, not only proteins, belong to one split."""
    splits = (("train", spec.train_families), ("val", spec.val_families), ("test", spec.test_families))
    proteins: list[SimulatedProtein] = []
    number = 0
    for split, count in splits:
        for names in deal_architectures(rng, modules, spec.modules_per_protein, count):
            number += 1
            founder = _found(rng, spec, [modules[name] for name in names])
            for _ in range(int(rng.integers(spec.homologues[0], spec.homologues[1] + 1))):
                identity = f"SIM{len(proteins) + 1:04d}"
                proteins.append(_homologue(rng, spec, founder, identity, f"F{number:03d}", split))
    return proteins


def _found(rng: np.random.Generator, spec: SimulationSpec, modules: list[ModuleFamily]) -> _Founder:
    """Invent the founder of a protein family: its length, its linkers, and its copies of the modules."""
    drift = _drift(spec)
    needed = sum(len(module.ancestor) for module in modules) + 1
    spare = _length(rng, spec, needed) - needed
    # spare residues fall between, before and behind the modules as a broken stick does
    cuts = np.sort(rng.integers(0, spare + 1, size=len(modules)))
    sizes = np.diff(np.concatenate(([0], cuts, [spare])))
    linkers = [Copy.of(draw(rng, drift.composition, int(size))) for size in sizes]
    # the founder stays in the upper half of the allowed range, so that its descendants have room to differ
    identities = rng.uniform(sum(spec.module_identity) / 2, spec.module_identity[1], size=len(modules))
    copies = [
        module.copy(rng, Copy.of(module.ancestor), float(identity), drift)
        for module, identity in zip(modules, identities, strict=True)
    ]
    return _Founder(tuple(linkers), tuple(modules), tuple(copies))


def _length(rng: np.random.Generator, spec: SimulationSpec, needed: int) -> int:
    shortest, longest = max(spec.length_range[0], needed), spec.length_range[1]
    for _ in range(_MAX_DRAWS):
        length = round(float(rng.lognormal(np.log(spec.length_median), spec.length_spread)))
        if shortest <= length <= longest:
            return length
    return shortest


def _homologue(
    rng: np.random.Generator, spec: SimulationSpec, founder: _Founder, identity: str, family: str, split: str
) -> SimulatedProtein:
    """Let a founder drift into one homologue; note where each module comes to lie."""
    drift = _drift(spec)
    kept = float(rng.uniform(*spec.linker_identity))
    linkers = [_drifted_linker(rng, linker, kept, drift) for linker in founder.linkers]
    copies = [_drifted_module(rng, spec, *pair) for pair in zip(founder.modules, founder.copies, strict=True)]
    # the start codon's methionine stands before everything else
    parts: list[Codes] = [np.array([_START]), linkers[0]]
    regions = []
    for module, copy, linker in zip(founder.modules, copies, linkers[1:], strict=True):
        start = sum(map(len, parts)) + 1
        note = f"family={module.name};binds={module.binds}"
        regions.append(Region(identity, start, start + len(copy.codes) - 1, module.kind, note))
        parts += [copy.codes, linker]
    return SimulatedProtein(
        Protein(identity, to_text(np.concatenate(parts))),
        family,
        split,
        tuple(module.name for module in founder.modules),
        tuple(regions),
        tuple(copy.conserved / len(m.ancestor) for m, copy in zip(founder.modules, copies, strict=True)),
    )


def _drifted_linker(rng: np.random.Generator, linker: Copy, kept: float, drift: Drift) -> Codes:
    size = len(linker.codes)
    return diverge(rng, linker, round(kept * size), np.ones(size), drift).codes


def _drifted_module(rng: np.random.Generator, spec: SimulationSpec, module: ModuleFamily, copy: Copy) -> Copy:
    """A homologue's module: between what the founder conserves and the least that is allowed."""
    lowest, highest = spec.module_identity[0], copy.conserved / len(module.ancestor)
    return module.copy(rng, copy, lowest + (highest - lowest) * float(rng.random()), _drift(spec))


def _drift(spec: SimulationSpec) -> Drift:
    composition = disordered(spec.linker_disorder)
    return Drift(composition, spec.conservative_share, spec.deletion_share, spec.insertion_rate)
