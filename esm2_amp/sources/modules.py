"""Interaction modules of the simulated world: their families, and which family binds which."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from esm2_amp.sources.divergence import Codes, Copy, Drift, Floats, diverge, draw

_MOTIF_RATE = 0.1
"""Rate of change inside a linear motif, relative to the linker around it: what binds is what is conserved."""


@dataclass(frozen=True)
class ModuleFamily:
    """A family of interaction modules.

    Attributes:
        name: ``D01`` (a domain) or ``M01`` (linear motifs in a low-complexity linker).
        kind: ``domain`` or ``motif``.
        binds: name of the one family whose modules it binds; its own for a homotypic family.
        ancestor: the sequence that all its modules descend from.
        composition: what substitutions and insertions in this family are drawn from, shape (20,).
        rates: relative rate of change of each ancestral position.
    """

    name: str
    kind: str
    binds: str
    ancestor: Codes
    composition: Floats
    rates: Floats

    def copy(self, rng: np.random.Generator, parent: Copy, identity: float, drift: Drift) -> Copy:
        """Let ``parent``, a copy of the ancestor, drift to ``identity`` (share of ancestral residues conserved)."""
        own = Drift(self.composition, drift.conservative, drift.deletions, drift.insertions)
        return diverge(rng, parent, round(identity * len(self.ancestor)), self.rates, own)


def partners(rng: np.random.Generator, domains: Sequence[str], motifs: Sequence[str], homotypic: int) -> dict[str, str]:
    """Match module families one to one: every motif with a domain, the first ``homotypic`` domains with themselves.

    The other domains are matched with each other at random.

    Args:
        rng: source of randomness.
        domains: names of the domain families.
        motifs: names of the motif families; no more than the domains that are left.
        homotypic: number of domain families that bind themselves.

    Returns:
        For each family the one it binds; ``binds[binds[f]] == f``.

    Raises:
        ValueError: the numbers do not allow a perfect matching.
    """
    others = [domains[i] for i in homotypic + rng.permutation(len(domains) - homotypic)]
    if len(motifs) > len(others) or (len(others) - len(motifs)) % 2:
        raise ValueError(f"{len(domains)} domain families, {homotypic} homotypic, and {len(motifs)} motif families")
    rest = others[len(motifs) :]
    couples = [(name, name) for name in domains[:homotypic]]
    couples += list(zip(others[: len(motifs)], motifs, strict=True)) + list(zip(rest[::2], rest[1::2], strict=True))
    return {a: b for couple in couples for a, b in (couple, couple[::-1])}


def domain_family(
    rng: np.random.Generator, name: str, binds: str, length: tuple[int, int], composition: Floats
) -> ModuleFamily:
    """Invent a family of folded domains: one ancestral sequence, sites that evolve at gamma-distributed rates.

    Args:
        rng: source of randomness.
        name: its name.
        binds: the family it binds.
        length: smallest and largest length of the ancestor, inclusive.
        composition: amino-acid composition of the family, shape (20,).
    """
    ancestor = draw(rng, composition, int(rng.integers(length[0], length[1] + 1)))
    # Yang 1994 (doi 10.1007/BF00160154): rates among sites follow a gamma distribution, shape near 1 for proteins
    rates = rng.gamma(1.0, size=len(ancestor)) + 0.05
    return ModuleFamily(name, "domain", binds, ancestor, composition, rates)


def motif_family(
    rng: np.random.Generator,
    name: str,
    binds: str,
    length: tuple[int, int],
    motif: tuple[int, int],
    repeats: int,
    composition: Floats,
) -> ModuleFamily:
    """Invent a family of linear motifs: one short motif, repeated in a low-complexity linker.

    Args:
        rng: source of randomness.
        name: its name.
        binds: the family it binds.
        length: smallest and largest length of the whole stretch, inclusive.
        motif: smallest and largest length of the motif, inclusive.
        repeats: how many copies of the motif the stretch holds.
        composition: amino-acid composition of motif and linker, shape (20,).
    """
    core = draw(rng, composition, int(rng.integers(motif[0], motif[1] + 1)))
    spare = int(rng.integers(length[0], length[1] + 1)) - repeats * len(core)
    cuts = np.linspace(0, spare, repeats + 2).round().astype(int)
    parts, rates = [], []
    for i, size in enumerate(np.diff(cuts)):
        parts.append(draw(rng, composition, int(size)))
        rates.append(np.ones(size))
        if i < repeats:
            parts.append(core)
            rates.append(np.full(len(core), _MOTIF_RATE))
    return ModuleFamily(name, "motif", binds, np.concatenate(parts), composition, np.concatenate(rates))
