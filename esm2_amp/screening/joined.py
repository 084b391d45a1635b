"""The parts of several works as those of one: steps that followed each other, none with a pair of another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from esm2_amp.screening.background import Background
from esm2_amp.screening.parts import KeptPairs, Parts


class JoinedParts:
    """What :func:`~esm2_amp.screening.finish.finish` asks of parts, one step's after the other's.

    Args:
        steps: the parts of each step and how many units it has; all of the same proteins, with the same edges.
        threshold: pairs with a lower probability are left out; None for none.
    """

    def __init__(self, steps: Sequence[tuple[Parts, int]], threshold: float | None) -> None:
        self._steps, self._threshold = steps, threshold
        self.ids: Sequence[str] = steps[0][0].ids
        self.folder: Path = steps[0][0].folder

    def __len__(self) -> int:
        """Units of all steps."""
        return sum(units for _, units in self._steps)

    def done(self) -> set[int]:
        """The finished units, numbered through."""
        found, before = set[int](), 0
        for parts, units in self._steps:
            found |= {before + number for number in parts.done()}
            before += units
        return found

    def background(self) -> Background:
        """Histograms of all scored pairs."""
        total = self._steps[0][0].background()
        for parts, _ in self._steps[1:]:
            total.add_cells(*parts.background().cells())
        return total

    def kept(self) -> Iterator[KeptPairs]:
        """The pairs of each unit, step by step."""
        for parts, _ in self._steps:
            for pairs in parts.kept():
                least = self._threshold
                yield pairs if least is None else pairs.where(pairs.probability >= least)
