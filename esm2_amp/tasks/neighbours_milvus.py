"""Milvus, the database of many machines, behind the same commands: ``milvus.uri=...``."""

from __future__ import annotations

import os

from esm2_amp.errors import InputError
from esm2_amp.neighbours.milvus import MilvusStore
from esm2_amp.neighbours.vector_store import VectorStore, copy_vectors
from esm2_amp.neighbours.vectors import Vectors
from esm2_amp.tasks.config_neighbours import MilvusSettings
from esm2_amp.tasks.console import progress, say

TOKEN = "ESM2_AMP_MILVUS_TOKEN"  # noqa: S105 - the name of a variable
"""Environment variable with the token of a server that asks for one."""


def copy_to_milvus(vectors: Vectors, settings: MilvusSettings, metric: str) -> None:
    """Put all vectors into the collection, which is made if it is not there."""
    store = _store(vectors, settings, metric)
    with progress("milvus", "vectors") as (begin, advance):
        copy_vectors(vectors, store, begin, advance)
    say(f"{store.count():,} vectors are in {settings.uri}, collection {settings.collection}.")


def filled_store(vectors: Vectors, settings: MilvusSettings, metric: str) -> VectorStore:
    """The collection, to be asked.

    Raises:
        InputError: it does not hold as many vectors as the folder.
    """
    store = _store(vectors, settings, metric)
    if (count := store.count()) != vectors.n:
        raise InputError(
            f"the collection {settings.collection!r} holds {count:,} vectors, {vectors.folder} {vectors.n:,}",
            file=settings.uri,
            remedy=f"Copy them: esm2-amp neighbours index vectors={vectors.folder} milvus.uri={settings.uri}",
        )
    return store


def _store(vectors: Vectors, settings: MilvusSettings, metric: str) -> VectorStore:
    return MilvusStore(
        str(settings.uri),
        settings.collection,
        vectors.dim,
        metric,
        settings.index_type,
        settings.building or {},
        settings.searching or {},
        settings.candidates,
        os.environ.get(TOKEN, ""),
    )
