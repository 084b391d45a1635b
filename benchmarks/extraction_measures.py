"""What the extraction benchmark counts and compares: operations of an encoder, tokens, errors. Needs numpy only."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]


class Product(NamedTuple):
    """``count`` matrix products (m, k) x (k, n)."""

    m: int
    k: int
    n: int
    count: int


@dataclass(frozen=True)
class EncoderShape:
    """Numbers of an ESM-2 encoder that decide how much it computes."""

    layers: int
    width: int
    heads: int
    inner: int

    @classmethod
    def of(cls, folder: Path) -> EncoderShape:
        """Read from the ``config.json`` of an encoder's folder."""
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        names = ("num_hidden_layers", "hidden_size", "num_attention_heads", "intermediate_size")
        return cls(*(int(config[name]) for name in names))


def products(lengths: Sequence[int], shape: EncoderShape, rows: int) -> list[Product]:
    """The matrix products of an encoder's layers over some proteins, with no padding.

    The linear layers (query, key, value, output, and the two of the feed-forward part) see all positions end to end,
    ``rows`` at a time; every head of every protein multiplies its queries with its keys and its weights with its
    values.

    Args:
        lengths: residues of each protein; cls and eos make two positions more.
        shape: of the encoder.
        rows: most positions in one product of a linear layer.
    """
    found: list[Product] = []
    whole, rest = divmod(sum(lengths) + 2 * len(lengths), rows)
    for m, times in ((rows, whole), (rest, 1)):
        if m and times:
            count = times * shape.layers
            found.append(Product(m, shape.width, shape.width, 4 * count))
            found.append(Product(m, shape.width, shape.inner, count))
            found.append(Product(m, shape.inner, shape.width, count))
    size = shape.width // shape.heads
    for length in lengths:
        s = length + 2
        found.append(Product(s, size, s, shape.layers * shape.heads))
        found.append(Product(s, s, size, shape.layers * shape.heads))
    return found


def operations(work: Sequence[Product]) -> int:
    """Additions and multiplications of some matrix products."""
    return sum(2 * p.m * p.k * p.n * p.count for p in work)


def tokens(states: Floats) -> Floats:
    """The 13 tokens of one protein by definition: (L + 2, D) last hidden states to (13, D)."""
    residues = states[1:-1]
    runs = [run.mean(axis=0) if len(run) else 0 * states[0] for run in np.array_split(residues, 10)]
    return np.stack([states[0], *runs, states[-1], residues.mean(axis=0)])


def errors(found: Floats, exact: Floats) -> dict[str, float | int | None]:
    """How far features are from the reference.

    Proteins with a value that is not finite are counted and left out of the rest; a token that is zero in the
    reference (a segment without residues) has no cosine.

    Args:
        found: (n, T, D) features of n proteins.
        exact: (n, T, D) reference.

    Returns:
        ``not_finite`` proteins, ``largest_error`` (absolute) and ``smallest_cosine``; the last two are None where
        nothing is left to compare.
    """
    good = np.isfinite(found).all(axis=(1, 2))
    bad = int((~good).sum())
    if not good.any():
        return {"not_finite": bad, "largest_error": None, "smallest_cosine": None}
    a, b = found[good].astype(np.float64), exact[good].astype(np.float64)
    norms = np.linalg.norm(a, axis=2) * np.linalg.norm(b, axis=2)
    some = np.linalg.norm(b, axis=2) > 0
    cosine = (a * b).sum(axis=2)[some] / np.maximum(norms[some], np.finfo(np.float64).tiny)
    return {"not_finite": bad, "largest_error": float(np.abs(a - b).max()), "smallest_cosine": float(cosine.min())}
