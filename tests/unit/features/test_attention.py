"""Every way to compute attention gives softmax(ln 2 Q K^T) V of each protein alone; linear layers give x W^T + b."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from esm2_amp.features import attention
from esm2_amp.features.esm2 import _interleave, rotate
from esm2_amp.features.linear import OneDnnLinear, TorchLinear, has_onednn

CPU = torch.device("cpu")
LENGTHS = [3, 300, 1, 17, 300]
WAYS = {
    "fused": attention.OneByOne(attention.fused),
    "head by head": attention.OneByOne(attention.head_by_head),
    "in blocks": attention.OneByOne(attention.all_heads_in_blocks),
    "padded": attention.padded,
}
onednn = pytest.mark.skipif(not has_onednn(CPU, torch.float32), reason="torch has no oneDNN here")


def packed(width: int, dtype: torch.dtype = torch.float32) -> Tensor:
    generator = torch.Generator().manual_seed(width)
    return (torch.randn(sum(LENGTHS), 3, 2, width, generator=generator) / 2).to(dtype)


def exact(qkv: Tensor) -> Tensor:
    rows = []
    for part in torch.split(qkv.double(), LENGTHS):
        query, key, value = part.permute(1, 2, 0, 3)
        scores = math.log(2) * query @ key.transpose(1, 2)
        rows.append((torch.softmax(scores, -1) @ value).transpose(0, 1).flatten(1))
    return torch.cat(rows)


@pytest.mark.parametrize("width", [8, 32, 64])
@pytest.mark.parametrize("way", [pytest.param(w, marks=onednn) if w == "head by head" else w for w in WAYS])
def test_attention_is_that_of_each_protein_alone(way: str, width: int) -> None:
    qkv = packed(width)
    torch.testing.assert_close(WAYS[way](qkv, LENGTHS).double(), exact(qkv), rtol=0, atol=2e-5)


@pytest.mark.parametrize("cache", [1, 5000, 10**9])
@pytest.mark.parametrize("way", [pytest.param("head by head", marks=onednn), "in blocks"])
def test_the_size_of_the_blocks_makes_no_difference(way: str, cache: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "_CACHE", cache)
    monkeypatch.setattr(attention, "_FEWEST_ROWS", 7)
    monkeypatch.setattr(attention, "_SHORT", 2)
    qkv = packed(32)
    torch.testing.assert_close(WAYS[way](qkv, LENGTHS).double(), exact(qkv), rtol=0, atol=2e-5)


@pytest.mark.parametrize("way", [pytest.param("head by head", marks=onednn), "in blocks"])
@pytest.mark.parametrize("size", [0.0, 3.0, 40.0])
def test_scores_of_any_size_neither_overflow_nor_vanish(way: str, size: float) -> None:
    """A common offset of the keys, which softmax does not see, and scores beyond what a power of two can hold."""
    qkv = packed(32) * max(size, 1.0)
    qkv[:, 1] += 1000.0 if size == 0.0 else 0.0
    found = WAYS[way](qkv, LENGTHS)
    assert torch.isfinite(found).all()
    torch.testing.assert_close(found.double(), exact(qkv), rtol=0, atol=1e-3 * max(size, 20.0))


def test_bfloat16_blocks_are_right_to_its_precision() -> None:
    qkv = packed(32, torch.bfloat16)
    found = WAYS["in blocks"](qkv, LENGTHS)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.double(), exact(qkv), rtol=0, atol=0.05)


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_the_way_chosen_for_a_gpu_is_right(dtype: torch.dtype) -> None:
    qkv = packed(32, dtype)
    chosen = attention.choose_attention(torch.device("cuda"), dtype)
    found = chosen(qkv.cuda(), LENGTHS).cpu()
    torch.testing.assert_close(found.double(), exact(qkv), rtol=0, atol=0.05)


@onednn
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_onednn_layers_are_those_of_torch(dtype: torch.dtype) -> None:
    if not has_onednn(CPU, dtype):
        pytest.skip(f"no {dtype} here")
    generator = torch.Generator().manual_seed(0)
    x, weight, bias, residual = (torch.randn(s, generator=generator) for s in ((70, 48), (96, 48), (96,), (70, 96)))
    ours, theirs = OneDnnLinear(weight.to(dtype), bias.to(dtype)), TorchLinear(weight, bias)
    close = {"rtol": 0.02, "atol": 0.2} if dtype == torch.bfloat16 else {"rtol": 0.0, "atol": 2e-5}
    rows = x.to(dtype)
    torch.testing.assert_close(ours(rows).float(), theirs(x), **close)
    torch.testing.assert_close(ours.gelu(rows).float(), theirs.gelu(x), **close)
    found = ours.add(rows, residual.clone())
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, theirs.add(x, residual.clone()), **close)


def test_turned_pairs_keep_the_products_of_rotary_positions() -> None:
    """Against Su et al. 2021 as transformers computes it: halves of a head are turned together."""
    generator = torch.Generator().manual_seed(0)
    heads, width, length = 2, 8, 5
    query, key = (torch.randn(heads * width, heads * width, generator=generator) for _ in range(2))
    x = torch.randn(length, heads * width, generator=generator)
    table = torch.outer(torch.arange(length).float(), torch.rand(width // 2, generator=generator))

    def halves(weight: Tensor) -> Tensor:
        rows = (x @ weight.T).view(length, heads, width)
        cos, sin = (torch.cat([f(table), f(table)], -1)[:, None] for f in (torch.cos, torch.sin))
        turned = torch.cat([-rows[..., width // 2 :], rows[..., : width // 2]], -1)
        return rows * cos + turned * sin

    def neighbours(weight: Tensor) -> Tensor:
        rows = (x @ _interleave(weight, heads).T).view(length, 1, heads, width)
        rotate(rows, torch.polar(torch.ones_like(table), table)[:, None, None])
        return rows[:, 0]

    expected = torch.einsum("ihd,jhd->hij", halves(query), halves(key))
    found = torch.einsum("ihd,jhd->hij", neighbours(query), neighbours(key))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)
