"""``esm2-amp extract``: every protein of a FASTA file into a feature store."""

from __future__ import annotations

from omegaconf import DictConfig

from esm2_amp.io.fasta import read_fasta
from esm2_amp.tasks.config import ExtractConfig, typed
from esm2_amp.tasks.console import say, start_logging
from esm2_amp.tasks.embedding import EncoderChoice, check_features, ensure_features, store_folder


def run(cfg: DictConfig) -> str:
    """Extract; returns the store's folder."""
    config = typed(ExtractConfig, cfg)
    start_logging()
    check_features(config.features)
    proteins = read_fasta(config.fasta)
    choice = EncoderChoice(config.encoder, config.features)
    folder = config.store or store_folder(config.features, choice.identity)
    store = ensure_features(list(proteins), choice, folder)
    say(f"{len(proteins)} proteins of {config.fasta}; the store {folder} holds {len(store)} sequences.")
    if proteins.repeated:
        say(f"{len(proteins.repeated)} records repeat an earlier one and were counted once.")
    return folder
