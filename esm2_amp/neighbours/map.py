"""Vectors on a plane, to be looked at: principal components, or UMAP where it is installed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from esm2_amp.errors import InputError

METHODS = ("pca", "umap")
_UMAP_NEIGHBOURS = 15
"""UMAP's own default: how many neighbours of each point the map tries to keep (McInnes et al. 2018)."""


@dataclass(frozen=True, eq=False)
class Plane:
    """Where m vectors lie on a map.

    Attributes:
        places: (m, 2) float64, each axis from 0 to 1, the longer one; both of one scale.
        axes: what the axes are.
        note: what to think of distances on the map.
    """

    places: NDArray[np.float64]
    axes: tuple[str, str]
    note: str


def check_method(method: str) -> None:
    """Refuse an unknown method, and UMAP where it is not installed."""
    if method not in METHODS:
        raise InputError(f"map is {method!r}", remedy=f"Use {' or '.join(METHODS)}.")
    if method == "umap":
        _umap()


def sample_rows(n: int, limit: int, chosen: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """Rows to draw: the chosen ones, each once and first, and at most ``limit`` others drawn at random, sorted."""
    chosen = np.unique(chosen)
    if n <= limit + len(chosen):
        others = np.setdiff1d(np.arange(n), chosen)
    else:
        # as many too many as there are chosen ones, so that enough are left without them; never n numbers in memory
        drawn = np.random.default_rng(seed).choice(n, limit + len(chosen), replace=False, shuffle=False)
        others = np.random.default_rng(seed).permutation(np.setdiff1d(drawn, chosen))[:limit]
    return np.concatenate([chosen, np.sort(others)])


def lay_out(points: NDArray[np.float32], method: str, seed: int) -> Plane:
    """Lay vectors out on a plane, by their directions.

    Args:
        points: (m, d), m at least 1; each is divided by its length first, as a cosine does.
        method: ``pca`` (scikit-learn; distances on the map are shadows of real ones) or ``umap``.
        seed: of what is drawn at random.

    Raises:
        InputError: an unknown method, or UMAP where it is not installed.
    """
    check_method(method)
    norms = np.linalg.norm(points, axis=1, keepdims=True)
    unit = points / np.where(norms > 0, norms, np.float32(1))
    if method == "umap" and len(unit) > _UMAP_NEIGHBOURS:
        places = np.asarray(
            _umap()(n_neighbors=_UMAP_NEIGHBOURS, metric="cosine", random_state=seed).fit_transform(unit)
        )
        note = "UMAP keeps neighbours together; distances between groups, and their sizes, mean little."
        return Plane(_scaled(places), ("UMAP 1", "UMAP 2"), note)
    places, shares = _principal(unit, seed)
    first, second = (f"principal component {i + 1} ({share:.0%} of the variance)" for i, share in enumerate(shares))
    note = f"Two principal components show {sum(shares):.0%} of the variance: what lies together here may lie apart."
    return Plane(_scaled(places), (first, second), note)


def _principal(unit: NDArray[np.floating[Any]], seed: int) -> tuple[NDArray[np.float64], tuple[float, float]]:
    from sklearn.decomposition import PCA

    places, shares = np.zeros((len(unit), 2)), np.zeros(2)
    parts = min(2, len(unit) - 1, unit.shape[1])
    if parts and np.ptp(unit, axis=0).any():
        fitted = PCA(parts, svd_solver="randomized", random_state=seed).fit(unit)
        places[:, :parts] = fitted.transform(unit)
        shares[:parts] = fitted.explained_variance_ratio_
    return places, (float(shares[0]), float(shares[1]))


def _scaled(places: NDArray[np.float64]) -> NDArray[np.float64]:
    low, high = places.min(axis=0), places.max(axis=0)
    span = float((high - low).max())
    return (places - low) / (span if span > 0 else 1)


def _umap() -> Any:
    try:
        from umap import UMAP
    except ImportError as error:
        raise InputError("map=umap, but umap-learn is not installed", remedy="pip install 'esm2-amp[umap]'.") from error
    return UMAP
