"""``esm2-amp extract``: every protein of a FASTA file into a feature store."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from omegaconf import DictConfig

from esm2_amp.features.store import FeatureStore
from esm2_amp.io.fasta import read_fasta
from esm2_amp.records import Protein
from esm2_amp.tasks.config import ExtractConfig
from esm2_amp.tasks.config_groups import TrainerConfig
from esm2_amp.tasks.console import log, say, start_logging
from esm2_amp.tasks.embedding import IS_CHILD, EncoderChoice, check_features, ensure_features, store_folder
from esm2_amp.tasks.options import typed
from esm2_amp.tasks.shared_extraction import ensure_features_together
from esm2_amp.tasks.team import check_team, is_shared


def run(cfg: DictConfig) -> str:
    """Extract; returns the store's folder."""
    config = typed(ExtractConfig, cfg)
    start_logging()
    if IS_CHILD:
        log.setLevel(logging.WARNING)  # the first process speaks for all
    check_features(config.features)
    check_team(config.trainer)
    proteins = read_fasta(config.fasta)
    choice = EncoderChoice(config.encoder, config.features)
    folder = config.store or store_folder(config.features, choice.identity)
    store = _ensure(list(proteins), choice, folder, config.trainer)
    if store is None:
        return folder
    say(f"{len(proteins)} proteins of {config.fasta}; the store {folder} holds {len(store)} sequences.")
    if proteins.repeated:
        say(f"{len(proteins.repeated)} records repeat an earlier one and were counted once.")
    return folder


def _ensure(
    proteins: Sequence[Protein], choice: EncoderChoice, folder: str, trainer: TrainerConfig
) -> FeatureStore | None:
    if is_shared(trainer):
        return ensure_features_together(proteins, choice, folder, trainer)
    return ensure_features(proteins, choice, folder)
