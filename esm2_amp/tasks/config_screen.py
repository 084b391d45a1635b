"""Types of the configuration of ``esm2-amp screen``; the values live in ``conf/screen.yaml`` alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from esm2_amp.errors import InputError
from esm2_amp.tasks.config_groups import EncoderConfig, FeaturesConfig, TrainerConfig
from esm2_amp.tasks.options import at_least

STRATEGIES = ("all", "retrieve")
PRECISIONS = ("float32", "bf16")
_COUNTS = ("rounds", "components", "hidden", "rank", "steps")


@dataclass
class ScreenOptions:
    """How pairs are scored and which are kept; see ``conf/screen.yaml``."""

    strategy: str
    top: int | None
    threshold: float | None
    self_pairs: bool
    negatives_per_positive: float
    precision: str
    compile: bool
    tile: int | None
    commit_seconds: float


@dataclass
class RetrieveOptions:
    """How the student proposes pairs; see ``conf/screen.yaml``."""

    share: float
    per_protein: int | None
    sample: float
    judges: float
    rounds: int
    each: int
    components: int
    hidden: int
    rank: int
    steps: int
    lr: float


@dataclass
class NetworkOptions:
    """What is made of the best pairs; see ``conf/screen.yaml``."""

    edges: int
    figures: bool
    explain: int


@dataclass
class ScreenConfig:
    """``conf/screen.yaml``."""

    encoder: EncoderConfig
    features: FeaturesConfig
    trainer: TrainerConfig
    fasta: str
    fasta_b: str | None
    query: Any
    checkpoint: str
    output: str | None
    seed: int
    screen: ScreenOptions
    retrieve: RetrieveOptions
    network: NetworkOptions

    def check(self) -> None:
        """Refuse what cannot be, by name."""
        _one_of("screen.strategy", self.screen.strategy, STRATEGIES)
        _one_of("screen.precision", self.screen.precision, PRECISIONS)
        at_least(
            seed=(self.seed, 0),
            screen__top=(self.screen.top, 1),
            screen__tile=(self.screen.tile, 1),
            screen__commit_seconds=(self.screen.commit_seconds, 0),
            **{f"retrieve__{name}": (getattr(self.retrieve, name), 1) for name in _COUNTS},
            retrieve__per_protein=(self.retrieve.per_protein, 1),
            retrieve__each=(self.retrieve.each, 0),
            network__edges=(self.network.edges, 0),
            network__explain=(self.network.explain, 0),
        )
        if self.screen.threshold is not None:
            _share("screen.threshold", self.screen.threshold)
        for name in ("share", "sample", "judges"):
            _share(f"retrieve.{name}", getattr(self.retrieve, name))
        if not 0 < self.screen.negatives_per_positive < float("inf"):
            raise InputError(
                f"screen.negatives_per_positive is {self.screen.negatives_per_positive}",
                remedy="Give a number above zero, as 100 for 1:100.",
            )
        if self.fasta_b is not None and self.query is not None:
            raise InputError("both fasta_b and query are given", remedy="Leave one out.")


def _one_of(key: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise InputError(f"{key} is {value!r}", remedy=f"Use {' or '.join(choices)}.")


def _share(key: str, value: float) -> None:
    if not 0 < value < 1:
        raise InputError(f"{key} is {value}", remedy="Give a number between 0 and 1.")
