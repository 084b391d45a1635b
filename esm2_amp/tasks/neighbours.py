"""``esm2-amp neighbours``: dispatch, info and map; the other actions in modules of their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from omegaconf import DictConfig

from esm2_amp import __version__
from esm2_amp.errors import InputError
from esm2_amp.features.identity import EncoderIdentity
from esm2_amp.neighbours.answer_page import map_page
from esm2_amp.tasks.config_neighbours import NeighboursConfig
from esm2_amp.tasks.console import say, show_table, start_logging
from esm2_amp.tasks.neighbours_build import build, ingest_vectors, recall
from esm2_amp.tasks.neighbours_output import Outputs, map_options, provenance, write_page
from esm2_amp.tasks.neighbours_prompt import prompt
from esm2_amp.tasks.neighbours_queries import analogy, check_query, closest_pairs, open_near, similar
from esm2_amp.tasks.options import typed


def run(cfg: DictConfig) -> None:
    """Dispatch the action."""
    config = typed(NeighboursConfig, cfg)
    start_logging()
    actions: dict[str, Callable[[NeighboursConfig], None]] = {
        "ingest": ingest_vectors,
        "info": _info,
        "index": build,
        "recall": recall,
        "similar": similar,
        "analogy": analogy,
        "closest-pairs": closest_pairs,
        "map": _map,
        "prompt": prompt,
    }
    if config.action not in actions:
        raise InputError(f"neighbours cannot {config.action!r}", remedy=f"Use neighbours {', '.join(actions)}.")
    actions[config.action](config)


def _info(config: NeighboursConfig) -> None:
    near = open_near(config)
    vectors, manifest = near.vectors, near.vectors.manifest
    source, metadata = manifest.source, near.names.metadata
    rows = [
        ["vectors", f"{vectors.n:,}"],
        ["dimensions", f"{vectors.dim:,}"],
        ["bytes", f"{vectors.n * vectors.dim * 2:,}"],
        ["zero vectors", f"{manifest.zeros:,}"],
        ["from", f"{source['form']} {source['name']}"],
        *_encoder(source),
        ["repeated ids", f"{manifest.repeated:,} left out, {manifest.differing:,} of them other vectors"],
        [
            "metadata",
            "none" if metadata is None else f"{', '.join(metadata.columns)}; of {len(metadata.rows):,} vectors",
        ],
        ["searched", near.said],
        ["digest", vectors.digest],
        ["first ids", ", ".join(vectors.ids(range(min(3, vectors.n))))],
    ]
    show_table(str(vectors.folder), ["folder of vectors", ""], rows, names=2)


def _encoder(source: Mapping[str, Any]) -> list[list[str]]:
    """Who made features of a store."""
    if "encoder" not in source:
        return []
    return [["encoder", str(EncoderIdentity(**source["encoder"]))], ["tokens", ", ".join(source["tokens"])]]


def _map(config: NeighboursConfig) -> None:
    check_query(config)
    if config.page is None:
        raise InputError("page is not given", remedy="Add page=FILE.html.")
    outputs, near = Outputs.of(config), open_near(config)
    page = map_page(near, map_options(config), provenance(near, config), __version__)
    if outputs.page is not None:
        write_page(outputs.page, page)
    say(f"Map written to {config.page}")
