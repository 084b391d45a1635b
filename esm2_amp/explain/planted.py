"""Which tokens of a simulated pair carry the truth: those of the modules that bind each other."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from esm2_amp.errors import InputError
from esm2_amp.layout import SEGMENT_NAMES, TokenLayout, segment_bounds
from esm2_amp.records import Region

_NOTE = re.compile(r"family=([^;=]+);binds=([^;=]+)")
_REMEDY = "Give the regions.tsv of a folder that esm2-amp simulate wrote."


class Module(NamedTuple):
    """An interaction module: a region of ``start`` to ``end`` (1-based, inclusive), its family, and which it binds."""

    start: int
    end: int
    family: str
    binds: str


def planted_tokens(
    layout: TokenLayout, length_a: int, length_b: int, regions_a: Sequence[Region], regions_b: Sequence[Region]
) -> NDArray[np.bool_]:
    """Say which tokens hold a module of one chain that binds a module of the other.

    A segment counts if at least half of its residues lie in such modules, or if it covers more of one such module than
    any other segment does (of equals, all). cls, eos and mean never count: they hold all of a protein, so measures
    against this truth leave them out (:func:`located_tokens`).

    Args:
        layout: tokens of a chain.
        length_a: residues of the first protein.
        length_b: residues of the second protein.
        regions_a: the simulator's regions of the first protein.
        regions_b: the simulator's regions of the second protein.

    Returns:
        (2T,) bool, in the order of ``layout.pair_names``; all False for proteins that do not interact.

    Raises:
        InputError: a region without a module's note, or beyond the end of its protein.
    """
    a, b = _modules(regions_a, length_a), _modules(regions_b, length_b)
    binding_a = [module for module in a if any(other.family == module.binds for other in b)]
    binding_b = [module for module in b if any(other.family == module.binds for other in a)]
    return np.concatenate([_chain(layout, length_a, binding_a), _chain(layout, length_b, binding_b)])


def module_of(region: Region) -> Module:
    """The interaction module that a region of the simulator is.

    Raises:
        InputError: its note names no family and partner.
    """
    found = _NOTE.fullmatch(region.note)
    if found is None:
        raise InputError(
            f"the note {region.note!r} of a region of {region.protein} does not read family=...;binds=...",
            remedy=_REMEDY,
        )
    return Module(region.start, region.end, *found.groups())


def is_module(region: Region) -> bool:
    """Whether a region is one of the simulator's, with a module's note."""
    try:
        module_of(region)
    except InputError:
        return False
    return True


def located_tokens(layout: TokenLayout) -> NDArray[np.bool_]:
    """(2T,) which tokens of a pair are segments, and so lie somewhere in a sequence."""
    return np.array([name in SEGMENT_NAMES for name in layout] * 2)


def _modules(regions: Sequence[Region], length: int) -> list[Module]:
    for region in regions:
        if region.end > length:
            raise InputError(
                f"a region of {region.protein} ends at {region.end}, but the protein has {length} residues",
                remedy="Give the regions and the sequences of one simulation.",
            )
    return [module_of(region) for region in regions]


def _chain(layout: TokenLayout, length: int, modules: Sequence[Module]) -> NDArray[np.bool_]:
    bounds = np.array(segment_bounds(length))
    inside = np.zeros(length, dtype=bool)
    true = np.zeros(len(bounds), dtype=bool)
    for module in modules:
        inside[module.start - 1 : module.end] = True
        overlap = np.minimum(bounds[:, 1], module.end) - np.maximum(bounds[:, 0], module.start - 1)
        true |= overlap == overlap.max()
    true |= [stop > start and inside[start:stop].mean() >= 0.5 for start, stop in bounds]
    by_name = dict(zip(SEGMENT_NAMES, true.tolist(), strict=True))
    return np.array([by_name.get(name, False) for name in layout])
