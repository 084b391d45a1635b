"""What pair lists share is counted by sequence, whatever the ids and the order."""

from __future__ import annotations

import numpy as np

from esm2_amp.data.audit import pair_keys, shared_pairs, shared_sequences
from esm2_amp.io.resolve import PairTable
from esm2_amp.records import Protein


def table(*pairs: tuple[str, str], prefix: str) -> PairTable:
    """Pairs of sequences; each file has ids of its own."""
    names = list(dict.fromkeys(sequence for pair in pairs for sequence in pair))
    a, b = (np.array([names.index(pair[i]) for pair in pairs], dtype=np.int32) for i in (0, 1))
    proteins = tuple(Protein(f"{prefix}{i}", name) for i, name in enumerate(names))
    return PairTable(proteins, a, b, np.ones(len(pairs), np.int8), np.arange(len(pairs)), ())


TRAIN = table(("AAA", "CCC"), ("CCC", "DDD"), ("EEE", "EEE"), prefix="train")
VAL = table(("DDD", "CCC"), ("EEE", "FFF"), prefix="val")
TEST = table(("EEE", "EEE"), ("GGG", "CCC"), ("CCC", "AAA"), prefix="test")


def test_pairs_in_common_are_found_in_either_order_and_under_other_ids() -> None:
    assert shared_pairs(TRAIN, [VAL]) == 1
    assert shared_pairs(TRAIN, [TEST]) == 2
    assert shared_pairs(TRAIN, [VAL, TEST]) == 3
    assert shared_pairs(VAL, [TEST]) == 0
    assert shared_pairs(VAL, []) == 0


def test_a_pair_shared_with_two_lists_counts_once() -> None:
    assert shared_pairs(TRAIN, [VAL, VAL]) == 1
    assert len(pair_keys(TRAIN)) == 3


def test_sequences_in_common_are_counted_once() -> None:
    assert shared_sequences(TRAIN, VAL) == 3
    assert shared_sequences(TEST, VAL) == 2
    assert shared_sequences(table(("AAA", "AAA"), prefix="x"), VAL) == 0
