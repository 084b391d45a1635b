"""Type of ``conf/neighbours.yaml``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from esm2_amp.tasks.config_groups import EncoderConfig, FeaturesConfig


@dataclass
class IngestSettings:
    """What is taken from a source, and how; see ``conf/neighbours.yaml``."""

    form: str | None
    token: Any
    key: str | None
    ids: str | None
    duplicates: str
    id_column: str | None


@dataclass
class IndexSettings:
    """How an index is built and used."""

    nprobe: int | None
    candidates: int | None
    samples: int
    recall: float


@dataclass
class MapSettings:
    """The map of a page."""

    method: str
    points: int
    colour: str | None


@dataclass
class MilvusSettings:
    """A collection in Milvus."""

    uri: str | None
    collection: str
    index_type: str
    building: dict[str, int] | None
    searching: dict[str, int] | None
    candidates: int


@dataclass
class NeighboursConfig:
    """``conf/neighbours.yaml``."""

    encoder: EncoderConfig
    features: FeaturesConfig
    action: str
    vectors: str
    source: str | None
    metadata: str | None
    ids: Any
    ids_file: str | None
    fasta: str | None
    query: str | None
    a: str | None
    b: str | None
    c: str | None
    k: int
    metric: str
    op: str
    max_similarity: float | None
    filter: str | None
    exact: bool
    clusters: int
    output: str | None
    markdown: str | None
    page: str | None
    link: str | None
    shown: int
    factory: str | None
    memory_gb: float | None
    seed: int
    threads: int | None
    ingest: IngestSettings
    index: IndexSettings
    map: MapSettings
    milvus: MilvusSettings
