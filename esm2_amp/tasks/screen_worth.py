"""What scores of a screen are worth: probabilities at the stated prevalence, and the precision to expect."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from esm2_amp.evaluation.operating import OperatingCurve, Precision
from esm2_amp.evaluation.prevalence import shifted
from esm2_amp.io.atomic import atomic_text
from esm2_amp.models.checkpoint import ModelCard
from esm2_amp.models.predictor import TrainedModel
from esm2_amp.screening.background import Background
from esm2_amp.screening.promiscuity import above

COLUMNS = (
    "logit", "probability", "probability_at_prevalence", "recall", "pairs",
    "expected_precision", "expected_precision_low", "expected_precision_high", "expected_precision_by_count",
)  # fmt: skip
_HALF = 0.5


class Worth(NamedTuple):
    """A threshold: probabilities there, recall on validation, pairs that reach it, and the precision to expect."""

    logit: float
    probability: float
    at_prevalence: float
    recall: float
    pairs: float
    precision: Precision
    by_count: float


class Prior:
    """From the probabilities of a model to those where interacting pairs are as rare as stated.

    Args:
        card: of the model; its validation pairs say at which share of positives it was calibrated.
        negatives_per_positive: how rare they are.
    """

    def __init__(self, card: ModelCard, negatives_per_positive: float) -> None:
        self.ratio, self._apply = negatives_per_positive, card.calibrator.apply
        found = card.metrics.get("val", {}).get("all", {})
        n, positives = found.get("n", 0), found.get("n_positive", 0)
        self.known = 0 < positives < n
        self.positive_share: float = positives / n if self.known else _HALF

    def probability(self, logits: ArrayLike) -> NDArray[np.float64]:
        """As the model gives them."""
        return self._apply(logits)

    def at_prevalence(self, logits: ArrayLike) -> NDArray[np.float64]:
        """For the stated prevalence."""
        return shifted(self._apply(logits), self.positive_share, self.ratio)


def curve_of(model: TrainedModel) -> OperatingCurve | None:
    """What training wrote of a model's validation pairs; None for one trained before it did, or on one class."""
    found = model.card.metrics.get("operating")
    return None if found is None else OperatingCurve.from_dict(found, model.folder / "card.json")


def worth(curve: OperatingCurve, background: Background, pairs: int, prior: Prior) -> list[Worth]:
    """What each threshold of a model's operating curve means in this screen.

    ``by_count`` divides the true pairs to expect, recall x pairs / (1 + negatives per positive), by the pairs that
    reach the threshold here: it needs the recall of the validation pairs only, and tells where the proteins of this
    screen score higher or lower than the validation pairs did.

    Args:
        curve: measured on validation pairs.
        background: of the screen; those of a random sample will do.
        pairs: of the screen, scored or not.
        prior: how rare interacting pairs are.
    """
    logits = np.array(curve.thresholds)
    counted = background.counts.sum() / 2
    reached = above(background, logits) * (pairs / counted)
    true = curve.recall * pairs / (1 + prior.ratio)
    by_count = np.minimum(np.divide(true, reached, out=np.ones_like(true), where=reached > true), 1.0)
    columns = zip(
        logits.tolist(), prior.probability(logits).tolist(), prior.at_prevalence(logits).tolist(),
        curve.recall.tolist(), reached.tolist(), curve.precision(prior.ratio), by_count.tolist(), strict=True,
    )  # fmt: skip
    return [Worth(*row) for row in columns]


def write_worth(file: Path, rows: Sequence[Worth]) -> None:
    """``precision.tsv``."""
    with atomic_text(file) as stream:
        writer = csv.writer(stream, delimiter="\t", lineterminator="\n")
        writer.writerow(COLUMNS)
        for row in rows:
            numbers = (*row[:4], round(row.pairs), *row.precision, row.by_count)
            writer.writerow([f"{number:.6g}" if isinstance(number, float) else number for number in numbers])
