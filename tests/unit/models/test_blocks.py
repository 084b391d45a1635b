"""Building blocks against torch's own layers, and the statistics of their first weights."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from esm2_amp.models.blocks import EncoderLayer, SelfAttention, Standardise, TransformerEncoder, mlp


def torch_layer(layer: EncoderLayer, width: int, heads: int, feedforward: int) -> nn.TransformerEncoderLayer:
    """Torch's pre-norm layer with the weights of ours."""
    theirs = nn.TransformerEncoderLayer(width, heads, feedforward, dropout=0.3, norm_first=True, batch_first=True)
    renamed = {
        "attention.project_in.": "self_attn.in_proj_",
        "attention.project_out.": "self_attn.out_proj.",
        "expand.": "linear1.",
        "contract.": "linear2.",
    }
    weights = {}
    for key, value in layer.state_dict().items():
        for ours, other in renamed.items():
            key = key.replace(ours, other)
        weights[key] = value
    theirs.load_state_dict(weights)
    return theirs


@pytest.mark.parametrize("heads", [1, 4])
def test_a_layer_is_torchs_pre_norm_layer(heads: int) -> None:
    torch.manual_seed(0)
    layer = EncoderLayer(16, heads, 24, 0.3).eval()
    for parameter in layer.parameters():
        nn.init.normal_(parameter, std=0.5)  # biases and norms too, that none may be forgotten
    theirs = torch_layer(layer, 16, heads, 24).eval()
    x = torch.randn(3, 20, 16)
    torch.testing.assert_close(layer(x), theirs(x), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(layer(x, []), theirs(x), rtol=1e-4, atol=1e-5)


def test_gradients_are_those_of_torchs_layer() -> None:
    torch.manual_seed(0)
    layer = EncoderLayer(16, 4, 24, 0.3).eval()
    theirs = torch_layer(layer, 16, 4, 24).eval()
    ours, other = torch.randn(2, 3, 20, 16)
    other.copy_(ours)
    ours.requires_grad_()
    other.requires_grad_()
    layer(ours).square().sum().backward()
    theirs(other).square().sum().backward()
    torch.testing.assert_close(ours.grad, other.grad, rtol=1e-4, atol=1e-4)


def test_attention_weights_are_those_of_torch() -> None:
    torch.manual_seed(0)
    layer = EncoderLayer(16, 4, 24, 0.3).eval()
    theirs = torch_layer(layer, 16, 4, 24).eval()
    x, weights = torch.randn(3, 20, 16), list[torch.Tensor]()
    layer(x, weights)
    norm = theirs.norm1(x)
    _, expected = theirs.self_attn(norm, norm, norm, need_weights=True, average_attn_weights=False)
    torch.testing.assert_close(weights[0], expected)


def test_dropout_hits_attention_and_both_branches_in_training_only() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 20, 16)
    for block in (SelfAttention(16, 4, 0.3), EncoderLayer(16, 4, 24, 0.3)):
        assert not torch.equal(block(x), block(x))
        assert torch.equal(block.eval()(x), block(x))
    layer = EncoderLayer(16, 4, 24, 0.999999).train()
    torch.testing.assert_close(layer(x), x)  # nothing but the residual path is left


def test_layers_start_as_torchs_do() -> None:
    torch.manual_seed(0)
    layer = EncoderLayer(128, 8, 256, 0.3)
    project = layer.attention.project_in.weight
    bound = math.sqrt(6 / (128 + 3 * 128))  # Xavier, of the three projections as one matrix
    assert 0.98 * bound < project.abs().max() <= bound
    assert project.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.02)
    assert not layer.attention.project_in.bias.any()
    assert not layer.attention.project_out.bias.any()
    theirs = nn.TransformerEncoderLayer(128, 8, 256)
    for ours, other in ((layer.expand, theirs.linear1), (layer.contract, theirs.linear2)):
        assert ours.weight.std().item() == pytest.approx(other.weight.std().item(), rel=0.03)
        assert ours.bias.std().item() == pytest.approx(other.bias.std().item(), rel=0.3)
    for norm in (layer.norm1, layer.norm2):
        assert torch.equal(norm.weight, torch.ones(128))
        assert not norm.bias.any()


def test_an_encoder_is_its_layers_in_turn() -> None:
    torch.manual_seed(0)
    encoder = TransformerEncoder(16, 3, 4, 24, 0.3).eval()
    x, weights = torch.randn(2, 5, 16), list[torch.Tensor]()
    expected = encoder.layers[2](encoder.layers[1](encoder.layers[0](x)))
    torch.testing.assert_close(encoder(x), expected)
    encoder(x, weights)
    assert len(weights) == 3


@pytest.mark.parametrize("norm", [True, False])
def test_a_head_starts_with_he_weights(norm: bool) -> None:
    torch.manual_seed(0)
    head = mlp((1280, 640, 240, 1), norm=norm)
    kinds = [type(part).__name__ for part in head]
    between = ["LayerNorm", "ReLU"] if norm else ["ReLU"]
    assert kinds == ["Linear", *between, "Linear", *between, "Linear"]
    for part in head:
        if isinstance(part, nn.Linear):
            he = math.sqrt(2 / part.in_features)
            assert part.weight.std().item() == pytest.approx(he, rel=0.15 if part.out_features == 1 else 0.01)
            assert part.bias.any().item() == norm


def test_standardisation_is_the_identity_until_fitted_and_spares_what_does_not_vary() -> None:
    torch.manual_seed(0)
    layer = Standardise(2, 3)
    x = torch.randn(4, 2, 3)
    assert torch.equal(layer(x), x)
    mean, std = torch.randn(2, 3), torch.rand(2, 3) + 0.5
    std[1, 2] = 0
    layer.fit(mean, std)
    expected = (x - mean) / std
    expected[:, 1, 2] = x[:, 1, 2] - mean[1, 2]
    torch.testing.assert_close(layer(x), expected)
