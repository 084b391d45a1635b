"""Controls: the training pairs with what there is to learn destroyed. A model trained on them must fall to chance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from esm2_amp.errors import InputError
from esm2_amp.evaluation.shuffles import rewired, shuffled_labels
from esm2_amp.tasks.console import log
from esm2_amp.tasks.training_data import TrainingData

CONTROLS = {
    "labels": "training pairs with shuffled labels",
    "rewire": "training pairs with exchanged partners, every protein keeping its numbers of positives and negatives",
}


def check_control(control: str | None) -> None:
    """Refuse a control that there is not.

    Raises:
        InputError: by name.
    """
    if control is not None and control not in CONTROLS:
        raise InputError(f"control is {control!r}", remedy=f"Use {', '.join(CONTROLS)} or null.")


def with_control(data: TrainingData, control: str | None, seed: int) -> TrainingData:
    """The data with its training pairs destroyed as the control says; validation and test pairs stay."""
    if control is None:
        return data
    log.warning("A control, no result: this run trains on %s.", CONTROLS[control])
    train = data.train
    if control == "labels":
        return replace(data, train=replace(train, label=shuffled_labels(train.label, seed).astype(train.label.dtype)))
    # the negatives, too: where they were chosen by the rule, they alone would teach it
    positives = rewired(train.a, train.b, train.label, len(train.proteins), seed)
    new = rewired(positives.a, positives.b, 1 - train.label, len(train.proteins), seed)
    if unswapped := positives.unswapped + new.unswapped:
        log.warning("%d pairs stay as they are: no exchange was found for them.", unswapped)
    pairs = replace(train, a=new.a.astype(train.a.dtype), b=new.b.astype(train.b.dtype))
    return replace(data, train=pairs)


def banner_of(training: Mapping[str, Any]) -> str | None:
    """What must not be overlooked about a model trained so; ``training`` is that of its card."""
    if control := training.get("control"):
        return f"A control, no result: the model was trained on {CONTROLS.get(control, control)}."
    return "Simulated data: these numbers say nothing about biology." if training["simulated"] else None
