"""``esm2-amp fetch``: a public dataset from its home."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

from esm2_amp.errors import InputError
from esm2_amp.sources.catalog import find_dataset
from esm2_amp.sources.fetch import fetch
from esm2_amp.tasks.config import FetchConfig
from esm2_amp.tasks.console import log, progress, say, start_logging
from esm2_amp.tasks.options import typed


def run(cfg: DictConfig) -> Path:
    """Fetch, check and convert; returns the dataset's folder."""
    config = typed(FetchConfig, cfg)
    start_logging()
    dataset = find_dataset(config.dataset)
    folder = Path(config.folder or f"datasets/{config.dataset}")
    if next(path for path in (folder, *folder.absolute().parents) if path.exists()).is_file():
        raise InputError(f"folder {str(folder)!r} cannot be made: a file is in the way", remedy="Name another folder.")
    log.info("%s (licence: %s)", dataset.title, dataset.licence)
    with progress("fetching", "bytes") as (begin, advance):
        seen: dict[str, int] = {}

        def tell(file: str, done: int, total: int) -> None:
            if file not in seen:
                log.info("%s (%s bytes)", file, f"{total:,}")
                begin(total)
            advance(done - seen.get(file, 0))
            seen[file] = done

        result = fetch(config.dataset, folder, config.base_url, tell)
    rows = ", ".join(f"{count:,} {name}" for name, count in result.rows.items())
    say(f"{result.proteins:,} proteins; pairs: {rows}. Written to {result.folder}")
    if result.missing:
        say(f"{len(result.missing)} ids of the pair lists have no sequence (listed in card.json): data.unknown=drop")
    return folder
