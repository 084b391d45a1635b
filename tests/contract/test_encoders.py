"""What every encoder promises: states independent of the batch, and the tokens that its own library would give."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import EsmModel, EsmTokenizer

from esm2_amp.features.alphabet import encode
from esm2_amp.features.encoder import Esm2Encoder, identify
from esm2_amp.features.extract import ExtractionSettings, extract
from esm2_amp.features.identity import LongPolicy
from esm2_amp.features.store import FeatureStore
from esm2_amp.records import Protein


def states(encoder: Esm2Encoder, sequences: list[str]) -> list[torch.Tensor]:
    rows = [encode(sequence) for sequence in sequences]
    lengths = [len(row) for row in rows]
    return list(torch.split(encoder.states(torch.from_numpy(np.concatenate(rows)), lengths), lengths))


def loaded(folder: Path, precision: torch.dtype) -> Esm2Encoder:
    return Esm2Encoder(folder, identify("tiny", folder), torch.device("cpu"), precision)


PRECISIONS = {torch.float32: 1e-4, torch.bfloat16: 0.1, torch.float16: 0.02}
"""Largest error that this page allows of a state, whose size is about 1."""


@pytest.mark.parametrize("precision", PRECISIONS, ids=str)
def test_states_are_those_of_transformers_whatever_the_batch(
    encoder_folder: Path, proteins: tuple[Protein, ...], precision: torch.dtype
) -> None:
    model = EsmModel.from_pretrained(encoder_folder, add_pooling_layer=False, attn_implementation="eager").eval()
    encoder = loaded(encoder_folder, precision)
    sequences = [protein.sequence for protein in proteins]
    together = states(encoder, sequences)
    for state, sequence in zip(together, sequences, strict=True):
        with torch.no_grad():
            expected = model(torch.from_numpy(encode(sequence))[None]).last_hidden_state[0]
        torch.testing.assert_close(state, expected, rtol=0, atol=PRECISIONS[precision])
        assert torch.cosine_similarity(state, expected).min() > 1 - 1e-6 - PRECISIONS[precision] ** 2
        torch.testing.assert_close(states(encoder, [sequence])[0], state, rtol=0, atol=PRECISIONS[precision] / 2)


def test_states_depend_on_every_residue(encoder: Esm2Encoder) -> None:
    one, other = states(encoder, ["MKVLAGWYTRE", "MKVLAGWYTRK"])
    assert ((one - other).abs().amax(dim=1) > 1e-3).all()


def test_proteins_packed_together_do_not_see_each_other(encoder: Esm2Encoder) -> None:
    first, _ = states(encoder, ["MKVLAGWYTRE", "MKVLAGWYTRK"])
    again, _ = states(encoder, ["MKVLAGWYTRE", "WWWWWWWWWWW"])
    torch.testing.assert_close(first, again, rtol=0, atol=1e-6)


def test_states_carry_no_gradient_and_do_not_change(encoder: Esm2Encoder) -> None:
    (first,) = states(encoder, ["MKVLAG"])
    assert not first.requires_grad
    assert torch.equal(first, states(encoder, ["MKVLAG"])[0])


def reference(sequence: str, model: EsmModel, tokenizer: EsmTokenizer) -> np.ndarray:
    with torch.no_grad():
        states = model(**tokenizer(sequence, return_tensors="pt")).last_hidden_state[0].numpy()
    residues = states[1:-1]
    segments = [run.mean(axis=0) if len(run) else 0 * states[0] for run in np.array_split(residues, 10)]
    return np.stack([states[0], *segments, states[-1], residues.mean(axis=0)])


@pytest.mark.parametrize("token_budget", [1, 200, 10_000])
def test_stored_tokens_are_those_of_transformers_one_protein_at_a_time(
    encoder: Esm2Encoder, encoder_folder: Path, proteins: tuple[Protein, ...], tmp_path: Path, token_budget: int
) -> None:
    model = EsmModel.from_pretrained(encoder_folder, add_pooling_layer=False, attn_implementation="eager").eval()
    tokenizer = EsmTokenizer(str(encoder_folder / "vocab.txt"))
    rare = Protein("rare", "MBJOUXZK" * 3)
    extract(
        [*proteins, rare], str(tmp_path / "store"), encoder.identity, lambda: encoder,
        ExtractionSettings(LongPolicy("full", 1022), token_budget, 2, False), lambda *_: None, lambda _: None,
    )  # fmt: skip
    store = FeatureStore(tmp_path / "store")
    for protein in (*proteins, rare):
        stored = store.gather(store.find([protein.key]), range(13))[0].astype(np.float32)
        expected = reference(protein.sequence, model, tokenizer)
        np.testing.assert_allclose(stored, expected, rtol=2**-10, atol=1e-4, err_msg=protein.id)
