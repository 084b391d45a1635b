"""The methods of explanation by name, and what those that look into the model say of a batch of pairs."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from esm2_amp.explain.attention import attention_weights, block_structure, has_attention, received, rollout
from esm2_amp.explain.gradients import integrated_gradients
from esm2_amp.explain.occlusion import occlusion
from esm2_amp.models.network import PairNetwork

OF_THE_MODEL = ("occlusion", "ig", "attention", "rollout")
"""They explain the trained model itself."""
OF_A_SURROGATE = ("ae_rf_shap", "ae_rf_gini", "ae_dnn_shap", "ae_dnn_ig")
"""They explain another model, taught on the same training pairs from compressed tokens."""
METHODS = (*OF_THE_MODEL, *OF_A_SURROGATE)
UNSIGNED = ("attention", "rollout", "ae_rf_gini")
"""Methods whose values say how much, not in which direction."""
_ATTENTION = ("attention", "rollout")


@dataclass(frozen=True, eq=False)
class Attributions:
    """What the methods say of n pairs; token arrays are (n, 2T) float32 in the order of ``layout.pair_names``.

    ``signed`` and ``absolute`` by method: what a token adds to the score, and the sum of the absolute values over its
    dimensions (of methods with one value a token, its absolute value). ``ig_error`` and ``ig_steps`` (n,) where ``ig``
    is asked for. ``attention`` (n, layers, 2T, 2T), the mean over heads, and ``structure`` (n, layers, 4), the shares
    within and between the chains, where attention is asked for.
    """

    signed: dict[str, NDArray[np.float32]]
    absolute: dict[str, NDArray[np.float32]]
    ig_error: NDArray[np.float32] | None
    ig_steps: NDArray[np.int64] | None
    attention: NDArray[np.float32] | None
    structure: NDArray[np.float32] | None


def methods_for(network: PairNetwork, surrogates: bool) -> tuple[str, ...]:
    """The methods that a network allows, in the order of :data:`METHODS`.

    Args:
        network: the network.
        surrogates: whether there are training pairs to teach surrogates on.
    """
    possible = [name for name in OF_THE_MODEL if has_attention(network) or name not in _ATTENTION]
    return (*possible, *(OF_A_SURROGATE if surrogates else ()))


def explain_model(
    network: PairNetwork,
    a: Tensor,
    b: Tensor,
    baseline: Tensor,
    methods: Collection[str],
    tolerance: float,
    max_steps: int,
) -> Attributions:
    """Explain pairs by those of ``methods`` that look into the model; see :class:`Attributions`.

    Args:
        network: the network.
        a: (n, T, D) raw tokens of the first proteins.
        b: (n, T, D) raw tokens of the second proteins.
        baseline: (T, D) raw tokens that stand for no knowledge.
        methods: names; those of surrogates are passed over.
        tolerance: of integrated gradients.
        max_steps: of integrated gradients.
    """
    signed: dict[str, Tensor] = {}
    absolute: dict[str, Tensor] = {}
    error = steps = attention = structure = None
    if "occlusion" in methods:
        signed["occlusion"] = occlusion(network, a, b, baseline)
    if "ig" in methods:
        found = integrated_gradients(network, a, b, baseline, tolerance, max_steps)
        signed["ig"], absolute["ig"], error, steps = found
    if any(name in methods for name in _ATTENTION):
        weights = attention_weights(network, a, b)
        whole = {"attention": received(weights), "rollout": rollout(weights)}
        signed.update((name, values) for name, values in whole.items() if name in methods)
        attention, structure = weights.mean(dim=2).numpy(), block_structure(weights).numpy()
    return Attributions(
        {name: values.numpy() for name, values in signed.items()},
        {name: absolute.get(name, values.abs()).numpy() for name, values in signed.items()},
        None if error is None else error.numpy(),
        None if steps is None else steps.numpy(),
        attention,
        structure,
    )
