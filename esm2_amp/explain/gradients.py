"""Integrated gradients of the logit, with as many steps as each pair needs."""

from __future__ import annotations

from typing import NamedTuple

import torch
from captum.attr import IntegratedGradients as Captum
from torch import Tensor

from esm2_amp.explain.forward import ROWS, evaluation_mode, joined, logits
from esm2_amp.models.network import PairNetwork

SMALL_CHANGE = 0.1
"""Least logit difference that an error is relative to: at most .025 of probability, too little to ask a reason for."""
_FIRST_STEPS = 16
_PAIRS = 16  # whose first steps fill one forward pass


class IntegratedGradients(NamedTuple):
    """What each token adds to the logit of n pairs, and how exact that is; tensors on the CPU.

    ``signed`` (n, 2T) is the sum over a token's dimensions and ``absolute`` (n, 2T) the sum of their absolute values,
    in the order of ``layout.pair_names``. ``error`` (n,) is the relative completeness error
    abs(sum - change) / max(abs(change), SMALL_CHANGE) with change = logit of the pair - logit of the baseline, and
    ``steps`` (n,) the number of steps it took; an error above the tolerance means that the largest number did not do.
    """

    signed: Tensor
    absolute: Tensor
    error: Tensor
    steps: Tensor


def integrated_gradients(
    network: PairNetwork, a: Tensor, b: Tensor, baseline: Tensor, tolerance: float, max_steps: int
) -> IntegratedGradients:
    """Integrate the logit's gradient along the straight line from the baseline to each pair, by Gauss-Legendre.

    Begins with 16 steps and doubles them for the pairs whose completeness error is above the tolerance.

    Args:
        network: it runs in evaluation mode.
        a: (n, T, D) raw tokens of the first proteins.
        b: (n, T, D) raw tokens of the second proteins.
        baseline: (T, D) raw tokens, the same for both chains.
        tolerance: completeness error to reach, as .01.
        max_steps: steps at most.

    Raises:
        ValueError: a tolerance of 0 or less, or no step.

    Source: Sundararajan et al. 2017 (arXiv 1703.01365), by captum.
    """
    if tolerance <= 0 or max_steps < 1:
        raise ValueError(f"tolerance={tolerance}, max_steps={max_steps}: both must be above 0")
    pairs, plain = joined(network, a, b), joined(network, baseline[None], baseline[None])
    signed, absolute = torch.zeros(2, *pairs.shape[:2])
    error, steps = torch.full((len(pairs),), torch.inf), torch.zeros(len(pairs), dtype=torch.int64)
    # cudnn's recurrent layers give no gradient in evaluation mode
    with evaluation_mode(network), torch.backends.cudnn.flags(enabled=False):
        method = Captum(lambda x: network(*x.chunk(2, dim=1)))
        change = logits(network, pairs) - logits(network, plain)
        todo, count = torch.arange(len(pairs)), min(_FIRST_STEPS, max_steps)
        while len(todo):
            for some in torch.split(todo, _PAIRS):
                values = method.attribute(
                    pairs[some], plain, n_steps=count, method="gausslegendre", internal_batch_size=ROWS
                )
                signed[some], absolute[some] = values.sum(dim=-1).cpu(), values.abs().sum(dim=-1).cpu()
            missing = signed[todo].double().sum(dim=1) - change[todo]
            error[todo] = (missing.abs() / change[todo].abs().clamp_min(SMALL_CHANGE)).float()
            steps[todo] = count
            todo = todo[error[todo] > tolerance] if count < max_steps else todo[:0]
            count = min(2 * count, max_steps)
    return IntegratedGradients(signed, absolute, error, steps)
