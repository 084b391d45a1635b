"""Linear layers for inference: oneDNN with weights laid out once, where the CPU has it; torch otherwise.

``torch.nn.functional.linear`` hands float32 products on a CPU to MKL, which uses half the vector width on processors
that are not Intel's; oneDNN uses what is there, takes weights in its own layout, and applies GELU and the addition of
the residual while the result is in cache. Its operators are those that torch's own compiler emits.
"""

from __future__ import annotations

import os
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

_SHAPES = 64
"""Shapes of products whose compiled code is kept, for each thread; a batch has about 40."""


class Linear(Protocol):
    """x W^T + b of (N, I) rows."""

    def __call__(self, x: Tensor) -> Tensor:
        """(N, O)."""
        ...

    def gelu(self, x: Tensor) -> Tensor:
        """GELU of the product, with the error function as ESM-2 has it; (N, O)."""
        ...

    def add(self, x: Tensor, residual: Tensor) -> Tensor:
        """The product plus (N, O) ``residual``, in the residual's dtype; may overwrite ``residual``."""
        ...


class TorchLinear:
    """Any device, any dtype."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        self.weight, self.bias = weight, bias

    def __call__(self, x: Tensor) -> Tensor:
        """(N, O)."""
        return functional.linear(x, self.weight, self.bias)

    def gelu(self, x: Tensor) -> Tensor:
        """(N, O)."""
        return functional.gelu(self(x))

    def add(self, x: Tensor, residual: Tensor) -> Tensor:
        """(N, O)."""
        return residual.add_(self(x))


class OneDnnLinear:
    """A CPU, float32 or bfloat16."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        self.weight, self.bias = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous()), bias

    def __call__(self, x: Tensor) -> Tensor:
        """(N, O)."""
        return torch.ops.mkldnn._linear_pointwise.default(x, self.weight, self.bias, "none", [], "")

    def gelu(self, x: Tensor) -> Tensor:
        """(N, O)."""
        return torch.ops.mkldnn._linear_pointwise.default(x, self.weight, self.bias, "gelu", [], "none")

    def add(self, x: Tensor, residual: Tensor) -> Tensor:
        """(N, O)."""
        if x.dtype != residual.dtype:
            return residual.add_(self(x))
        return torch.ops.mkldnn._linear_pointwise.binary(x, residual, self.weight, self.bias, "add")


def onednn_product(x: Tensor, y: Tensor) -> Tensor:
    """The product x y^T of (M, K) and (N, K), both contiguous."""
    return torch.ops.mkldnn._linear_pointwise.default(x, y, None, "none", [], "")


def has_onednn(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether :class:`OneDnnLinear` works here: tried on one small product, as torch promises nothing about it."""
    if device.type != "cpu" or dtype not in (torch.float32, torch.bfloat16):
        return False
    _keep_few_shapes()
    x, weight, bias = (torch.ones(shape, dtype=dtype) for shape in ((2, 4), (3, 4), (3,)))
    try:
        return bool((OneDnnLinear(weight, bias).add(x, torch.ones(2, 3)) == 6).all())
    except (AttributeError, RuntimeError):
        return False


def _keep_few_shapes() -> None:
    """Bound what oneDNN, and torch's own layer above it, remember of products made before; no effect after the first.

    No two batches are of one shape, so their thousand entries each would only fill memory: 600 MB with an encoder of
    128 dimensions. Both read their bound from the environment when they are first used.
    """
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", str(_SHAPES * torch.get_num_threads()))  # of all threads
    os.environ.setdefault("LRU_CACHE_CAPACITY", str(_SHAPES))  # of each


def linear(weight: Tensor, bias: Tensor) -> Linear:
    """The fastest layer there is for the device and dtype of ``weight`` (O, I) and ``bias`` (O,)."""
    if has_onednn(weight.device, weight.dtype):
        return OneDnnLinear(weight, bias)
    return TorchLinear(weight, bias)
