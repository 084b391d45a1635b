"""What ``neighbours.py`` measures ours against: flat faiss, and a published way of searching analogies.

The published way (ZadorLaboratory/gene_analogies) is written here from its description, for measurement only: all
differences x_i - x_j with i < j, at length 1, in a faiss index by inner product; a query searches q and -q, keeps at
each rank the better of the two hits, and applies the threshold to what came back. Its closest pairs are those of the
full matrix of cosines, its upper triangle sorted.
"""

from __future__ import annotations

import numpy as np

HITS = 5196
LISTS = 4520
PROBES = 20
ROUNDS = 4


def clustered(n: int, d: int, seed: int = 0) -> np.ndarray:
    """Vectors of families whose sizes follow a power law, with a spectrum that decays and a mean in common."""
    rng = np.random.default_rng(seed)
    families = max(2, n // 20)
    share = np.arange(1, families + 1) ** -0.7
    family = rng.choice(families, n, p=share / share.sum())
    spectrum = (np.arange(1, d + 1) ** -0.4).astype(np.float32)
    turn = np.linalg.qr(rng.normal(size=(d, d)))[0].astype(np.float32)
    centres = rng.normal(size=(families, d)).astype(np.float32)
    own = rng.normal(size=(n, d)).astype(np.float32)
    mean = np.sqrt((spectrum**2).mean())
    return np.ascontiguousarray(((centres[family] + 0.5 * own) * spectrum) @ turn + mean, dtype=np.float32)


def unit(x: np.ndarray) -> np.ndarray:
    """At length 1."""
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def all_analogies(x: np.ndarray, a: int, b: int, k: int, highest: float | None) -> list[tuple[int, int]]:
    """The true k best (c, d), by scoring all n² ordered pairs in float64."""
    x = x.astype(np.float64)
    q = (x[a] - x[b]) / np.linalg.norm(x[a] - x[b])
    along, squares = x @ q, (x**2).sum(axis=1)
    lengths = np.sqrt(np.maximum(squares[:, None] + squares - 2 * x @ x.T, 1e-12))
    score = (along[:, None] - along) / lengths
    cosine = unit(x) @ unit(x)[[a, b]].T
    np.fill_diagonal(score, -np.inf)
    score[[a, b]] = score[:, [a, b]] = -np.inf
    if highest is not None:
        score[cosine[:, 0] > highest] = -np.inf
        score[:, cosine[:, 1] > highest] = -np.inf
    best = np.argsort(-score.ravel(), kind="stable")[:k]
    return list(zip(*(part.tolist() for part in np.divmod(best, len(x))), strict=True))


class PairIndex:
    """All differences in one faiss index, flat or with inverted lists."""

    def __init__(self, x: np.ndarray, inverted: bool) -> None:
        self.x, (self.first, self.second) = x, np.triu_indices(len(x), 1)
        steps = unit(x[self.first] - x[self.second])
        import faiss  # here: it is not to count as memory of ours

        self.index = faiss.IndexFlatIP(x.shape[1])
        if inverted:
            self.index = faiss.IndexIVFFlat(self.index, x.shape[1], LISTS, faiss.METRIC_INNER_PRODUCT)
            self.index.cp.niter = ROUNDS
            self.index.nprobe = PROBES
            self.index.train(steps)
        self.index.add(steps)

    def query(self, a: int, b: int, k: int, highest: float | None, merged: bool) -> list[tuple[int, int]]:
        """The k best (c, d) of what the index returns; ``merged``: both signs ranked together, as they should be."""
        q = unit((self.x[a] - self.x[b])[None])
        score, found = self.index.search(np.concatenate([q, -q]), min(HITS, len(self.first)))
        if merged:
            order = np.argsort(-score.ravel(), kind="stable")
            found, negative = found.ravel()[order], order >= score.shape[1]
        else:
            negative = score[1] > score[0]
            found = np.where(negative, found[1], found[0])
        kept = found >= 0
        found, negative = found[kept], negative[kept]
        c = np.where(negative, self.second[found], self.first[found])
        d = np.where(negative, self.first[found], self.second[found])
        allowed = ~np.isin(c, (a, b)) & ~np.isin(d, (a, b))
        if highest is not None:
            cosine = unit(self.x) @ unit(self.x[[a, b]]).T
            allowed &= (cosine[c, 0] <= highest) & (cosine[d, 1] <= highest)
        return list(zip(c[allowed][:k].tolist(), d[allowed][:k].tolist(), strict=True))


def closest_by_matrix(x: np.ndarray, k: int) -> list[tuple[int, int]]:
    """The closest pairs from the full matrix."""
    cosine = unit(x) @ unit(x).T
    i, j = np.triu_indices(len(x), 1)
    best = np.argsort(-cosine[i, j])[:k]
    return list(zip(i[best].tolist(), j[best].tolist(), strict=True))


def closest_by_faiss(x: np.ndarray, k: int, neighbours: int) -> list[tuple[int, int]]:
    """The closest pairs among the nearest neighbours of each vector, by exact search."""
    import faiss

    index = faiss.IndexFlatIP(x.shape[1])
    index.add(unit(x))
    score, found = index.search(unit(x), neighbours + 1)
    i, j = np.repeat(np.arange(len(x)), neighbours + 1), found.ravel()
    once = np.flatnonzero(i < j)
    once = once[np.argsort(-score.ravel()[once], kind="stable")][:k]
    return list(zip(i[once].tolist(), j[once].tolist(), strict=True))
