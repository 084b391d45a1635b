"""GRU over many pairs: the pass over the first protein's tokens once a protein, ten steps a pair and order."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from esm2_amp.models.gru import GRU
from esm2_amp.screening.dense import Dense, apply_head, head
from esm2_amp.screening.scorer import Prepared, Scorer, pairs_at_once


class GRUScorer(Scorer):
    """f([A, B]) from the state that A leaves behind: the network reads from left to right.

    Once a protein, as the first of a pair: the last state of every layer, that state's recurrent products, and the sum
    of the last layer's states; as the second: the first layer's input products.
    """

    network: GRU

    def __init__(self, network: GRU, device: torch.device, dtype: torch.dtype = torch.float32) -> None:
        super().__init__(network, device, dtype)
        gru = network.gru
        doubled = torch.ones(3 * network.width, device=device)
        doubled[2 * network.width :] = 2  # see _cell
        self.inputs, self.recurrent = (
            [
                Dense(
                    getattr(gru, f"weight_{kind}_l{i}") * doubled[:, None],
                    getattr(gru, f"bias_{kind}_l{i}") * doubled,
                    dtype,
                )
                for i in range(gru.num_layers)
            ]
            for kind in ("ih", "hh")
        )
        self.head = head(network.head)
        self.chunk = pairs_at_once(device, 1, 6 * network.width)

    def prepare(self, tokens: Tensor) -> Prepared:
        """First input products (n, T, 3D); last states (n, layers, D) and products (n, layers, 3D); sum (n, D)."""
        x = self.network.standardise(tokens.to(self.device)).to(self.dtype)
        first = inputs = self.inputs[0](x)
        states, products = [], []
        for i, recurrent in enumerate(self.recurrent):
            nothing = torch.zeros_like(x[:, 0])
            run = self._layer(i, inputs.unbind(1), nothing, recurrent(nothing))
            states.append(run[-1])
            products.append(recurrent(run[-1]))
            if i + 1 < len(self.inputs):
                inputs = self.inputs[i + 1](torch.stack(run, dim=1))
        return first, torch.stack(states, dim=1), torch.stack(products, dim=1), torch.stack(run).float().sum(dim=0)

    def logits(self, a: Prepared, b: Prepared) -> Tensor:
        """Logits of pairs, see :meth:`Scorer.logits`."""
        tokens = 2 * len(self.network.layout)
        orders = [apply_head(self.head, self._continued(*pair) / tokens) for pair in ((a, b), (b, a))]
        return (orders[0] + orders[1]) / 2

    def _continued(self, a: Prepared, b: Prepared) -> Tensor:
        """Sum over all tokens (..., D) of the last layer's states, reading b after a."""
        _, states, products, total = a
        run = list(b[0].unbind(-2))
        for i in range(len(self.inputs)):
            given = map(self.inputs[i], run) if i else run  # one step after another: all at once leave the cache
            run = self._layer(i, given, states[..., i, :], products[..., i, :])
        return torch.stack(run).float().sum(dim=0) + total

    def _layer(self, i: int, inputs: Iterable[Tensor], state: Tensor, product: Tensor) -> list[Tensor]:
        """States (..., D) after each token, from a state (..., D) with its recurrent product (..., 3D)."""
        run = []
        for step, given in enumerate(inputs):
            state = _cell(given, self.recurrent[i](state) if step else product, state)
            run.append(state)
        return run


def _cell(given: Tensor, product: Tensor, state: Tensor) -> Tensor:
    """The next state (..., D); gates as torch.nn.GRU orders them: reset, update, new, the last at twice its size.

    tanh(x) = 2 sigmoid(2x) - 1: on a CPU torch's tanh takes ten times as long.
    """
    width = state.shape[-1]
    reset, update = (given[..., : 2 * width] + product[..., : 2 * width]).sigmoid_().chunk(2, dim=-1)
    new = torch.addcmul(given[..., 2 * width :], reset, product[..., 2 * width :]).sigmoid_().mul_(2).sub_(1)
    return torch.lerp(new, state, update)
