"""ESM-2's vocabulary: letters to token numbers, by one table look-up."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

VOCABULARY = (
    "<cls>", "<pad>", "<eos>", "<unk>", *"LAGVSERTIDPKQNFYMHWCXBUZO", ".", "-", "<null_1>", "<mask>",
)  # fmt: skip
"""Token names in ESM-2's order (Lin et al. 2023, doi 10.1126/science.ade2574). There is no J: it becomes <unk>."""
CLS, PAD, EOS, UNK, MASK = (VOCABULARY.index(name) for name in ("<cls>", "<pad>", "<eos>", "<unk>", "<mask>"))
STANDARD = tuple(VOCABULARY.index(letter) for letter in "ACDEFGHIKLMNPQRSTVWY")

_TABLE = np.full(256, UNK, dtype=np.int64)
for _number, _name in enumerate(VOCABULARY):
    if len(_name) == 1:
        _TABLE[ord(_name)] = _number


def encode(sequence: str) -> NDArray[np.int64]:
    """Token numbers of ``<cls>``, the residues and ``<eos>``.

    Args:
        sequence: L upper-case ASCII letters.

    Returns:
        (L + 2,) token numbers; a letter outside the vocabulary becomes ``<unk>``, as ESM-2's own tokenizer does.
    """
    tokens = np.empty(len(sequence) + 2, dtype=np.int64)
    tokens[0], tokens[-1] = CLS, EOS
    tokens[1:-1] = _TABLE[np.frombuffer(sequence.encode("ascii"), dtype=np.uint8)]
    return tokens


def pad(rows: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    """Stack token rows of different lengths into (rows, longest), filled up with ``<pad>``."""
    batch = np.full((len(rows), max(map(len, rows))), PAD, dtype=np.int64)
    for line, row in zip(batch, rows, strict=True):
        line[: len(row)] = row
    return batch
