"""A linear layer in its fastest form on the processor at hand."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional

from esm2_amp.features.linear import has_onednn


class Dense:
    """x W^T + b, with a ReLU or a sum behind it in the same pass.

    On a CPU by oneDNN, also in float32: torch itself takes MKL there, which uses half the vector width of processors
    that are not Intel's.

    Args:
        weight: W, (out, in).
        bias: b, (out,), or None.
        dtype: of the input, the weights and the output; sums are float32.
        relu: whether a ReLU follows.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, dtype: torch.dtype, *, relu: bool = False) -> None:
        self.weight = weight.detach().to(dtype).contiguous()
        self.bias = None if bias is None else bias.detach().to(dtype)
        self.relu = relu
        self.onednn = has_onednn(weight.device, dtype)

    @classmethod
    def of(cls, linear: nn.Linear, dtype: torch.dtype, *, relu: bool = False) -> Dense:
        """The same as a linear layer of a network."""
        return cls(linear.weight, linear.bias, dtype, relu=relu)

    def __call__(self, x: Tensor) -> Tensor:
        """(..., in) to (..., out)."""
        if self.onednn:
            return _onednn(x, self.weight, self.bias, "relu" if self.relu else "none")
        y = functional.linear(x, self.weight, self.bias)
        return y.relu_() if self.relu else y

    def plus(self, x: Tensor, other: Tensor) -> Tensor:
        """(..., in) and (..., out) to their layer's output and the other's sum, before any ReLU."""
        if self.onednn:
            return _onednn_plus(x, other, self.weight, self.bias)
        return functional.linear(x, self.weight, self.bias) + other


# torch.compile knows these two only with weights that are constants of the graph
@torch.compiler.disable  # type: ignore[untyped-decorator]
def _onednn(x: Tensor, weight: Tensor, bias: Tensor | None, after: str) -> Tensor:
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, after, [], "")


@torch.compiler.disable  # type: ignore[untyped-decorator]
def _onednn_plus(x: Tensor, other: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return torch.ops.mkldnn._linear_pointwise.binary(x, other, weight, bias, "add")


def linear_layers(sequence: Iterable[nn.Module]) -> list[nn.Linear]:
    """The linear layers of a perceptron, in order."""
    return [part for part in sequence if isinstance(part, nn.Linear)]


def head(sequence: nn.Sequential) -> list[Dense]:
    """The layers of a perceptron that has a ReLU between its linear layers and nothing else."""
    *others, last = linear_layers(sequence)
    return [*(Dense.of(linear, torch.float32, relu=True) for linear in others), Dense.of(last, torch.float32)]


def apply_head(layers: list[Dense], x: Tensor) -> Tensor:
    """Logits (...) of inputs (..., D)."""
    for layer in layers:
        x = layer(x)
    return x.squeeze(-1)
