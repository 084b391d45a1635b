"""Who computed a feature, and from how much of the protein."""

from __future__ import annotations

from dataclasses import dataclass

from esm2_amp.errors import InputError


@dataclass(frozen=True)
class EncoderIdentity:
    """Who computed a feature: the hash of the weights decides, the name is for people."""

    name: str
    sha256: str
    width: int

    def __str__(self) -> str:
        return f"{self.name} ({self.width} dimensions, weights {self.sha256[:12]})"

    def same_weights(self, other: EncoderIdentity) -> bool:
        """True where both name the same weights, under whatever name."""
        return self.sha256 == other.sha256 and self.width == other.width


@dataclass(frozen=True)
class LongPolicy:
    """What happens to a protein of more than ``max_residues`` residues.

    ``full`` encodes it whole (rotary positions go beyond the 1,022 residues of ESM-2's training); ``chunk`` encodes
    overlapping pieces of ``max_residues`` residues; ``truncate`` encodes its first ``max_residues`` residues.
    """

    mode: str
    max_residues: int

    def __post_init__(self) -> None:
        if self.mode not in ("full", "chunk", "truncate"):
            raise InputError(f"long-protein policy {self.mode!r} is unknown", remedy="Use full, chunk or truncate.")
        if self.max_residues < 10:
            raise InputError(
                f"max_residues is {self.max_residues}", remedy="Use 10 or more; ESM-2 was trained on 1022."
            )

    def residues(self, length: int) -> int:
        """How many residues of a protein are encoded."""
        return min(length, self.max_residues) if self.mode == "truncate" else length

    def pieces(self, length: int) -> list[tuple[int, int]]:
        """The runs of residues (start, stop) that are encoded by themselves, between a cls and an eos of their own.

        Chunks are ``max_residues`` long, as few as overlap by a quarter or more, and evenly spaced.
        """
        size = self.max_residues
        if self.mode != "chunk" or length <= size:
            return [(0, self.residues(length))]
        steps = -(-(length - size) // (size - size // 4))
        starts = [step * (length - size) // steps for step in range(steps + 1)]
        return [(start, start + size) for start in starts]

    def __str__(self) -> str:
        return "full" if self.mode == "full" else f"{self.mode} at {self.max_residues}"

    @property
    def tag(self) -> str:
        """Short form for folder names."""
        return {"full": "full", "chunk": f"chunk{self.max_residues}", "truncate": f"first{self.max_residues}"}[
            self.mode
        ]
