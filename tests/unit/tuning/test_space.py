"""Search spaces: what is read is what was written, and nonsense is refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from esm2_amp.errors import InputError
from esm2_amp.tuning.space import read_space

CONF = Path(__file__).parents[3] / "conf"


def lr(**changed: Any) -> dict[str, Any]:
    values = {"type": "float", "low": 0.1, "high": 0.5} | changed
    return {"model": {"optimizer": {"lr": {key: value for key, value in values.items() if value is not None}}}}


def test_a_space_is_read_as_it_is_written() -> None:
    space = read_space(
        {
            "batch_size": {"type": "int", "low": 16, "high": 256, "log": True},
            "model": {
                "optimizer": {"lr": {"type": "float", "low": 1, "high": 2, "step": 0.25}},
                "network": {"hidden1": {"type": "int", "low": 80, "high": 320, "step": 80}, "scale_from": 1280},
                "standardise": {"type": "categorical", "choices": [True, False]},
            },
        },
        "search",
    )
    assert space.ranges == {
        "batch_size": IntDistribution(16, 256, log=True),
        "model.optimizer.lr": FloatDistribution(1.0, 2.0, step=0.25),
        "model.network.hidden1": IntDistribution(80, 320, step=80),
        "model.standardise": CategoricalDistribution([True, False]),
    }
    assert space.fixed == {"model.network.scale_from": 1280}
    low, high = space.corners()
    assert low["model.network.hidden1"] == 80
    assert high == {
        "batch_size": 256,
        "model.optimizer.lr": 2.0,
        "model.network.hidden1": 320,
        "model.standardise": False,
        "model.network.scale_from": 1280,
    }


PUBLISHED = {
    "amps": ("1e-05..0.001 log", "0.0001..0.01 log", {"hidden1": "480..640 step 160", "hidden2": "80..320 step 80"}),
    "amp_cse": ("1e-05..0.001 log", "0.0001..0.1 log", {"hidden1": "480..640 step 160", "hidden2": "80..320 step 80"}),
    "dpm": (
        "1e-06..1e-05 log",
        "0.001..0.1 log",
        {"hidden1": "960..1280 step 320", "hidden2": "320..640 step 160", "hidden3": "40..160 step 60"},
    ),
}


@pytest.mark.parametrize("model", PUBLISHED)
def test_the_shipped_ranges_are_the_published_ones_at_width_1280(model: str) -> None:
    space = read_space(yaml.safe_load((CONF / "search" / f"{model}.yaml").read_text()), "search")
    rate, decay, sizes = PUBLISHED[model]
    assert {name: words for name, words in space.describe().items() if name in space.ranges} == {
        "model.optimizer.lr": f"float {rate}",
        "model.optimizer.weight_decay": f"float {decay}",
        **{f"model.network.{name}": f"int {words}" for name, words in sizes.items()},
    }
    network = yaml.safe_load((CONF / "model" / f"{model}.yaml").read_text())["network"]
    assert space.fixed.get("model.network.scale_from", network["scale_from"]) == 1280  # scaled to other widths


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (lr(type="real"), "search.model.optimizer.lr: type is 'real'"),
        (lr(hihg=1), "'hihg' is unknown"),
        (lr(high=None), "'high' is missing"),
        (lr(low="a"), "low is 'a'"),
        (lr(low=True), "low is True"),
        (lr(low=0.6), "low is 0.6, high is 0.5"),
        (lr(low=0, log=True), "log is True"),
        (lr(log=True, step=0.1), "log is True"),
        (lr(step=0.3), "step is 0.3"),
        (lr(step=-0.1), "step is -0.1"),
        (lr(type="int", low=1, high=2.5), "high is 2.5"),
        (lr(low=float("nan")), "low is nan"),
        ({"model": {"standardise": {"type": "categorical", "choices": []}}}, r"choices is \[\]"),
        ({"model": {"standardise": {"type": "categorical", "choices": [True, True]}}}, "choices is"),
        ({"model": {"standardise": {"type": "categorical", "choices": [[1], [2]]}}}, "choices is"),
        ({"epochs": {"type": "int", "low": 1, "high": 2}}, "search.epochs cannot be searched"),
        ({"seed": {"type": "int", "low": 1, "high": 2}}, "search.seed cannot be searched"),
        ({"model": {"network": {"hidden1": 480}}}, "names no range"),
        ({}, "names no range"),
    ],
)
def test_a_space_that_cannot_be_searched_is_refused(values: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        read_space(values, "search")


def test_values_of_a_range_with_steps_are_written_without_rounding_errors() -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    space = read_space(
        {"model": {"network": {"rate": {"type": "float", "low": 0.1, "high": 0.7, "step": 0.1}}}}, "here"
    )
    seen = {space.options(study.ask(space.ranges).params)["model.network.rate"] for _ in range(60)}
    assert seen == {0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7}
    free = read_space({"model": {"network": {"rate": {"type": "float", "low": 0.0, "high": 1.0}}}}, "here")
    assert free.options({"model.network.rate": 1 / 3}) == {"model.network.rate": 1 / 3}
