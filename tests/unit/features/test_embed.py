"""Batches within the memory there is: halved where it runs out, never an index error, every protein named."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
import pytest
import torch

from esm2_amp.errors import InputError
from esm2_amp.features.alphabet import VOCABULARY
from esm2_amp.features.embed import Embedder, budget_for, default_budget, workers_for
from esm2_amp.features.encoder import Esm2Encoder
from esm2_amp.features.identity import EncoderIdentity, LongPolicy
from esm2_amp.records import STANDARD_RESIDUES, Protein

FULL = LongPolicy("full", 1022)


class SmallDevice:
    """An encoder on a device that holds ``room`` positions; a state is a random vector of the residue."""

    identity = EncoderIdentity("fake", "f" * 64, 6)
    device = torch.device("cpu")

    def __init__(self, room: int, error: Exception | None = None) -> None:
        self.room, self.error = room, error or torch.OutOfMemoryError("out of memory")
        self.vectors = torch.randn(len(VOCABULARY), 6, generator=torch.Generator().manual_seed(0))
        self.sizes: list[int] = []

    def states(self, tokens: torch.Tensor, lengths: Sequence[int]) -> torch.Tensor:
        if len(tokens) > self.room:
            raise self.error
        self.sizes.append(len(tokens))
        return self.vectors[tokens] * torch.cat([torch.linspace(1, 2, length) for length in lengths])[:, None]


def proteins_of(lengths: Sequence[int]) -> list[Protein]:
    rng = np.random.default_rng(3)
    return [Protein(f"P{n}", "".join(rng.choice(list(STANDARD_RESIDUES), n))) for n in lengths]


def embedder(encoder: SmallDevice | Esm2Encoder, budget: int, long: LongPolicy = FULL) -> Embedder:
    return Embedder(encoder, long, budget, residue_states=True)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes"),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    ],
)
def test_where_memory_runs_out_the_budget_is_halved_for_good(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    proteins = proteins_of([60, 50, 40, 40, 30, 30, 20])
    device = SmallDevice(100, error)
    embed = embedder(device, 1000)
    with caplog.at_level(logging.WARNING, logger="esm2_amp"):
        found = embed(proteins)
    plenty = embedder(SmallDevice(10_000), 1000)(proteins)
    assert np.array_equal(found.tokens, plenty.tokens)
    assert np.array_equal(found.residue_states, plenty.residue_states)
    assert sum(device.sizes) == sum(len(protein.sequence) + 2 for protein in proteins)
    assert max(device.sizes) <= 100 < embed.token_budget * 2 + 1
    warnings = len(caplog.records)
    assert "ran out" in caplog.text
    embed(proteins)
    assert len(caplog.records) == warnings  # it remembers


def test_a_protein_that_does_not_fit_alone_is_named_with_what_helps() -> None:
    proteins = proteins_of([20, 150])
    with pytest.raises(InputError, match=r"protein P150 does not fit into the memory of cpu: 150 residues.*long=chunk"):
        embedder(SmallDevice(100), 1000)(proteins)
    found = embedder(SmallDevice(100), 1000, LongPolicy("chunk", 80))(proteins)
    assert found.tokens.shape == (2, 13, 6)


def test_another_error_of_the_device_stays_what_it_is() -> None:
    with pytest.raises(RuntimeError, match="broken"):
        embedder(SmallDevice(10, RuntimeError("broken")), 1000)(proteins_of([20, 30]))


def test_a_chunked_protein_may_span_several_forwards_and_share_them_with_others(encoder: Esm2Encoder) -> None:
    proteins = proteins_of([300, 15, 120])
    long = LongPolicy("chunk", 50)
    together = embedder(encoder, 10_000, long)(proteins)
    for budget in (1, 60, 130):
        found = embedder(encoder, budget, long)(proteins)
        np.testing.assert_allclose(found.tokens.astype(float), together.tokens.astype(float), rtol=2e-3, atol=2e-3)
    alone = [embedder(encoder, 100, long)([protein]) for protein in proteins]
    np.testing.assert_allclose(np.concatenate([one.tokens for one in alone]), together.tokens, rtol=2e-3, atol=2e-3)
    states = np.concatenate([one.residue_states for one in alone if one.residue_states is not None])
    np.testing.assert_allclose(states, together.residue_states, rtol=2e-3, atol=2e-3)


def test_chunks_change_nothing_for_a_protein_that_is_not_long(encoder: Esm2Encoder) -> None:
    proteins = proteins_of([50])
    chunked, whole = (embedder(encoder, 100, long)(proteins) for long in (LongPolicy("chunk", 50), FULL))
    assert np.array_equal(chunked.tokens, whole.tokens)


@pytest.mark.parametrize("bad", [float("nan"), 1e6])
def test_one_bad_residue_state_is_enough_to_name_the_protein(bad: float) -> None:
    device = SmallDevice(1000)
    device.vectors[VOCABULARY.index("X")] = bad  # 1e6: finite in float32, not in the float16 that is stored
    good = proteins_of([30])[0]
    with pytest.raises(InputError, match="not finite for protein odd"):
        embedder(device, 1000)([good, Protein("odd", "A" * 200 + "X" + "A" * 200)])


def test_the_budget_follows_the_device() -> None:
    assert default_budget(torch.device("cpu"), 1280) == 2048
    assert budget_for(1 << 30, 2560) == 2184  # a small GPU and a large encoder
    assert budget_for(80 << 30, 1280) == 65_536
    assert budget_for(0, 1280) == 2048
    assert budget_for(4 << 30, 1280) < budget_for(8 << 30, 1280) < budget_for(8 << 30, 640)


def test_workers_are_as_many_as_threads_or_as_memory_has_room_for() -> None:
    assert workers_for(24 << 30, 2, 2048, 1280) == 2
    assert workers_for(24 << 30, 64, 2048, 1280) == 25  # a quarter of a gigabyte each
    assert workers_for(1 << 30, 64, 8192, 2560) == 1
