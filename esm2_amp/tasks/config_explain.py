"""Types of the configuration of ``esm2-amp explain``; the values live in ``conf/explain.yaml`` alone."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from esm2_amp.tasks.config_groups import EncoderConfig, FeaturesConfig
from esm2_amp.tasks.options import at_least

if TYPE_CHECKING:
    from esm2_amp.explain.surrogate_fit import SurrogateSettings


@dataclass
class IntegratedGradientsConfig:
    """How exact integrated gradients must be; see ``conf/explain.yaml``."""

    tolerance: float
    max_steps: int


@dataclass
class FaithfulnessConfig:
    """How many pairs the measures of faithfulness are taken on; see ``conf/explain.yaml``."""

    pairs: int
    resamples: int


@dataclass
class AutoencoderConfig:
    """The autoencoder of the surrogates; see ``conf/explain.yaml``."""

    hidden: list[int]
    code: int
    scale_from: int | None
    epochs: int
    patience: int
    batch_size: int
    lr: float
    held_out: float


@dataclass
class ForestConfig:
    """The random forest among the surrogates."""

    trees: int
    trial_trees: int
    trials: int
    space: dict[str, Any]


@dataclass
class DnnConfig:
    """The perceptron among the surrogates."""

    hidden: list[int]
    epochs: int
    patience: int
    batch_size: int
    lr: float
    weight_decay: float
    background: int
    ig_steps: int


@dataclass
class SurrogateConfig:
    """The models that ``ae_...`` explain; see ``conf/explain.yaml``."""

    max_pairs: int
    folds: int
    folds_by: str
    autoencoder: AutoencoderConfig
    forest: ForestConfig
    dnn: DnnConfig

    def settings(self, seed: int) -> SurrogateSettings:
        """Checked."""
        from esm2_amp.explain.autoencoder import AutoencoderSettings
        from esm2_amp.explain.dnn import DnnSettings
        from esm2_amp.explain.forest_fit import ForestSettings
        from esm2_amp.explain.surrogate_fit import SurrogateSettings

        at_least(surrogate__folds=(self.folds, 2))
        coder, dnn = asdict(self.autoencoder), asdict(self.dnn)
        return SurrogateSettings(
            AutoencoderSettings(**{**coder, "hidden": tuple(self.autoencoder.hidden)}),
            ForestSettings(**asdict(self.forest)),
            DnnSettings(**{**dnn, "hidden": tuple(self.dnn.hidden)}),
            self.folds,
            self.folds_by,
            self.max_pairs,
            seed,
        )


@dataclass
class ExplainConfig:
    """``conf/explain.yaml``."""

    encoder: EncoderConfig
    features: FeaturesConfig
    pairs: str
    fasta: str
    checkpoint: str
    output: str | None
    method: Any
    train_pairs: str
    regions: Any
    seed: int
    batch_size: int
    pages: int
    evidence: int
    figures: bool
    background: int
    ig: IntegratedGradientsConfig
    faithfulness: FaithfulnessConfig
    surrogate: SurrogateConfig
