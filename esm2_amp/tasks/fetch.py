"""``esm2-amp fetch``: a public dataset from its home."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

from esm2_amp.sources.download import fetch
from esm2_amp.tasks.config import FetchConfig, typed
from esm2_amp.tasks.console import start_logging


def run(cfg: DictConfig) -> Path:
    """Fetch and convert; returns the dataset's folder."""
    config = typed(FetchConfig, cfg)
    start_logging()
    folder = Path(config.folder or f"datasets/{config.dataset}")
    fetch(config.dataset, folder, config.base_url, None)
    return folder
