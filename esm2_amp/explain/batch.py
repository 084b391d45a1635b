"""Everything that is computed of one batch of pairs: attributions, and how true and how stable they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from esm2_amp.explain.agreement import rank_correlation, stability
from esm2_amp.explain.faithfulness import curves, evidence_for_call, faithfulness
from esm2_amp.explain.methods import UNSIGNED, explain_model
from esm2_amp.explain.planted import located_tokens
from esm2_amp.explain.randomised import random_values
from esm2_amp.explain.truth import both_chains, truth_measures
from esm2_amp.models.network import PairNetwork

Floats = NDArray[np.float64]
Values = Mapping[str, NDArray[np.float32]]
Surrogates = Callable[[str], tuple[NDArray[np.float32], NDArray[np.float32]]]
"""A surrogate's method by name: signed and absolute values (n, 2T) of the batch."""

RANDOM = "random"
MEASURED, RANDOMISED, STABILITY = "measured", "randomised", "stability"
"""First part of the names of measures: of a method, of the same method on models with fresh weights, over seeds."""
OVER_RANDOM = "over_random"
"""Measure: insertion minus deletion of a method, minus the same of random values on the same pair."""
COARSE_TOLERANCE, COARSE_STEPS = 0.05, 128
"""Of integrated gradients that are only compared with others: of models with fresh weights, of other baselines."""
KS = (1, 2, 5)
"""The k of comprehensiveness and sufficiency."""


class Batch(NamedTuple):
    """n pairs: raw tokens (n, T, D) of both chains, the pairs' numbers (n,), and what is known of them.

    ``called`` (n,): the model calls it interacting. ``chosen`` (n,): its explanation is measured. ``truth`` (n, 2T):
    tokens of a planted interaction, none of a pair without one or called otherwise; None where truth is unknown.
    """

    a: Tensor
    b: Tensor
    number: NDArray[np.int64]
    called: NDArray[np.bool_]
    chosen: NDArray[np.bool_]
    truth: NDArray[np.bool_] | None

    def take(self, rows: NDArray[np.bool_]) -> Batch:
        """Some of the pairs."""
        truth = None if self.truth is None else self.truth[rows]
        return Batch(self.a[rows], self.b[rows], self.number[rows], self.called[rows], self.chosen[rows], truth)


