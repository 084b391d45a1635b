"""Integrated gradients of the logit, with as many steps as each pair needs, where it needs them.

On the straight line from the baseline to a pair the gradient changes unevenly: a network with layer norms does most of
it next to a baseline of means, and ReLUs make it jump. More steps on the whole line help little there. So the line is
halved where its pieces do not add up: integrated gradients of the pieces of a straight line sum to those of the line.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from captum.attr import IntegratedGradients as Captum
from torch import Tensor

from esm2_amp.explain.forward import ROWS, evaluation_mode, joined, logits
from esm2_amp.models.network import PairNetwork

SMALL_CHANGE = 0.1
"""Least logit difference that an error is relative to: at most .025 of probability, too little to ask a reason for."""
_NODES = 8  # of Gauss-Legendre, on a piece
_PAIRS = 16  # whose pieces are held at once
_SHARES = (1 / 4, 1 / 16, 1 / 64)  # of the tolerance for one piece: errors of pieces mostly cancel; if not, once more


class IntegratedGradients(NamedTuple):
    """What each token adds to the logit of n pairs, and how exact that is; tensors on the CPU.

    ``signed`` (n, 2T) is the sum over a token's dimensions and ``absolute`` (n, 2T) the sum of their absolute values,
    in the order of ``layout.pair_names``. ``error`` (n,) is the relative completeness error
    abs(sum - change) / max(abs(change), SMALL_CHANGE) with change = logit of the pair - logit of the baseline, and
    ``steps`` (n,) the number of gradients it took.
    """

    signed: Tensor
    absolute: Tensor
    error: Tensor
    steps: Tensor


def integrated_gradients(
    network: PairNetwork, a: Tensor, b: Tensor, baseline: Tensor, tolerance: float, max_steps: int
) -> IntegratedGradients:
    """Integrate the logit's gradient along the straight line from the baseline to each pair, by Gauss-Legendre.

    Begins with 8 steps and halves the line where the completeness error needs it, pair by pair.

    Args:
        network: it runs in evaluation mode.
        a: (n, T, D) raw tokens of the first proteins.
        b: (n, T, D) raw tokens of the second proteins.
        baseline: (T, D) raw tokens, the same for both chains.
        tolerance: completeness error to reach, as .01.
        max_steps: steps of a pair at most; where they do not do, ``error`` says so.

    Raises:
        ValueError: a tolerance of 0 or less, or no step.

    Source: Sundararajan et al. 2017 (arXiv 1703.01365), by captum.
    """
    if tolerance <= 0 or max_steps < 1:
        raise ValueError(f"tolerance={tolerance}, max_steps={max_steps}: both must be above 0")
    pairs, plain = joined(network, a, b), joined(network, baseline[None], baseline[None])
    n, tokens = pairs.shape[:2]
    signed, absolute, error = torch.zeros(n, tokens), torch.zeros(n, tokens), torch.zeros(n)
    steps = torch.zeros(n, dtype=torch.int64)
    # cudnn's recurrent layers give no gradient in evaluation mode
    with evaluation_mode(network), torch.backends.cudnn.flags(enabled=False):
        todo = torch.arange(n)
        for share in _SHARES:
            for some in torch.split(todo, _PAIRS):
                line = _Line(network, pairs[some], plain)
                values, error[some], steps[some] = _integrate(line, share * tolerance, max_steps)
                signed[some], absolute[some] = values.sum(dim=-1), values.abs().sum(dim=-1)
            todo = todo[(error[todo] > tolerance) & (steps[todo] <= max_steps // 2)]  # what used up its steps is said
    return IntegratedGradients(signed, absolute, error, steps)


class _Line:
    """The straight lines from the baseline (1, 2T, D) to some pairs (n, 2T, D); a piece names its pair."""

    def __init__(self, network: PairNetwork, pairs: Tensor, plain: Tensor) -> None:
        self.network, self.pairs, self.plain = network, pairs, plain
        self.change = (logits(network, pairs) - logits(network, plain)).abs().clamp_min(SMALL_CHANGE)
        self.method = Captum(lambda points: network(*points.chunk(2, dim=1)))

    def points(self, pair: Tensor, at: Tensor) -> Tensor:
        """Points (P, 2T, D) at ``at`` (P,), 0 the baseline and 1 the pair."""
        return torch.lerp(self.plain, self.pairs[pair], at.to(self.pairs)[:, None, None])

    def attribute(self, pair: Tensor, low: Tensor, high: Tensor, nodes: int) -> tuple[Tensor, Tensor]:
        """Values (P, 2T, D) of pieces from ``low`` to ``high``, and (P,) what they lack of the logit's change."""
        first, last = self.points(pair, low), self.points(pair, high)
        values = self.method.attribute(
            last, first, n_steps=nodes, method="gausslegendre", internal_batch_size=ROWS
        ).cpu()
        return values, logits(self.network, last) - logits(self.network, first) - values.double().sum(dim=(1, 2))


def _integrate(line: _Line, allowed: float, max_steps: int) -> tuple[Tensor, Tensor, Tensor]:
    """Values (n, 2T, D), completeness errors (n,) and steps (n,) of whole lines; ``allowed``: a piece's error."""
    n, nodes = len(line.pairs), min(_NODES, max_steps)
    values, missing = torch.zeros(line.pairs.shape), torch.zeros(n, dtype=torch.float64)
    steps = torch.zeros(n, dtype=torch.int64)
    pair, low, high = torch.arange(n), torch.zeros(n), torch.ones(n)
    while len(pair):
        pieces = torch.split(torch.arange(len(pair)), ROWS // _NODES)
        parts = [line.attribute(pair[piece], low[piece], high[piece], nodes) for piece in pieces]
        found, lack = (torch.cat(part) for part in zip(*parts, strict=True))
        steps += nodes * torch.bincount(pair, minlength=n)
        bad = lack.abs() > allowed * line.change[pair]
        bad &= (steps + 2 * nodes * torch.bincount(pair[bad], minlength=n) <= max_steps)[pair]
        values.index_add_(0, pair[~bad], found[~bad])
        missing.index_add_(0, pair[~bad], lack[~bad])
        middle = (low[bad] + high[bad]) / 2
        low, high = torch.cat((low[bad], middle)), torch.cat((middle, high[bad]))
        pair = pair[bad].repeat(2)
    return values, (missing.abs() / line.change).float(), steps
