"""Attention weights against torch's own layer, and what is made of them against loops."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from esm2_amp.errors import InputError
from esm2_amp.explain.attention import attention_weights, block_structure, has_attention, received, rollout
from esm2_amp.models.amps import AMPS
from esm2_amp.models.network import PairNetwork

Make = Callable[..., PairNetwork]


def reference_layer(network: AMPS, layer: int) -> nn.TransformerEncoderLayer:
    """torch's own pre-norm layer with the weights of one of ours."""
    ours = network.encoder.layers[layer]
    theirs = nn.TransformerEncoderLayer(
        network.width, ours.attention.heads, ours.expand.out_features, norm_first=True, batch_first=True
    ).eval()
    theirs.self_attn.in_proj_weight.data.copy_(ours.attention.project_in.weight)
    theirs.self_attn.in_proj_bias.data.copy_(ours.attention.project_in.bias)
    for name, part in {
        "self_attn.out_proj": ours.attention.project_out,
        "norm1": ours.norm1,
        "norm2": ours.norm2,
        "linear1": ours.expand,
        "linear2": ours.contract,
    }.items():
        theirs.get_submodule(name).load_state_dict(part.state_dict())
    return theirs


@pytest.mark.parametrize("name", ["amps", "amp_cse"])
def test_attention_is_that_of_a_reference_forward_pass(
    make_network: Make, random_pairs: Callable[..., tuple[Tensor, Tensor]], name: str
) -> None:
    network = make_network(name).train()  # dropout must not matter
    assert isinstance(network, AMPS)
    a, b = random_pairs(5, network)
    found = attention_weights(network, a, b)
    assert network.training
    x = torch.cat((network.standardise(a), network.standardise(b)), dim=1)
    with torch.no_grad():
        for layer in range(len(network.encoder.layers)):
            theirs = reference_layer(network, layer)
            normed = theirs.norm1(x)
            _, expected = theirs.self_attn(normed, normed, normed, average_attn_weights=False)
            torch.testing.assert_close(found[:, layer], expected, rtol=1e-4, atol=1e-6)
            x = theirs(x)
        torch.testing.assert_close(network.head(x.mean(dim=1)).squeeze(-1), network.eval()(a, b), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.sum(dim=-1), torch.ones(found.shape[:-1]))


def test_what_tokens_receive_rollout_and_blocks_equal_loops(
    make_network: Make, random_pairs: Callable[..., tuple[Tensor, Tensor]]
) -> None:
    network = make_network("amps")
    weights = attention_weights(network, *random_pairs(3, network))
    n, layers, heads, tokens, _ = weights.shape
    chain = tokens // 2
    for i in range(n):
        even = torch.zeros(tokens)
        flow = torch.eye(tokens)
        for layer in range(layers):
            mean = sum(weights[i, layer, head] for head in range(heads)) / heads
            even += mean.mean(dim=0) / layers
            flow = (0.5 * mean + 0.5 * torch.eye(tokens)) @ flow
            blocks = [mean[:chain, :chain], mean[:chain, chain:], mean[chain:, :chain], mean[chain:, chain:]]
            shares = torch.stack([block.sum() for block in blocks]) / tokens
            torch.testing.assert_close(block_structure(weights)[i, layer], shares)
        torch.testing.assert_close(received(weights)[i], even)
        torch.testing.assert_close(rollout(weights)[i], flow.mean(dim=0))


def test_attention_to_one_token_is_found() -> None:
    weights = torch.zeros(1, 2, 1, 4, 4)
    weights[..., 3] = 1  # everyone looks at the second token of B
    assert received(weights)[0].tolist() == [0, 0, 0, 1]
    # two layers, half by the residual each: a quarter of each other token stays where it is
    torch.testing.assert_close(rollout(weights)[0], torch.tensor([1 / 16, 1 / 16, 1 / 16, 13 / 16]))
    assert block_structure(weights)[0].tolist() == [[0, 0.5, 0, 0.5]] * 2


def test_batches_larger_than_a_forward_pass_are_cut(
    make_network: Make, random_pairs: Callable[..., tuple[Tensor, Tensor]]
) -> None:
    network = make_network("amps")
    a, b = random_pairs(300, network)
    whole = attention_weights(network, a, b)
    torch.testing.assert_close(whole[290:], attention_weights(network, a[290:], b[290:]))


@pytest.mark.parametrize("name", ["ampx", "dpm", "gru"])
def test_networks_without_attention_are_refused_by_name(
    make_network: Make, random_pairs: Callable[..., tuple[Tensor, Tensor]], name: str
) -> None:
    network = make_network(name)
    assert not has_attention(network)
    with pytest.raises(InputError, match=rf"{name.upper()} has no attention .* are amps, amp_cse"):
        attention_weights(network, *random_pairs(1, network))
