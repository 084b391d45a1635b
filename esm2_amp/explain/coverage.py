"""How much of each segment of a protein annotated regions cover."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from esm2_amp.layout import N_SEGMENTS, segment_bounds
from esm2_amp.records import Region

ANY = "any"
"""The union of the regions of all kinds, beside the kinds themselves."""


@dataclass(frozen=True, eq=False)
class Coverage:
    """Covered residues of the ten segments of n proteins.

    ``row`` numbers the proteins; ``columns`` are :data:`ANY` and k kinds; ``covered`` (n, 10, 1 + k) counts residues,
    ``sizes`` (n, 10) those of the segments. A protein of fewer than ten residues has segments of none: they have no
    coverage, and :attr:`percent` is NaN there.
    """

    row: dict[str, int]
    columns: tuple[str, ...]
    covered: NDArray[np.int64]
    sizes: NDArray[np.int64]

    @property
    def percent(self) -> NDArray[np.float64]:
        """(n, 10, 1 + k) percentage of the residues of each segment, NaN where it has none."""
        sizes = self.sizes[:, :, None]
        return np.divide(100.0 * self.covered, sizes, out=np.full(self.covered.shape, np.nan), where=sizes > 0)


def cover(lengths: Mapping[str, int], regions: Mapping[str, Sequence[Region]], kinds: Sequence[str]) -> Coverage:
    """Cover the segments of proteins with the unions of their regions.

    Args:
        lengths: residues of each protein; these proteins are covered.
        regions: theirs, within these lengths; a protein without any is covered by nothing.
        kinds: the kinds that count; regions of others do not, under :data:`ANY` neither.
    """
    covered = np.zeros((len(lengths), N_SEGMENTS, 1 + len(kinds)), dtype=np.int64)
    edges = np.array([_edges(length) for length in lengths.values()], dtype=np.int64).reshape(-1, N_SEGMENTS + 1)
    for number, protein in enumerate(lengths):
        by_kind: dict[str, list[Region]] = {kind: [] for kind in kinds}
        for region in regions.get(protein, ()):
            if region.kind in by_kind:
                by_kind[region.kind].append(region)
        groups = [[region for group in by_kind.values() for region in group], *by_kind.values()]
        for column, group in enumerate(groups):
            if group:
                covered[number, :, column] = np.diff(covered_before(group, edges[number]))
    return Coverage({name: i for i, name in enumerate(lengths)}, (ANY, *kinds), covered, np.diff(edges, axis=1))


def covered_before(regions: Iterable[Region], positions: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many residues before each position lie in the union of regions.

    Args:
        regions: at least one, in any order; they may touch, overlap and hold one another.
        positions: (p,) 0-based; a position counts the residues in front of it.
    """
    runs: list[list[int]] = []
    for start, end in sorted((region.start - 1, region.end) for region in regions):
        if runs and start <= runs[-1][1]:
            runs[-1][1] = max(runs[-1][1], end)
        else:
            runs.append([start, end])
    starts, stops = np.array(runs, dtype=np.int64).T
    whole = np.concatenate([[0], np.cumsum(stops - starts)])
    run = np.searchsorted(starts, positions, side="right")  # runs that begin at or before each position
    unfinished = np.where(run > 0, np.maximum(stops[run - 1] - positions, 0), 0)
    return np.asarray(whole[run] - unfinished, dtype=np.int64)


def _edges(length: int) -> list[int]:
    bounds = segment_bounds(length)
    return [bounds[0][0], *(stop for _, stop in bounds)]
