"""Vectors that lie as embeddings of proteins do: families of very different size, few strong directions, one mean."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_ROWS = 4096


class ClusteredVectors:
    """A source of vectors x = mean + (family centre + spread of the family * noise) R, all normal and seeded.

    The variances of the directions fall as 1 / rank, R is a random rotation, and the mean is so long that two vectors
    of different families have a cosine of about .8, as the published embeddings of proteins do. The sizes of the
    families fall as 1 / rank^.8; their spreads are uniform in [.15, .6].

    Args:
        dim: of a vector.
        families: how many.
        seed: of the mean, the rotation and the families.
    """

    def __init__(self, dim: int, families: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.dim = dim
        self._deviation = (np.arange(1, dim + 1) ** -0.5).astype(np.float32)
        self._rotation = np.linalg.qr(rng.standard_normal((dim, dim), dtype=np.float32))[0]
        direction = rng.standard_normal(dim, dtype=np.float32)
        total = float((self._deviation**2).sum())
        self._mean = direction * (2 * np.sqrt(total) / np.linalg.norm(direction))
        self._centres = rng.standard_normal((families, dim), dtype=np.float32) * self._deviation
        self._spread = rng.uniform(0.15, 0.6, families).astype(np.float32)
        weights = np.arange(1, families + 1) ** -0.8
        self._shares = np.cumsum(weights / weights.sum())

    def sample(self, rows: int, seed: int) -> NDArray[np.float16]:
        """``rows`` vectors (rows, dim) of families drawn by their sizes."""
        rng = np.random.default_rng(seed)
        vectors = np.empty((rows, self.dim), np.float16)
        for start in range(0, rows, _ROWS):
            block = vectors[start : start + _ROWS]
            family = np.minimum(np.searchsorted(self._shares, rng.random(len(block))), len(self._spread) - 1)
            noise = rng.standard_normal((len(block), self.dim), dtype=np.float32) * self._deviation
            noise *= self._spread[family, None]
            block[:] = (self._centres[family] + noise) @ self._rotation + self._mean
        return vectors


def write_shards(source: ClusteredVectors, folder: Path, shards: int, rows: int) -> None:
    """Write ``shards`` .npz files of ``rows`` vectors each, one array a key, with keys like those of the ESM Atlas."""
    folder.mkdir(parents=True, exist_ok=True)
    for shard in range(shards):
        file = folder / f"shard_{shard:03d}.npz"
        if not file.exists():
            vectors = source.sample(rows, seed=1000 + shard)
            first = shard * rows
            keys = [f"/scratch/x/{shard}/MGYP{first + row:012d}" for row in range(rows)]
            np.savez(folder / ".shard.npz", **dict(zip(keys, vectors, strict=True)))
            (folder / ".shard.npz").replace(file)
