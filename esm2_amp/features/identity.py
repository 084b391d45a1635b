"""Who computed a feature."""

from __future__ import annotations

from dataclasses import dataclass


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