@dataclass(frozen=True, eq=False)
class Explainer:
    """How a set of pairs is explained.

    ``baselines``: (T, D) raw tokens that stand for no knowledge, the first one used throughout, the others of further
    draws for stability. ``fresh``: copies of the network with random weights, measured on average.
    """

    network: PairNetwork
    fresh: Sequence[PairNetwork]
    baselines: Sequence[Tensor]
    methods: tuple[str, ...]
    tolerance: float
    max_steps: int
    seed: int

    def arrays(self, batch: Batch, surrogates: Surrogates) -> dict[str, NDArray[np.generic]]:
        """All of one batch, by names that are parts joined by ``/``.

        ``signed/METHOD`` and ``absolute/METHOD`` (n, 2T); ``ig/error`` and ``ig/steps`` (n,); ``attention/sum``
        (layers, 2T, 2T) and ``attention/structure`` (layers, 4), sums over the pairs; and for each measure of
        faithfulness ``measured/METHOD/MEASURE`` (n,), NaN of pairs that were not measured, likewise ``randomised``
        and ``stability``.
        """
        pairs, exactness = (self.network, batch.a, batch.b, self.baselines[0]), (self.tolerance, self.max_steps)
        found = explain_model(*pairs, self.methods, *exactness)
        given = {name: surrogates(name) for name in self.methods if name not in found.signed}
        values = {name: found.signed[name] if name in found.signed else given[name][0] for name in self.methods}
        sizes = {name: found.absolute[name] if name in found.signed else given[name][1] for name in self.methods}
        arrays: dict[str, NDArray[np.generic]] = {f"signed/{name}": value for name, value in values.items()}
        arrays |= {f"absolute/{name}": size for name, size in sizes.items()}
        if found.ig_error is not None and found.ig_steps is not None:
            arrays |= {"ig/error": found.ig_error, "ig/steps": found.ig_steps}
        if found.attention is not None and found.structure is not None:
            arrays |= {
                "attention/sum": found.attention.sum(axis=0, dtype=np.float64),
                "attention/structure": found.structure.sum(axis=0, dtype=np.float64),
            }
        rows = batch.chosen
        if rows.any():
            some, chosen = batch.take(rows), {name: value[rows] for name, value in values.items()}
            for name, measure in (self._measures(some, chosen) | self._stability(some, chosen)).items():
                arrays[name] = np.full(len(rows), np.nan)
                arrays[name][rows] = measure
        return arrays

    def _coarse(self, network: PairNetwork, batch: Batch, baseline: Tensor, methods: Sequence[str]) -> Values:
        """Signed values of methods that look into a network, to be compared with."""
        exactness = (max(self.tolerance, COARSE_TOLERANCE), min(self.max_steps, COARSE_STEPS))
        return explain_model(network, batch.a, batch.b, baseline, methods, *exactness).signed

    def _measures(self, batch: Batch, values: Values) -> dict[str, Floats]:
        """Measures of every method, of random values, and of the methods on the models with fresh weights."""
        tokens = next(iter(values.values())).shape[1]
        luck = self._of_evidence(batch, random_values(batch.number, tokens, self.seed))
        measures = {f"{MEASURED}/{RANDOM}/{measure}": v for measure, v in luck.items()}
        for name, value in values.items():
            found = self._of_evidence(batch, evidence(name, value, batch.called))
            found[OVER_RANDOM] = (found["insertion"] - found["deletion"]) - (luck["insertion"] - luck["deletion"])
            measures |= {f"{MEASURED}/{name}/{measure}": v for measure, v in found.items()}
        fresh = [self._of_fresh(network, batch, values) for network in self.fresh]
        return measures | {name: np.mean([found[name] for found in fresh], axis=0) for name in fresh[0]}

    def _of_fresh(self, network: PairNetwork, batch: Batch, values: Values) -> dict[str, Floats]:
        """Measures of the methods on a model with fresh weights, and how much its values are like the trained one's."""
        measures: dict[str, Floats] = {}
        for name, value in self._coarse(network, batch, self.baselines[0], self.methods).items():
            found = self._of_evidence(batch, evidence(name, value, batch.called))
            found["like_trained"] = rank_correlation(value, values[name])
            measures |= {f"{RANDOMISED}/{name}/{measure}": v for measure, v in found.items()}
        return measures

    def _of_evidence(self, batch: Batch, importance: Floats) -> dict[str, Floats]:
        curve = curves(self.network, batch.a, batch.b, self.baselines[0], importance, batch.called)
        found = faithfulness(curve, KS)
        if batch.truth is not None:
            located = located_tokens(self.network.layout)
            if located.any():
                segments, true = importance[:, located], batch.truth[:, located]
                found |= truth_measures(segments, true) | {"both": both_chains(segments, true)}
        return found

    def _stability(self, batch: Batch, values: Values) -> dict[str, Floats]:
        """How alike the values are with other draws of the baseline; methods without a baseline have no entry."""
        runs: dict[str, list[NDArray[np.float32]]] = {
            name: [values[name]] for name in ("occlusion", "ig") if name in values
        }
        for baseline in self.baselines[1:] if runs else ():
            found = explain_model(
                self.network, batch.a, batch.b, baseline, tuple(runs), self.tolerance, self.max_steps
            ).signed
            for name, values_again in found.items():
                runs[name].append(values_again)
        return {
            f"{STABILITY}/{name}/stability": stability(np.stack(again))
            for name, again in runs.items()
            if len(again) > 1
        }


def evidence(method: str, values: NDArray[np.float32], called: NDArray[np.bool_]) -> Floats:
    """Evidence (n, 2T) for the model's call: signed values turned to it, those without a sign as they are."""
    return values.astype(np.float64) if method in UNSIGNED else evidence_for_call(values, called)
