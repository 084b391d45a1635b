"""Amino-acid compositions, and how a copy of a sequence drifts away from its ancestor."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from esm2_amp.records import STANDARD_RESIDUES

Codes = NDArray[np.int64]
"""Residues as positions in :data:`~esm2_amp.records.STANDARD_RESIDUES`."""
Floats = NDArray[np.float64]

# per cent, in the order of STANDARD_RESIDUES: UniProtKB/Swiss-Prot release statistics, section "amino acid composition"
_SWISS_PROT = (
    8.25, 1.38, 5.46, 6.72, 3.86, 7.07, 2.27, 5.91, 5.80, 9.65,
    2.41, 4.06, 4.74, 3.93, 5.53, 6.65, 5.36, 6.86, 1.10, 2.92,
)  # fmt: skip
BACKGROUND: Floats = np.array(_SWISS_PROT) / sum(_SWISS_PROT)

# Dunker et al. 2001 (doi 10.1016/S1093-3263(00)00138-8): residues enriched and depleted in disordered segments
_DISORDER, _ORDER = "AEGKPQRS", "CFILNVWY"
# residues that replace one another most often: the blocks of high scores in BLOSUM62
_GROUPS = ("ST", "AG", "ILMV", "FWY", "DE", "NQ", "HKR")
_SAME_GROUP = np.zeros((20, 20))
for _group in _GROUPS:
    _members = [STANDARD_RESIDUES.index(letter) for letter in _group]
    _SAME_GROUP[np.ix_(_members, _members)] = 1.0
np.fill_diagonal(_SAME_GROUP, 0.0)


def disordered(bias: float) -> Floats:
    """The background composition with disorder-promoting residues ``bias`` times more, order-promoting ones less."""
    weights = BACKGROUND.copy()
    weights[[STANDARD_RESIDUES.index(letter) for letter in _DISORDER]] *= bias
    weights[[STANDARD_RESIDUES.index(letter) for letter in _ORDER]] /= bias
    return weights / weights.sum()


def draw(rng: np.random.Generator, composition: Floats, length: int) -> Codes:
    """Draw ``length`` independent residues from a composition."""
    # inverse of the cumulative distribution: uses nothing of the generator but uniform numbers
    codes = np.searchsorted(np.cumsum(composition), rng.random(length), side="right")
    return np.minimum(codes, 19).astype(np.int64)


def to_text(codes: Codes) -> str:
    """Write residues as letters."""
    return "".join(STANDARD_RESIDUES[code] for code in codes)


@dataclass(frozen=True)
class Copy:
    """A descendant of an ancestral sequence.

    ``codes`` are its residues; ``origin`` says, for each of them, which ancestral position it still equals, or -1
    where it was substituted or inserted. The identity to the ancestor is therefore at least
    ``conserved / len(ancestor)``.
    """

    codes: Codes
    origin: Codes

    @classmethod
    def of(cls, ancestor: Codes) -> Copy:
        """An unchanged copy."""
        return cls(ancestor, np.arange(len(ancestor), dtype=np.int64))

    @property
    def conserved(self) -> int:
        """Number of ancestral residues that are still there."""
        return int((self.origin >= 0).sum())


@dataclass(frozen=True)
class Drift:
    """How copies change.

    Attributes:
        composition: what replaces a residue, shape (20,).
        conservative: share of the substitutions that stay inside a group of alike residues.
        deletions: share of the changed positions that disappear instead of being replaced.
        insertions: chance that one to three residues are inserted behind a residue.
    """

    composition: Floats
    conservative: float
    deletions: float
    insertions: float


def diverge(rng: np.random.Generator, parent: Copy, keep: int, rates: Floats, drift: Drift) -> Copy:
    """Change ancestral residues of ``parent`` until exactly ``keep`` are conserved.

    Args:
        rng: source of randomness.
        parent: what to start from; a copy that already conserves no more than ``keep`` only gains insertions.
        keep: number of ancestral residues to conserve.
        rates: relative rate of change of each ancestral position.
        drift: how positions change.
    """
    places = np.flatnonzero(parent.origin >= 0)
    # weighted sampling without replacement: the smallest of exponential waiting times
    waits = rng.exponential(size=len(places)) / rates[parent.origin[places]]
    changed = places[np.argsort(waits, kind="stable")[: max(len(places) - keep, 0)]]
    codes, origin = parent.codes.copy(), parent.origin.copy()
    for place in changed:
        codes[place] = _substitute(rng, int(codes[place]), drift)
    origin[changed] = -1
    gone = changed[rng.random(len(changed)) < drift.deletions]
    return _insert(rng, Copy(np.delete(codes, gone), np.delete(origin, gone)), drift)


def _substitute(rng: np.random.Generator, code: int, drift: Drift) -> int:
    alike = drift.composition * _SAME_GROUP[code]
    if rng.random() < drift.conservative and alike.sum() > 0:
        weights = alike
    else:
        weights = drift.composition.copy()
        weights[code] = 0.0
    return int(draw(rng, weights / weights.sum(), 1)[0])


def _insert(rng: np.random.Generator, copy: Copy, drift: Drift) -> Copy:
    places = np.flatnonzero(rng.random(len(copy.codes)) < drift.insertions)
    behind = np.repeat(places + 1, rng.integers(1, 4, size=len(places)))
    new = draw(rng, drift.composition, len(behind))
    return Copy(np.insert(copy.codes, behind, new), np.insert(copy.origin, behind, -1))
