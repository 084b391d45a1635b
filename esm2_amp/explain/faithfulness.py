"""Is an explanation true to the model? What becomes of its call when tokens go, or come back, by their importance.

All of it asks for *evidence*: one number a token, larger where the token matters more for what the model called. For
a pair called interacting that is a method's signed value, for a pair called non-interacting its negative
(:func:`evidence_for_call`). Methods without a sign, as attention, are evidence as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit
from torch import Tensor

from esm2_amp.explain.forward import replaced_logits
from esm2_amp.models.network import PairNetwork

Floats = NDArray[np.float64]


class Curves(NamedTuple):
    """Probability of the call of n pairs after 0, 1, ... 2T tokens, the one with most evidence first.

    ``deletion`` (n, 2T + 1) replaces them by the baseline's, ``insertion`` (n, 2T + 1) begins with the baseline alone
    and puts them in. The probability is the logistic function of the logit where the pair is called interacting, and
    1 minus that where it is not.
    """

    deletion: Floats
    insertion: Floats


def evidence_for_call(signed: ArrayLike, called: ArrayLike) -> Floats:
    """Evidence (n, 2T) for the model's call from signed values (n, 2T) of the logit.

    Args:
        signed: what each token adds to the logit, or to any score that grows with it.
        called: (n,) bool, whether the model calls the pair interacting.
    """
    values = np.asarray(signed, dtype=np.float64)
    return np.where(np.asarray(called, dtype=bool)[:, None], values, -values)


def curves(
    network: PairNetwork, a: Tensor, b: Tensor, baseline: Tensor, evidence: ArrayLike, called: ArrayLike
) -> Curves:
    """Delete and insert tokens in the order of their evidence; of equal ones, the first token comes first.

    Args:
        network: it runs in evaluation mode.
        a: (n, T, D) raw tokens of the first proteins.
        b: (n, T, D) raw tokens of the second proteins.
        baseline: (T, D) raw tokens that stand for no knowledge.
        evidence: (n, 2T) larger where a token matters more for the call.
        called: (n,) bool, whether the model calls the pair interacting.

    Raises:
        ValueError: evidence that is not finite.

    Source: Petsiuk et al. 2018 (arXiv 1806.07421).
    """
    importance = finite(evidence)
    tokens = importance.shape[1]
    place = np.argsort(np.argsort(-importance, axis=1, kind="stable"), axis=1)[:, None]  # 0: the most important
    gone = place < np.arange(tokens + 1)[:, None]
    masks = torch.from_numpy(np.concatenate((gone, ~gone), axis=1))
    found = replaced_logits(network, a, b, baseline, masks).numpy()
    probability = expit(np.where(np.asarray(called, dtype=bool)[:, None], found, -found))
    return Curves(probability[:, : tokens + 1], probability[:, tokens + 1 :])


def area(curve: Floats) -> Floats:
    """(n,) area under curves (n, 2T + 1) over the share of tokens, from 0 to 1, by trapezoids."""
    return (curve[:, 1:] + curve[:, :-1]).mean(axis=1) / 2


def faithfulness(curve: Curves, ks: Sequence[int]) -> dict[str, Floats]:
    """Measures (n,) of each pair, by name.

    ``deletion``: area, low if the evidence is true. ``insertion``: area, high if it is. For each k of ``ks`` up to 2T,
    ``comprehensiveness@k``: probability of the call minus that without the k tokens of most evidence (high is good),
    and ``sufficiency@k``: probability of the call minus that with these k tokens alone (low is good).

    Source: the last two, DeYoung et al. 2020 (arXiv 1911.03429), with the baseline's tokens in place of erased ones.
    """
    found = {"deletion": area(curve.deletion), "insertion": area(curve.insertion)}
    whole = curve.deletion[:, 0]
    for k in ks:
        if k < curve.deletion.shape[1]:
            found[f"comprehensiveness@{k}"] = whole - curve.deletion[:, k]
            found[f"sufficiency@{k}"] = whole - curve.insertion[:, k]
    return found


def finite(values: ArrayLike) -> Floats:
    """Values as float64.

    Raises:
        ValueError: one of them is not finite.
    """
    checked = np.asarray(values, dtype=np.float64)
    if not np.isfinite(checked).all():
        raise ValueError(f"{np.count_nonzero(~np.isfinite(checked))} of {checked.size} values are not finite")
    return checked
