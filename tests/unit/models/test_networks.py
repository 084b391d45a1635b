"""The published networks: their sizes, their initial weights, and how symmetry is added to those that lack it."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn

from esm2_amp.errors import InputError
from esm2_amp.models.amp_cse import AMPCSE
from esm2_amp.models.amps import AMPS, AMPSHyper
from esm2_amp.models.dpm import DPM, DPMHyper
from esm2_amp.models.gru import GRU, GRUHyper
from esm2_amp.models.network import PairNetwork
from esm2_amp.models.networks import network_class

AMPS_PUBLISHED = AMPSHyper(
    scale_from=1280, layers=6, heads=8, dropout=0.3, feedforward=2048, hidden1=640, hidden2=240
)  # fmt: skip
DPM_PUBLISHED = DPMHyper(scale_from=1280, hidden1=1280, hidden2=480, hidden3=100)
GRU_PUBLISHED = GRUHyper(scale_from=1280, layers=6, hidden1=640, hidden2=240)


def size(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def head(*sizes: int) -> nn.Sequential:
    return nn.Sequential(*[nn.Linear(i, o) for i, o in zip(sizes[:-1], sizes[1:], strict=True)])


@pytest.mark.parametrize("kind", [AMPS, AMPCSE])
def test_amps_has_the_published_size(kind: type[PairNetwork]) -> None:
    with torch.device("meta"):
        ours = kind(1280, AMPS_PUBLISHED)
        layer = nn.TransformerEncoderLayer(1280, 8, 2048, norm_first=True)
        published = 6 * size(layer) + size(head(1280, 640, 240, 1))
    assert size(ours) == published
    assert [layer.drop.p for layer in ours.encoder.layers] == [0.3] * 6
    assert [layer.attention.dropout for layer in ours.encoder.layers] == [0.3] * 6


def test_dpm_and_gru_have_the_published_sizes() -> None:
    with torch.device("meta"):
        norms = nn.ModuleList(nn.LayerNorm(n) for n in (1280, 480, 100))
        assert size(DPM(1280, DPM_PUBLISHED)) == size(head(2560, 1280, 480, 100, 1)) + size(norms)
        gru = nn.GRU(1280, 1280, num_layers=6)
        assert size(GRU(1280, GRU_PUBLISHED)) == size(gru) + size(head(1280, 640, 240, 1))


def test_sizes_follow_the_feature_width_or_stay() -> None:
    scaled = [part.out_features for part in DPM(128, DPM_PUBLISHED).mlp if isinstance(part, nn.Linear)]
    assert scaled == [128, 48, 10, 1]
    fixed = DPM(128, DPMHyper(scale_from=None, hidden1=7, hidden2=5, hidden3=3))
    assert [part.out_features for part in fixed.mlp if isinstance(part, nn.Linear)] == [7, 5, 3, 1]
    assert DPM_PUBLISHED.size(3, 1) == 1


def test_dpm_is_the_mean_of_the_published_network_in_both_orders() -> None:
    torch.manual_seed(0)
    network = DPM(16, DPMHyper(scale_from=None, hidden1=24, hidden2=16, hidden3=8))
    a, b = torch.randn(2, 5, 1, 16)

    def published(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        x = torch.cat((first[:, 0], second[:, 0]), dim=1)
        for linear, norm in ((0, 1), (3, 4), (6, 7)):
            x = network.mlp[norm](network.mlp[linear](x)).clamp(min=0)
        return network.mlp[9](x)[:, 0]

    assert not torch.allclose(published(a, b), published(b, a))
    torch.testing.assert_close(network(a, b), (published(a, b) + published(b, a)) / 2)


def test_gru_is_the_mean_of_the_published_network_in_both_orders() -> None:
    torch.manual_seed(0)
    network = GRU(16, GRU_PUBLISHED)
    plain = nn.GRU(16, 16, num_layers=6, batch_first=True)
    plain.load_state_dict(network.gru.state_dict())
    a, b = torch.randn(2, 5, 10, 16)

    def published(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        return network.head(plain(torch.cat((first, second), dim=1))[0].mean(dim=1))[:, 0]

    assert not torch.allclose(published(a, b), published(b, a))
    torch.testing.assert_close(network(a, b), (published(a, b) + published(b, a)) / 2)


def test_gru_starts_with_he_and_orthogonal_weights() -> None:
    torch.manual_seed(0)
    gru = GRU(64, GRU_PUBLISHED).gru
    for name, parameter in gru.named_parameters():
        if "weight_ih" in name:
            assert parameter.std().item() == pytest.approx(math.sqrt(2 / 64), rel=0.05)
        elif "weight_hh" in name:  # (3 x 64, 64): its columns are orthonormal
            torch.testing.assert_close(parameter.T @ parameter, torch.eye(64), rtol=0, atol=1e-5)
        else:
            assert not parameter.any()


def test_the_order_of_all_twenty_tokens_does_not_matter_to_amps() -> None:
    torch.manual_seed(0)
    network = AMPS(32, AMPS_PUBLISHED).eval()
    a, b = torch.randn(2, 3, 10, 32)
    mixed = torch.cat((a, b), dim=1)[:, torch.randperm(20)]
    torch.testing.assert_close(network(mixed[:, :10], mixed[:, 10:]), network(a, b), rtol=1e-4, atol=1e-5)


def test_heads_must_divide_the_width() -> None:
    with pytest.raises(InputError, match=r"heads is 8, .* feature width 36"):
        AMPS(36, AMPS_PUBLISHED)


@pytest.mark.parametrize(
    ("name", "value"),
    [("layers", 0), ("heads", -1), ("feedforward", 0), ("hidden1", 0), ("hidden2", -5), ("dropout", 1.0),
     ("dropout", -0.1), ("dropout", math.nan)],
)  # fmt: skip
def test_impossible_hyperparameters_are_named(name: str, value: float) -> None:
    values: dict[str, Any] = {**vars(AMPS_PUBLISHED), name: value}
    with pytest.raises(InputError, match=rf"model\.network\.{name} is {value}"):
        AMPSHyper(**values)


@pytest.mark.parametrize("kind", ["hidden1", "hidden2", "hidden3"])
def test_impossible_sizes_of_dpm_are_named(kind: str) -> None:
    with pytest.raises(InputError, match=rf"{kind} is 0"):
        DPMHyper(**{**vars(DPM_PUBLISHED), kind: 0})


@pytest.mark.parametrize("kind", ["layers", "hidden1", "hidden2"])
def test_impossible_sizes_of_gru_are_named(kind: str) -> None:
    with pytest.raises(InputError, match=rf"{kind} is 0"):
        GRUHyper(**{**vars(GRU_PUBLISHED), kind: 0})


@pytest.mark.parametrize("scale_from", [0, -1280])
def test_a_scale_that_cannot_be_is_named(scale_from: int) -> None:
    with pytest.raises(InputError, match=rf"scale_from is {scale_from}"):
        DPMHyper(**{**vars(DPM_PUBLISHED), "scale_from": scale_from})


def test_an_unknown_network_is_named_beside_the_known_ones() -> None:
    with pytest.raises(InputError, match=r"'amp' is unknown\. The models are amps, amp_cse, ampx, dpm, gru"):
        network_class("amp")
