"""Types of the groups of options that tasks share; the values live in the folders of ``conf/`` alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from esm2_amp.data.homology import ENGINES
from esm2_amp.errors import InputError
from esm2_amp.evaluation.intervals import Resampling
from esm2_amp.features.identity import LongPolicy
from esm2_amp.models.optimisation import Optimisation
from esm2_amp.tasks.options import at_least, several


@dataclass
class EncoderConfig:
    """Which encoder; see ``conf/encoder``."""

    name: str | None
    path: str | None
    hub: str | None
    revision: str | None


@dataclass
class FeaturesConfig:
    """How features are computed and where they are kept; see ``conf/features``."""

    folder: str
    long: str
    max_residues: int
    residues: bool
    token_budget: int | None
    precision: str
    device: str
    threads: int | None

    def policy(self) -> LongPolicy:
        """The long-protein policy."""
        return LongPolicy(self.long, self.max_residues)


@dataclass
class HomologyConfig:
    """How homologues are searched; see ``conf/audit.yaml``."""

    engine: str
    identity: float
    coverage: float

    def check(self, group: str = "") -> None:
        """Refuse what cannot be; ``group`` stands before the keys in messages."""
        if self.engine not in (*ENGINES, "none"):
            raise InputError(f"{group}homology.engine is {self.engine!r}", remedy=f"Use {', '.join(ENGINES)} or none.")
        for name in ("identity", "coverage"):
            if not 0 < getattr(self, name) < 1:
                raise InputError(
                    f"{group}homology.{name} is {getattr(self, name)}", remedy="Give a share between 0 and 1."
                )


@dataclass
class DataConfig:
    """Sequences, labelled pairs and the policies about them; see ``conf/data``."""

    name: str
    fasta: str
    train: str
    val: str
    test: Any
    unknown: str
    conflicts: str
    declared: str | None
    strict: bool
    homology: HomologyConfig

    def tests(self) -> list[str]:
        """The test files: none, one or several."""
        return several(self.test)


@dataclass
class OptimizerConfig:
    """AdamW and ReduceLROnPlateau; see ``conf/model``."""

    lr: float
    weight_decay: float
    plateau_factor: float
    plateau_patience: int
    min_lr: float
    ema_decay: float | None

    def settings(self) -> Optimisation:
        """Checked."""
        return Optimisation(**asdict(self))


@dataclass
class ModelConfig:
    """A network, its hyperparameters and its optimiser; see ``conf/model``."""

    name: str
    standardise: bool
    network: dict[str, Any]
    optimizer: OptimizerConfig

    def check(self) -> None:
        """Refuse impossible settings."""
        self.optimizer.settings()


@dataclass
class TrainerConfig:
    """Lightning's trainer; see ``conf/trainer``."""

    accelerator: str
    devices: Any
    num_nodes: int
    strategy: str
    precision: str
    gradient_clip_val: float | None
    workers: int
    threads: int | None


@dataclass
class LoggerConfig:
    """Where training curves go beside ``history.csv``; see ``conf/logger``."""

    name: str


@dataclass
class ReportConfig:
    """How confidence intervals are drawn; see ``conf/report``."""

    resamples: int
    level: float
    seed: int

    def resampling(self, advance: Callable[[int], object] | None) -> Resampling | None:
        """Checked; None where no intervals are wanted. ``advance`` is told the resamples done."""
        at_least(report__resamples=(self.resamples, 0), report__seed=(self.seed, 0))
        if not 0 < self.level < 1:
            raise InputError(f"report.level is {self.level}", remedy="Give a share between 0 and 1, as 0.95.")
        return Resampling(self.resamples, self.seed, self.level, advance) if self.resamples else None
