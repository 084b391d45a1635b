"""A scorer gives the network's own logits, whatever it computes only once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor, nn

from esm2_amp.errors import InputError
from esm2_amp.models.checkpoint import hyper_from, load_card, load_network
from esm2_amp.models.dpm import DPM
from esm2_amp.models.network import PairNetwork
from esm2_amp.models.networks import NETWORKS
from esm2_amp.screening.scorer import Prepared, Scorer, of_block, of_pairs
from esm2_amp.screening.scorer_cost import flops_per_pair, precision_error
from esm2_amp.screening.scorers import SCORERS, scorer_for

ROOT = Path(__file__).parents[3]
CPU = torch.device("cpu")


def trained_like(name: str, width: int) -> PairNetwork:
    """A network with a standardisation, biases and norm weights as training may leave them, logits of order one."""
    kind = NETWORKS[name]
    values: dict[str, Any] = yaml.safe_load((ROOT / "conf" / "model" / f"{name}.yaml").read_text())["network"]
    if values["scale_from"] is not None or name == "dpm":
        values["scale_from"] = 320
    torch.manual_seed(width)
    network = kind(width, hyper_from(kind, values, name)).eval()
    shape = (len(network.layout), width)
    network.standardise.fit(5 * torch.randn(shape), torch.rand(shape) + 0.5)
    with torch.no_grad():
        for key, parameter in network.named_parameters():
            if key.endswith("bias"):
                parameter.normal_(std=0.3)
        for module in network.modules():
            if isinstance(module, nn.LayerNorm):
                module.weight.normal_()
                module.weight[0], module.weight[1] = 0, 1e-12
    return network


def proteins(network: PairNetwork, count: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    shape = (count, len(network.layout), network.width)
    return network.standardise.mean + torch.randn(shape, generator=generator)


def expected(network: PairNetwork, a: Tensor, b: Tensor) -> Tensor:
    """(r, c) logits of all pairs by the network itself, in double precision."""
    exact = type(network)(network.width, network.hyper).double().eval()
    exact.load_state_dict(network.state_dict())
    i, j = torch.meshgrid(torch.arange(len(a)), torch.arange(len(b)), indexing="ij")
    return exact(a.double()[i.flatten()], b.double()[j.flatten()]).view(len(a), len(b)).float()


@pytest.fixture(params=[(name, width) for name in NETWORKS for width in (32, 72)], ids=str)
def network(request: pytest.FixtureRequest) -> PairNetwork:
    return trained_like(*request.param)


@torch.inference_mode()
def test_every_pair_in_both_orders_and_chunks_of_any_size(network: PairNetwork) -> None:
    scorer = scorer_for(network, CPU, "float32", compiled=False)
    x, y = proteins(network, 7), proteins(network, 5, seed=1)
    a, b = scorer.prepare(x), scorer.prepare(y)
    right = expected(network, x, y)
    assert 0.1 < right.std() < 10
    torch.testing.assert_close(network(x[:5], y), right.diagonal(), rtol=0, atol=1e-5)
    i, j = torch.arange(35) % 7, torch.arange(35) % 5
    for chunk in (2, 12, 1000):
        scorer.chunk = chunk
        torch.testing.assert_close(of_block(scorer, a, b), right, rtol=0, atol=1e-5)
        torch.testing.assert_close(of_block(scorer, b, a), right.T, rtol=0, atol=1e-5)
        torch.testing.assert_close(of_pairs(scorer, a, i, b, j), right[i, j], rtol=0, atol=1e-5)
        torch.testing.assert_close(of_pairs(scorer, b, j, a, i), right[i, j], rtol=0, atol=1e-5)


@torch.inference_mode()
def test_any_shapes_that_broadcast(network: PairNetwork) -> None:
    scorer = scorer_for(network, CPU, "float32", compiled=False)
    x, y = proteins(network, 6), proteins(network, 4, seed=1)
    a, b = scorer.prepare(x), scorer.prepare(y)
    right = expected(network, x, y)

    def shaped(prepared: Prepared, *lead: int) -> Prepared:
        return tuple(tensor.view(*lead, *tensor.shape[1:]) for tensor in prepared)

    torch.testing.assert_close(
        scorer.logits(shaped(a, 2, 3, 1), shaped(b, 1, 1, 4)).view(6, 4), right, rtol=0, atol=1e-5
    )
    torch.testing.assert_close(scorer.logits(shaped(a, 1, 6), shaped(b, 4, 1)), right.T, rtol=0, atol=1e-5)
    one = tuple(tensor[0] for tensor in a)
    torch.testing.assert_close(scorer.logits(one, b), right[0], rtol=0, atol=1e-5)


def test_a_protein_is_prepared_alone(network: PairNetwork) -> None:
    scorer = scorer_for(network, CPU, "float32", compiled=False)
    x = proteins(network, 4)
    with torch.inference_mode():
        together, alone = scorer.prepare(x), scorer.prepare(x[2:3])
    for whole, part in zip(together, alone, strict=True):
        assert len(whole) == 4
        torch.testing.assert_close(whole[2:3], part, rtol=1e-5, atol=1e-5)


def test_scorers_leave_the_network_as_it_was(network: PairNetwork) -> None:
    before = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    scorer = scorer_for(network, CPU, "float32", compiled=False)
    x = proteins(network, 3)
    with torch.inference_mode():
        prepared = scorer.prepare(x)
        first = of_block(scorer, prepared, prepared)
        torch.testing.assert_close(of_block(scorer, prepared, prepared), first, rtol=0, atol=0)
    assert all(torch.equal(before[key], tensor) for key, tensor in network.state_dict().items())


def test_bf16_errs_by_little_of_the_spread(network: PairNetwork) -> None:
    quick, exact = (scorer_for(network, CPU, precision, compiled=False) for precision in ("bf16", "float32"))
    x, y = proteins(network, 12), proteins(network, 12, seed=1)
    error = precision_error(quick, exact, x, y)
    assert 0 < error.largest < 0.2 * error.spread
    assert error.mean < 0.05 * error.spread
    a = quick.prepare(x)
    with torch.inference_mode():
        assert quick.logits(a, a).dtype == torch.float32
        torch.testing.assert_close(of_block(quick, a, a), of_block(quick, a, a).T, rtol=0, atol=0.1 * error.spread)


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_a_network_without_a_scorer_of_its_own_has_one(precision: str) -> None:
    class Another(DPM):
        pass

    network = trained_like("dpm", 32)
    another = Another(32, network.hyper)
    another.load_state_dict(network.state_dict())
    scorer = scorer_for(another, CPU, precision, compiled=False)
    assert type(scorer) is Scorer
    x = proteins(network, 6)
    with torch.inference_mode():
        a = scorer.prepare(x)
        bound = 1e-5 if precision == "float32" else 0.1
        torch.testing.assert_close(of_block(scorer, a, a), expected(network, x, x), rtol=0, atol=bound)


def test_every_network_has_a_scorer_that_does_less_than_the_network(network: PairNetwork) -> None:
    assert type(network) in SCORERS
    x = proteins(network, 4)
    ours = flops_per_pair(scorer_for(network, CPU, "float32", compiled=False), x, x)
    assert ours < flops_per_pair(Scorer(network, CPU), x, x)


def test_the_operations_of_dpm_are_those_of_its_matrices() -> None:
    network = trained_like("dpm", 32)
    sizes = [part.in_features * part.out_features for part in network.mlp if isinstance(part, nn.Linear)]
    x = proteins(network, 3)
    assert flops_per_pair(scorer_for(network, CPU, "float32", compiled=False), x, x) == 2 * 2 * sum(sizes[1:])
    assert flops_per_pair(Scorer(network, CPU), x, x) == 2 * 2 * sum(sizes)


@torch.inference_mode()
def test_dpm_loses_no_digits_to_large_means_or_to_proteins_that_cancel() -> None:
    network = trained_like("dpm", 64)
    first = network.mlp[0]
    first.weight[:, 64:] = -first.weight[:, :64] * (1 + 1e-3)
    first.weight += 0.01  # u and w get means far above their deviations
    x = proteins(network, 6) * 30
    first.bias += 3
    y = x + 0.05 * proteins(network, 6, seed=1)
    scorer = scorer_for(network, CPU, "float32", compiled=False)
    right = expected(network, x, y)
    # the network's own float32 loses as many digits here
    own = torch.stack([network(x, y.roll(-k, 0)) for k in range(6)], dim=1)
    wrong = (own - torch.stack([right.roll(-k, 1).diagonal() for k in range(6)], dim=1)).abs().max().item()
    error = (of_block(scorer, scorer.prepare(x), scorer.prepare(y)) - right).abs().max().item()
    assert error < max(1e-5, 2 * wrong)


@pytest.mark.parametrize("folder", ["demo_amps", "human_ampx"])
def test_shipped_models(folder: str) -> None:
    place = ROOT / "checkpoints" / folder
    network = load_network(place, load_card(place))
    generator = torch.Generator().manual_seed(0)
    shape = (24, len(network.layout), network.width)
    x = network.standardise.mean + network.standardise.std * torch.randn(shape, generator=generator)
    scorer = scorer_for(network, CPU, "float32", compiled=False)
    with torch.inference_mode():
        a = scorer.prepare(x)
        torch.testing.assert_close(of_block(scorer, a, a), expected(network, x, x), rtol=0, atol=1e-5)
    error = precision_error(scorer_for(network, CPU, "bf16", compiled=False), scorer, x, x)
    assert error.largest < 0.1 * error.spread


def test_an_unknown_precision_is_refused_by_name() -> None:
    with pytest.raises(InputError, match=r"'fp8' is unknown.*float32, bf16"):
        scorer_for(trained_like("dpm", 32), CPU, "fp8", compiled=False)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["dpm", "ampx"])
def test_compiled_scorers_give_the_same(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    network = trained_like(name, 32)
    scorer = scorer_for(network, CPU, "float32", compiled=True)
    x, y = proteins(network, 7), proteins(network, 5, seed=1)
    with torch.inference_mode():
        a, b = scorer.prepare(x), scorer.prepare(y)
        torch.testing.assert_close(of_block(scorer, a, b), expected(network, x, y), rtol=0, atol=1e-5)


@pytest.mark.slow
def test_compiling_without_a_compiler_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr("torch._inductor.config.cpp.cxx", ("no-such-compiler",))
    torch.compiler.reset()
    with pytest.raises(InputError, match=r"torch\.compile does not work here.*compiler"):
        scorer_for(trained_like("dpm", 32), CPU, "float32", compiled=True)
