"""Types of every task's configuration; the values live in ``conf/`` alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, make_dataclass
from typing import Any, TypeVar, get_type_hints

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from esm2_amp.data.homology import ENGINES
from esm2_amp.errors import InputError
from esm2_amp.evaluation.intervals import Resampling
from esm2_amp.features.identity import LongPolicy
from esm2_amp.models.optimisation import Optimisation
from esm2_amp.sources.spec import SimulationSpec

T = TypeVar("T")


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
    fresh_negatives: float
    network: dict[str, Any]
    optimizer: OptimizerConfig

    def check(self) -> None:
        """Refuse impossible settings."""
        if not 0 <= self.fresh_negatives <= 1:
            raise InputError(f"model.fresh_negatives is {self.fresh_negatives}", remedy="Give a share from 0 to 1.")
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


def several(value: Any) -> list[str]:
    """One name, a list of names or None, as a list."""
    if value is None:
        return []
    return [str(name) for name in value] if isinstance(value, list) else [str(value)]


def typed(kind: type[T], cfg: DictConfig) -> T:
    """Turn a composed configuration into its dataclass.

    Raises:
        InputError: a value of the wrong type, an unknown key, or a value the user must give.
    """
    try:
        typed_cfg = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(kind), cfg))
    except MissingMandatoryValue as error:
        key = str(error.full_key)
        raise InputError(f"{key} is not given", remedy=f"Add {key}=VALUE to the command.") from None
    except OmegaConfBaseException as error:
        message = (error.msg or str(error)).splitlines()[0]
        raise InputError(f"{error.full_key or 'configuration'}: {message}", remedy="See --help.") from error
    if not isinstance(typed_cfg, kind):
        raise TypeError(f"{type(typed_cfg)} instead of {kind}")
    return typed_cfg


def at_least(**bounds: tuple[float | None, float]) -> None:
    """Refuse values below their bounds by name: ``at_least(epochs=(cfg.epochs, 1))``; None passes."""
    for name, (value, least) in bounds.items():
        if value is not None and value < least:
            raise InputError(f"{name.replace('__', '.')} is {value}", remedy=f"Give {least:g} or more.")
