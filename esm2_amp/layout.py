"""Names and order of the vectors ("tokens") that describe a protein, and where its ten segments lie.

Everything that pools, gathers, explains or draws tokens takes their names and order from here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

N_SEGMENTS = 10
SEGMENT_NAMES = tuple(f"segment{i}" for i in range(N_SEGMENTS))
STORED_TOKENS = ("cls", *SEGMENT_NAMES, "eos", "mean")
"""The 13 vectors kept for every protein, in the order in which the feature store holds them."""


def segment_bounds(length: int) -> tuple[tuple[int, int], ...]:
    """Cut residues 0..length-1 into ten runs; the first ``length % 10`` runs are one residue longer.

    Args:
        length: number of residues, 0 or more.

    Returns:
        Ten half-open ``(start, stop)`` intervals, 0-based. With fewer than ten residues the last ones are empty.

    Source: Sun et al. 2025 (doi 10.1093/bib/bbaf434), the divmod rule of their feature extraction.
    """
    if length < 0:
        raise ValueError(f"a protein cannot have {length} residues")
    size, longer = divmod(length, N_SEGMENTS)
    starts = [i * size + min(i, longer) for i in range(N_SEGMENTS + 1)]
    return tuple(zip(starts[:-1], starts[1:], strict=True))


@dataclass(frozen=True)
class TokenLayout:
    """Which of the stored tokens a model reads from each protein, and in which order.

    Raises:
        ValueError: an unknown, repeated or missing name.
    """

    names: tuple[str, ...]

    def __post_init__(self) -> None:
        unknown = [name for name in self.names if name not in STORED_TOKENS]
        if unknown or not self.names or len(set(self.names)) != len(self.names):
            raise ValueError(f"not a token layout: {self.names}; the tokens are {', '.join(STORED_TOKENS)}")

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    @property
    def stored(self) -> tuple[int, ...]:
        """Position of each token among :data:`STORED_TOKENS`."""
        return tuple(STORED_TOKENS.index(name) for name in self.names)

    @property
    def pair_names(self) -> tuple[str, ...]:
        """Names of the tokens of a pair: all of protein A, then all of protein B."""
        return tuple(f"{chain}_{name}" for chain in "AB" for name in self.names)


SEGMENTS = TokenLayout(SEGMENT_NAMES)
CLS_SEGMENTS_EOS = TokenLayout(("cls", *SEGMENT_NAMES, "eos"))
MEAN = TokenLayout(("mean",))
ALL_TOKENS = TokenLayout(STORED_TOKENS)
