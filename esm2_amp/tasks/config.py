"""Types of every task's configuration; the values live in ``conf/`` alone."""

from __future__ import annotations

from dataclasses import dataclass, fields, make_dataclass
from typing import Any, get_type_hints

from omegaconf import OmegaConf

from esm2_amp.sources.spec import SimulationSpec
from esm2_amp.tasks.config_explain import ExplainConfig as ExplainConfig
from esm2_amp.tasks.config_groups import (
    DataConfig,
    EncoderConfig,
    FeaturesConfig,
    HomologyConfig,
    LoggerConfig,
    ModelConfig,
    ReportConfig,
    TrainerConfig,
)
from esm2_amp.tasks.config_neighbours import NeighboursConfig as NeighboursConfig
from esm2_amp.tasks.config_screen import ScreenConfig as ScreenConfig
from esm2_amp.tasks.options import several, typed


@dataclass
class TrainConfig:
    """``conf/train.yaml``."""

    model: ModelConfig
    encoder: EncoderConfig
    data: DataConfig
    trainer: TrainerConfig
    logger: LoggerConfig
    features: FeaturesConfig
    report: ReportConfig
    seed: int
    run_dir: str | None
    resume: bool
    epochs: int
    patience: int
    batch_size: int
    calibration: str
    partner_shuffle: bool
    control: str | None


@dataclass
class TuneSettings:
    """Trials, folds and storage of a sweep."""

    trials: int
    folds: int
    split: str
    metric: str
    storage: str | None
    study: str | None
    space: str | None
    startup_trials: int
    prune: bool
    prune_startup: int
    prune_warmup: int
    retries: int
    final: bool


@dataclass
class SweepReportConfig(ReportConfig):
    """The same of the model trained at the end, and how the page of the sweep is written."""

    plotlyjs: str


@dataclass
class TuneConfig:
    """``conf/tune.yaml``."""

    model: ModelConfig
    search: dict[str, Any]
    encoder: EncoderConfig
    data: DataConfig
    trainer: TrainerConfig
    logger: LoggerConfig
    features: FeaturesConfig
    seed: int
    run_dir: str | None
    epochs: int
    patience: int
    batch_size: int
    calibration: str
    tune: TuneSettings
    report: SweepReportConfig


@dataclass
class PredictConfig:
    """``conf/predict.yaml``."""

    encoder: EncoderConfig
    features: FeaturesConfig
    report: ReportConfig
    pairs: str
    fasta: str
    checkpoint: str
    output: str | None
    batch_size: int
    train_pairs: str | None
    evidence: int


@dataclass
class EvaluateConfig:
    """``conf/evaluate.yaml``."""

    report: ReportConfig
    scores: Any
    against: Any
    train_pairs: str | None
    val_scores: Any
    against_val: Any
    threshold: float | None
    calibration: str
    fasta: str | None
    store: str | None
    homology: HomologyConfig
    output: str | None


@dataclass
class RegionsConfig:
    """``conf/regions.yaml``."""

    report: ReportConfig
    segments: str
    annotations: Any
    output: str
    fasta: str | None
    kinds: Any
    method: str | None
    unknown: str
    permutations: int


@dataclass
class ExtractConfig:
    """``conf/extract.yaml``."""

    encoder: EncoderConfig
    features: FeaturesConfig
    trainer: TrainerConfig
    fasta: str
    store: str | None


@dataclass
class StoreConfig:
    """``conf/store.yaml``."""

    encoder: EncoderConfig
    features: FeaturesConfig
    action: str
    store: str
    output: str | None
    fasta: str | None
    form: str
    token: str | None
    sources: Any
    damaged: bool
    source: str | None
    unknown: str
    check: int
    residues: bool

    def merged(self) -> list[str]:
        """The stores to merge: none, one or several."""
        return several(self.sources)


@dataclass
class AuditConfig:
    """``conf/audit.yaml``."""

    fasta: str
    train: str
    val: str | None
    test: Any
    output: str
    declared: str | None
    strict: bool
    unknown: str
    conflicts: str
    homology: HomologyConfig
    threads: int | None


@dataclass
class NegativesConfig:
    """How negatives are drawn; see ``conf/split.yaml``."""

    kind: str
    ratio: float
    known: Any


@dataclass
class SplitConfig:
    """``conf/split.yaml``."""

    pairs: str
    fasta: str
    output: str
    kind: str
    ratios: list[float]
    folds: int
    fold_by: str
    seed: int
    unknown: str
    conflicts: str
    negatives: NegativesConfig
    homology: HomologyConfig
    threads: int | None


@dataclass
class PretrainConfig:
    """``conf/pretrain.yaml``."""

    fasta: Any
    output: str
    layers: int
    width: int
    heads: int
    feedforward: int
    steps: int
    warmup: int
    tokens: int
    window: int
    learning_rate: float
    steps_per_epoch: int
    held_out: float
    precision: str
    threads: int | None
    seed: int


@dataclass
class SimulateConfig:
    """``conf/simulate.yaml``."""

    output: str
    seed: int
    world: dict[str, Any]

    def spec(self) -> SimulationSpec:
        """The settings of the world, types and values checked."""
        hints = get_type_hints(SimulationSpec)
        # a twin of the specification that is not frozen: OmegaConf fills nothing else
        fillable = make_dataclass("World", [(field.name, hints[field.name]) for field in fields(SimulationSpec)])
        filled = vars(typed(fillable, OmegaConf.create(self.world)))
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in filled.items()}
        spec = SimulationSpec(**values)
        spec.check()
        return spec


@dataclass
class FetchConfig:
    """``conf/fetch.yaml``."""

    dataset: str
    folder: str | None
    base_url: str | None
