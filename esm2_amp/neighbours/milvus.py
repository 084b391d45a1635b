"""Vectors in Milvus: a server or a cluster by its address, or Milvus Lite in a file; needs ``pip install pymilvus``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from esm2_amp.errors import InputError
from esm2_amp.neighbours.scores import Scores, check_metric, closeness
from esm2_amp.neighbours.vector_store import Hit, Hits

LITE_INDEXES = ("FLAT", "HNSW", "HNSW_SQ", "IVF_FLAT", "IVF_SQ8")
"""What Milvus Lite has. It takes the name of any other too, and then answers by brute force."""
SERVER_INDEXES = (*LITE_INDEXES, "IVF_PQ", "IVF_RABITQ", "DISKANN", "SCANN", "GPU_CAGRA", "GPU_IVF_FLAT", "GPU_IVF_PQ")
_ADDRESSES = ("http://", "https://", "tcp://", "unix:")
_METRICS = {"cosine": "COSINE", "ip": "IP", "l2": "L2"}
_ID_BYTES = 1024
_MOST_HITS = 16_384
"""Milvus's own limit of a search."""


class MilvusStore:
    """A collection of vectors in Milvus; see :class:`esm2_amp.neighbours.vector_store.VectorStore`.

    Milvus names candidates, with their vectors, and these are scored again here, as in a local search; of equally near
    ones the id that sorts lower comes first. A server keeps the vectors in float16, Milvus Lite in float32.

    Args:
        uri: address of a server (``http://host:19530``) or name of a file for Milvus Lite.
        collection: its name; made if it is not there.
        dim: d.
        metric: cosine, ip or l2; that of the collection.
        index_type: one of Milvus's indexes, such as FLAT (exact) or IVF_RABITQ.
        building: parameters of the index, such as ``{"nlist": 16384}``.
        searching: parameters of a search, such as ``{"nprobe": 64}``.
        candidates: scored again for a query; k + 1 if that is more.
        token: of a server that asks for one.

    Raises:
        InputError: pymilvus is not installed, the server does not answer or refuses, the index is not one that this
            Milvus has, or the collection is of another width, metric or index.
    """

    def __init__(
        self,
        uri: str,
        collection: str,
        dim: int,
        metric: str,
        index_type: str,
        building: Mapping[str, int],
        searching: Mapping[str, int],
        candidates: int,
        token: str = "",
    ) -> None:
        check_metric(metric)
        self._uri, self._collection, self._dim, self._metric = uri, collection, dim, metric
        self._searching, self._candidates = {"params": dict(searching)}, candidates
        self._lite = not uri.startswith(_ADDRESSES)
        known = LITE_INDEXES if self._lite else SERVER_INDEXES
        if index_type not in known:
            where = "Milvus Lite has" if self._lite else "known here are"
            raise InputError(f"index_type is {index_type!r}", remedy=f"Of Milvus's indexes {where} {', '.join(known)}.")
        with self._refusals():
            self._client = _client(uri, token)
            if self._client.has_collection(collection):
                self._check(index_type)
            else:
                self._create(index_type, dict(building))

    def add(self, ids: Sequence[str], vectors: Scores) -> None:
        """Put m vectors (m, d) and their ids into it; an id that it has gets the new vector."""
        if vectors.shape != (len(ids), self._dim):
            raise InputError(f"{len(ids)} ids and vectors of shape {vectors.shape} for {self._dim} dimensions")
        long = next((name for name in ids if len(name.encode()) > _ID_BYTES), None)
        if long is not None:
            raise InputError(f"the id {long[:50]!r}... is longer than {_ID_BYTES} bytes")
        values = vectors.astype(np.float32 if self._lite else np.float16)
        with self._refusals():
            rows = [{"id": name, "vector": value} for name, value in zip(ids, values, strict=True)]
            self._client.upsert(self._collection, rows)

    def count(self) -> int:
        """How many vectors it has."""
        with self._refusals():
            found = self._client.query(self._collection, filter="", output_fields=["count(*)"])
        return int(found[0]["count(*)"])

    def search(self, queries: Scores, k: int, among: Sequence[str] | None) -> Hits:
        """The k nearest of each query, (m, d) float32."""
        return self._search(queries, k, among, [None] * len(queries))

    def search_ids(self, ids: Sequence[str], k: int, among: Sequence[str] | None) -> Hits:
        """The k nearest of each stored vector, which is no hit of itself."""
        with self._refusals():
            found = self._client.query(self._collection, filter=_is_one_of(ids), output_fields=["id", "vector"])
        by_id = {row["id"]: _values(row["vector"]) for row in found}
        unknown = next((name for name in ids if name not in by_id), None)
        if unknown is not None:
            raise InputError(f"no vector has the id {unknown!r}", file=self._uri)
        return self._search(np.stack([by_id[name] for name in ids]), k, among, ids)

    def close(self) -> None:
        """Give the connection back."""
        self._client.close()

    def _search(self, queries: Scores, k: int, among: Sequence[str] | None, themselves: Sequence[str | None]) -> Hits:
        if not 1 <= k < _MOST_HITS:
            raise InputError(f"k is {k}", remedy=f"Ask Milvus for 1 to {_MOST_HITS - 1} hits.")
        if among is not None and not len(among):
            return [[] for _ in queries]
        limit = min(_MOST_HITS, max(self._candidates, k + 1))
        hits: Hits = []
        for query, itself in zip(np.asarray(queries, np.float32), themselves, strict=True):
            with self._refusals():
                (found,) = self._client.search(
                    self._collection,
                    data=[query if self._lite else query.astype(np.float16)],
                    limit=limit,
                    filter="" if among is None else _is_one_of(among),
                    output_fields=["vector"],
                    search_params=self._searching,
                )
            hits.append(self._scored(query, [row for row in found if row["id"] != itself])[:k])
        return hits

    def _scored(self, query: Scores, found: Sequence[Mapping[str, Any]]) -> list[Hit]:
        """Candidates in exact order."""
        if not found:
            return []
        vectors = np.stack([_values(row["entity"]["vector"]) for row in found])
        scores = closeness(vectors, query, self._metric).astype(np.float32)
        sign = -1 if self._metric == "l2" else 1
        hits = [(-score, str(row["id"])) for score, row in zip(scores, found, strict=True) if score > -np.inf]
        return [Hit(name, float(-sign * score) + 0.0) for score, name in sorted(hits)]

    def _create(self, index_type: str, building: dict[str, int]) -> None:
        from pymilvus import DataType

        kind = DataType.FLOAT_VECTOR if self._lite else DataType.FLOAT16_VECTOR
        schema = self._client.create_schema(auto_id=False)
        schema.add_field("id", DataType.VARCHAR, is_primary=True, max_length=_ID_BYTES)
        schema.add_field("vector", kind, dim=self._dim)
        index = self._client.prepare_index_params()
        index.add_index("vector", index_type=index_type, metric_type=_METRICS[self._metric], params=building)
        self._client.create_collection(self._collection, schema=schema, index_params=index, consistency_level="Strong")

    def _check(self, index_type: str) -> None:
        """Refuse a collection that was made otherwise."""
        fields = self._client.describe_collection(self._collection)["fields"]
        dims = [int(field["params"]["dim"]) for field in fields if field["name"] == "vector"]
        index = self._client.describe_index(self._collection, "vector") or {}
        found = (dims, index.get("metric_type"), index.get("index_type"))
        if found != ([self._dim], _METRICS[self._metric], index_type):
            raise InputError(
                f"the collection {self._collection!r} has vectors of {dims or 'no'} dimensions, metric {found[1]} and "
                f"index {found[2]}, not {self._dim}, {_METRICS[self._metric]} and {index_type}",
                file=self._uri,
                remedy="Choose another collection.",
            )

    @contextmanager
    def _refusals(self) -> Iterator[None]:
        """Make errors of Milvus readable."""
        try:
            from pymilvus.exceptions import MilvusException
        except ImportError as error:
            raise InputError("pymilvus is not installed", remedy='Run: pip install "esm2-amp[milvus]".') from error
        try:
            yield
        except MilvusException as error:
            raise InputError(f"Milvus refuses: {' '.join(error.message.split())}", file=self._uri) from error


def _client(uri: str, token: str) -> Any:
    from pymilvus import MilvusClient

    return MilvusClient(uri, token=token)


def _is_one_of(ids: Sequence[str]) -> str:
    """Milvus's expression for these ids; its strings are quoted as JSON's."""
    return f"id in {json.dumps(list(ids), ensure_ascii=False)}"


def _values(vector: Any) -> Scores:
    """A vector as pymilvus returns it: numbers, or the bytes of float16."""
    if isinstance(vector, bytes):
        return np.frombuffer(vector, np.float16).astype(np.float32)
    return np.asarray(vector, np.float32)
