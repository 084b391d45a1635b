"""Searches among embeddings: the nearest proteins, the closest pairs, analogies.

As the commands of ``esm2-amp neighbours`` do::

    from esm2_amp.neighbours import Neighbours

    near = Neighbours("vectors")
    near.similar(["P68871", "P04637"], 10, metric="cosine").names
    near.analogy(["P68871", "P69905"], 10, op="difference").names
    near.closest(100, metric="cosine").names
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from esm2_amp.neighbours.queries import Neighbours as Neighbours
    from esm2_amp.neighbours.vectors import open_vectors as open_vectors

_PLACES = {"Neighbours": "queries", "open_vectors": "vectors"}


def __getattr__(name: str) -> Any:
    """Import the Python call when it is asked for: the searches by themselves need neither tables nor metadata."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
