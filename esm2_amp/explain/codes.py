"""Codes of proteins, kept once each, and the vectors of pairs that are gathered from them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from esm2_amp.explain.autoencoder import Autoencoder
from esm2_amp.features.store import FeatureStore
from esm2_amp.io.atomic import atomic_path
from esm2_amp.layout import TokenLayout

CHUNK = 512
"""Proteins encoded at once."""


@dataclass(frozen=True, eq=False)
class Codes:
    """Codes of some proteins of a feature store."""

    rows: NDArray[np.int64]
    """(n,) store rows, ascending, each once."""
    values: NDArray[np.float32]
    """(n, T, C), in memory or mapped."""

    def pairs(self, a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.float32]:
        """Vectors (m, 2TC) of pairs of store rows: A's T codes, then B's.

        Raises:
            KeyError: a row that has no code here.
        """
        place = np.searchsorted(self.rows, (a, b))
        if place.size and not np.array_equal(self.rows[np.minimum(place, len(self.rows) - 1)], (a, b)):
            raise KeyError("a protein without a code")
        out = np.empty((len(a), 2, *self.values.shape[1:]), np.float32)
        out[:, 0], out[:, 1] = self.values[place[0]], self.values[place[1]]
        return out.reshape(len(a), -1)


@dataclass(frozen=True, eq=False)
class CodedPairs:
    """Labelled pairs whose vectors are gathered when they are needed."""

    codes: Codes
    a: NDArray[np.int64]
    """(n,) store rows of the first proteins."""
    b: NDArray[np.int64]
    label: NDArray[np.int8]
    """(n,) 0 or 1."""

    def both_orders(self, chosen: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.int8]]:
        """Vectors (2m, 2TC) and labels (2m,) of m pairs as listed, then of the same pairs with the chains swapped."""
        a, b = self.a[chosen], self.b[chosen]
        vectors = self.codes.pairs(np.concatenate((a, b)), np.concatenate((b, a)))
        return vectors, np.tile(self.label[chosen], 2)


def mean_of_orders(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Means (m,) of what pairs as listed, then swapped, were given (2m,)."""
    return values.reshape(2, -1).mean(0)


def token_sums(values: NDArray[np.float64], tokens: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Attributions of vectors, of pairs as listed and then swapped, as attributions of their tokens.

    Args:
        values: (2m, 2TC).
        tokens: 2T, tokens of a pair.

    Returns:
        the mean of both orders, each number where its chain stands in the pair as listed, summed over the C numbers
        of a token; and the sum of its absolute values. (m, 2T) each, A's tokens first.
    """
    listed, swapped = values.reshape(2, -1, 2, tokens // 2, values.shape[1] // tokens)
    mean = ((listed + swapped[:, ::-1]) / 2).reshape(len(listed), tokens, -1)
    return mean.sum(-1), np.abs(mean).sum(-1)


def encode(autoencoder: Autoencoder, store: FeatureStore, layout: TokenLayout, rows: NDArray[np.int64]) -> Codes:
    """Codes of some proteins in memory; repeated rows count once."""
    rows = np.unique(rows)
    parts = [_encode(autoencoder, store, layout, part) for part in _chunks(rows)]
    return Codes(rows, np.concatenate(parts))


def cached_codes(
    autoencoder: Autoencoder,
    store: FeatureStore,
    layout: TokenLayout,
    rows: NDArray[np.int64],
    folder: Path,
    advance: Callable[[int], None],
) -> Codes:
    """Codes of some proteins, mapped from a file of ``folder`` that is written where it is not there.

    The file is named after all that it depends on: the autoencoder's weights, the encoder, the tokens and the
    sequences in their order. Another of these is another file, so codes are never mixed up.

    Args:
        autoencoder: in evaluation mode, on the CPU.
        store: where the tokens are.
        layout: which tokens.
        rows: proteins; repeated ones count once.
        folder: where such files are kept.
        advance: told the proteins done.
    """
    rows = np.unique(rows)
    file = folder / f"codes-{_fingerprint(autoencoder, store, layout, rows)[:32]}.npy"
    values = _mapped(file, (len(rows), len(layout)))
    if values is None:
        with atomic_path(file) as path:
            first = _encode(autoencoder, store, layout, rows[:1])
            out = np.lib.format.open_memmap(path, "w+", np.float32, (len(rows), *first.shape[1:]))
            done = 0
            for part in _chunks(rows):
                out[done : done + len(part)] = _encode(autoencoder, store, layout, part)
                done += len(part)
                advance(len(part))
            out.flush()
        values = np.load(file, mmap_mode="r", allow_pickle=False)
    else:
        advance(len(rows))
    return Codes(rows, values)


def _mapped(file: Path, shape: tuple[int, int]) -> NDArray[np.float32] | None:
    """The file's array, or None where there is no such file, or not a whole one."""
    try:
        values: NDArray[np.float32] = np.load(file, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return values if values.dtype == np.float32 and values.ndim == 3 and values.shape[:2] == shape else None


def _encode(
    autoencoder: Autoencoder, store: FeatureStore, layout: TokenLayout, rows: NDArray[np.int64]
) -> NDArray[np.float32]:
    with torch.inference_mode():
        return autoencoder.encode(torch.from_numpy(store.gather(rows, layout.stored)).float()).numpy()


def _chunks(rows: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    return np.array_split(rows, max(1, -(-len(rows) // CHUNK)))


def _fingerprint(autoencoder: Autoencoder, store: FeatureStore, layout: TokenLayout, rows: NDArray[np.int64]) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(autoencoder.state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)} ".encode())
        digest.update(np.ascontiguousarray(tensor.numpy()).tobytes())
    digest.update(f"{store.encoder.sha256} {store.long} {' '.join(layout)} ".encode())
    digest.update(np.ascontiguousarray(store.index["key"][rows]).tobytes())
    return digest.hexdigest()
