"""Letters to token numbers, against transformers' own tokenizer."""

from __future__ import annotations

import string
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import EsmTokenizer

from esm2_amp.features.alphabet import PAD, STANDARD, UNK, VOCABULARY, encode, pad
from esm2_amp.records import RESIDUES, STANDARD_RESIDUES


@pytest.fixture(scope="module")
def tokenizer(encoder_folder: Path) -> EsmTokenizer:
    return EsmTokenizer(str(encoder_folder / "vocab.txt"))


def test_every_letter_is_numbered_as_by_the_tokenizer(tokenizer: EsmTokenizer) -> None:
    for letter in string.ascii_uppercase:
        assert encode(letter).tolist() == tokenizer(letter)["input_ids"], letter


def test_only_j_of_the_residues_is_unknown() -> None:
    assert {letter for letter in RESIDUES if encode(letter)[1] == UNK} == {"J"}


def test_special_tokens_stand_where_transformers_expects_them(tokenizer: EsmTokenizer) -> None:
    names = ("cls_token_id", "pad_token_id", "eos_token_id", "unk_token_id", "mask_token_id")
    assert [getattr(tokenizer, name) for name in names] == [0, 1, 2, 3, 32]
    assert tokenizer.convert_tokens_to_ids(list(VOCABULARY)) == list(range(33))


@given(st.text(sorted(RESIDUES), min_size=1, max_size=80))
def test_a_sequence_is_encoded_as_by_the_tokenizer(tokenizer: EsmTokenizer, sequence: str) -> None:
    assert encode(sequence).tolist() == tokenizer(sequence)["input_ids"]


def test_a_batch_is_padded_as_by_the_tokenizer(tokenizer: EsmTokenizer) -> None:
    sequences = ["M", "MKVLAJ", "GGG"]
    expected = tokenizer(sequences, padding=True)["input_ids"]
    assert pad([encode(sequence) for sequence in sequences]).tolist() == expected
    assert (pad([encode("M"), encode("MK")]) == PAD).sum() == 1


def test_standard_residues_are_numbered_in_their_order() -> None:
    assert np.array_equal(encode(STANDARD_RESIDUES)[1:-1], STANDARD)
