"""Train an index on a sample: the transform first, then the lists and codes on vectors already transformed."""

from __future__ import annotations

import faiss
import numpy as np

from esm2_amp.errors import InputError
from esm2_amp.neighbours.plan import ADDED_ROWS, new_index, transforms_of
from esm2_amp.neighbours.scores import Rows, Scores
from esm2_amp.neighbours.vectors import Vectors


def unit(vectors: Scores) -> Scores:
    """Vectors (m, d) of length 1; a zero vector stays zero."""
    lengths = np.sqrt(np.einsum("nd,nd->n", vectors, vectors))[:, None]
    return np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)


def sample_rows(n: int, count: int, seed: int) -> Rows:
    """About ``count`` of n rows, one at random from each of as many equal stretches; ascending, without repeats."""
    if count >= n:
        return np.arange(n)
    places = (np.arange(count) + np.random.default_rng(seed).random(count)) * (n / count)
    return np.unique(np.minimum(places.astype(np.int64), n - 1))


def trained_index(vectors: Vectors, factory: str, training_rows: int, transform_rows: int, seed: int) -> faiss.Index:
    """An index of the unit vectors, trained and empty; the same arguments give the same index.

    Raises:
        InputError: faiss cannot train it on so few vectors.
    """
    index, ivf = new_index(vectors.dim, factory)
    ivf.cp.seed, ivf.cp.min_points_per_centroid = seed, 1
    transforms = transforms_of(index)
    on_gpus = _assignment_on_gpus(ivf.d)  # lives as long as it is used
    if on_gpus is not None:
        ivf.clustering_index = on_gpus
    try:
        for number, transform in enumerate(transforms):
            _train_transform(transform, vectors, sample_rows(vectors.n, transform_rows, seed), transforms[:number])
        rows = sample_rows(vectors.n, training_rows, seed)
        ivf.train(_sample(vectors, rows, transforms, ivf.d))
    except RuntimeError as error:
        raise InputError(f"faiss cannot train {factory} on {vectors.n:,} vectors ({reason(error)})") from error
    ivf.clustering_index = None
    index.is_trained = True
    return index


def _assignment_on_gpus(dim: int) -> faiss.Index | None:
    """For k-means, which assigns every vector to a list again and again: flat search on the GPUs, if faiss has any."""
    if not faiss.get_num_gpus():
        return None
    return faiss.index_cpu_to_all_gpus(faiss.IndexFlatL2(dim))


def reason(error: RuntimeError) -> str:
    """What an error of faiss says, without the places in its source."""
    return str(error).splitlines()[0].rsplit("Error: ", 1)[-1].rsplit(": ", 1)[-1]


def _sample(vectors: Vectors, rows: Rows, transforms: list[faiss.VectorTransform], dim: int) -> Scores:
    """Transformed unit vectors, (rows, dim), made block by block."""
    sample = np.empty((len(rows), dim), np.float32)
    for start in range(0, len(rows), ADDED_ROWS):
        block = unit(vectors.take(rows[start : start + ADDED_ROWS]))
        for transform in transforms:
            block = transform.apply(block)
        sample[start : start + ADDED_ROWS] = block
        vectors.release()
    return sample


def _train_transform(
    transform: faiss.VectorTransform, vectors: Vectors, rows: Rows, before: list[faiss.VectorTransform]
) -> None:
    if isinstance(transform, faiss.PCAMatrix) and not before:
        _train_pca(transform, vectors, rows)
    elif not transform.is_trained:
        transform.train(_sample(vectors, rows, before, transform.d_in))


def _train_pca(pca: faiss.PCAMatrix, vectors: Vectors, rows: Rows) -> None:
    """Principal components of the unit vectors of some rows, from sums over blocks.

    faiss would need the whole sample in memory, and for 2560 dimensions a minute for the eigenvectors.
    """
    total, squares = np.zeros(vectors.dim), np.zeros((vectors.dim, vectors.dim))
    for start in range(0, len(rows), ADDED_ROWS):
        block = unit(vectors.take(rows[start : start + ADDED_ROWS]))
        total += block.sum(axis=0, dtype=np.float64)
        squares += block.T @ block
        vectors.release()
    mean = total / len(rows)
    variances, directions = np.linalg.eigh(squares / len(rows) - np.outer(mean, mean))
    faiss.copy_array_to_vector(mean.astype(np.float32), pca.mean)
    faiss.copy_array_to_vector(variances[::-1].astype(np.float32), pca.eigenvalues)
    faiss.copy_array_to_vector(np.ascontiguousarray(directions.T[::-1], np.float32).ravel(), pca.PCAMat)
    pca.prepare_Ab()
    pca.PCAMat.clear()  # d x d numbers that are not needed any more would lie in every part
    pca.is_trained = True
