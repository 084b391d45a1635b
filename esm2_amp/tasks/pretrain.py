"""``esm2-amp pretrain``: a small encoder from FASTA files, resumable."""

from __future__ import annotations

import hashlib
import math
import os
import shutil
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from omegaconf import DictConfig
from pytorch_lightning.callbacks import ModelCheckpoint

from esm2_amp.errors import InputError
from esm2_amp.features.encoder import identify
from esm2_amp.features.pretrain import (
    EncoderShape,
    MaskedLanguageModel,
    PretrainData,
    Schedule,
    bigram_perplexity,
    hold_out,
    save_encoder,
    unigram_perplexity,
)
from esm2_amp.io.atomic import atomic_path, write_json
from esm2_amp.io.fasta import read_fasta
from esm2_amp.models.training import History
from esm2_amp.tasks.config import PretrainConfig
from esm2_amp.tasks.console import log, say, start_logging, stop_logging_to_files
from esm2_amp.tasks.embedding import set_threads
from esm2_amp.tasks.options import at_least, typed
from esm2_amp.tasks.run_folder import HistoryFile, read_json, versions

_FEW_PRIMITIVES = ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "32")
"""oneDNN keeps compiled code for its last 1,024 shapes; batches of many lengths made that several gigabytes."""


def run(cfg: DictConfig) -> Path:
    """Train to the last step, from the last checkpoint if there is one; returns the encoder's folder."""
    config = typed(PretrainConfig, cfg)
    start_logging()
    os.environ.setdefault(*_FEW_PRIMITIVES)
    check(config)
    sequences = read_sequences(config)
    train, held = hold_out(sequences, config.held_out, config.seed)
    if not train:
        raise InputError(f"held_out={config.held_out} leaves no sequence to learn from", remedy="Hold out fewer.")
    folder = open_folder(config, sequences)
    encoder = folder / "encoder"
    try:
        start_logging(folder / "pretrain.log")
        bar, pairs = unigram_perplexity(train, held), bigram_perplexity(train, held)
        residues = sum(map(len, train))
        log.info("%d sequences (%s residues) to learn from, %d held out.", len(train), f"{residues:,}", len(held))
        log.info("Held-out perplexity to beat: %.2f (residue frequencies), %.2f (left neighbour too).", bar, pairs)
        history, model = fit(config, train, held, folder)
        facts = {
            "sequences": len(train),
            "residues": residues,
            "residues_seen": PretrainData(train, held, model.schedule).stream.residues(config.steps),
            "held_out": len(held),
            "unigram_perplexity": bar,
            "bigram_perplexity": pairs,
        }
        write_encoder(encoder, model, config, facts, history.rows()[-1]["val/perplexity"])
        say(f"Held-out perplexity {history.rows()[-1]['val/perplexity']:.2f}. Encoder: {encoder}")
        return encoder
    finally:
        stop_logging_to_files()


def check(config: PretrainConfig) -> None:
    """Refuse impossible settings before any work."""
    at_least(
        layers=(config.layers, 1), width=(config.width, 2), heads=(config.heads, 1),
        feedforward=(config.feedforward, 1), steps=(config.steps, 1), warmup=(config.warmup, 1),
        window=(config.window, 8), tokens=(config.tokens, config.window + 2),
        steps_per_epoch=(config.steps_per_epoch, 1), threads=(config.threads, 1), seed=(config.seed, 0),
    )  # fmt: skip
    if config.width % config.heads or (config.width // config.heads) % 2:
        raise InputError(
            f"width {config.width} over {config.heads} heads",
            remedy="The width must be a multiple of twice the number of heads.",
        )
    if not 0 < config.held_out < 1 or config.learning_rate <= 0:
        raise InputError(
            f"held_out={config.held_out}, learning_rate={config.learning_rate}",
            remedy="held_out must lie between 0 and 1, learning_rate above 0.",
        )
    if config.precision not in ("32-true", "bf16-mixed"):
        raise InputError(f"precision is {config.precision!r}", remedy="Use 32-true or bf16-mixed.")


def read_sequences(config: PretrainConfig) -> list[str]:
    """Every sequence of every file."""
    files = config.fasta if isinstance(config.fasta, list) else [config.fasta]
    sequences = [protein.sequence for file in files for protein in read_fasta(str(file))]
    if len(set(sequences)) < 2:
        raise InputError(
            "fewer than two distinct sequences",
            file=", ".join(map(str, files)),
            remedy="Give more proteins: one must be held out.",
        )
    return sequences


def open_folder(config: PretrainConfig, sequences: list[str]) -> Path:
    """The run's folder; refuses to go on with other settings or sequences."""
    folder = Path(config.output)
    settings = {k: v for k, v in asdict(config).items() if k not in ("output", "fasta", "threads")}
    settings["sequences_sha256"] = hashlib.sha256("\n".join(sorted(set(sequences))).encode()).hexdigest()
    file = folder / "settings.json"
    if (folder / "encoder").exists():
        raise InputError("the encoder is trained already", file=folder, remedy="Name another output folder.")
    if file.exists() and read_json(file) != settings:
        old = read_json(file)
        wrong = ", ".join(sorted(key for key in settings if settings[key] != old.get(key)))
        raise InputError(f"a run with other {wrong} is here", file=folder, remedy="Name another output folder.")
    write_json(file, settings)
    return folder


def fit(
    config: PretrainConfig, train: list[str], held: list[str], folder: Path
) -> tuple[HistoryFile, MaskedLanguageModel]:
    """Train, with a checkpoint and a held-out measurement every ``steps_per_epoch`` steps."""
    set_threads(config.threads)
    pl.seed_everything(config.seed, verbose=False)
    schedule = Schedule(
        config.steps, config.warmup, config.tokens, config.window, config.learning_rate, config.steps_per_epoch,
        config.seed,
    )  # fmt: skip
    model = MaskedLanguageModel(EncoderShape(config.layers, config.width, config.heads, config.feedforward), schedule)
    history = HistoryFile(folder / "history.csv")

    def report(epoch: int, metrics: dict[str, float]) -> None:
        history.add(epoch, {**metrics, "step": min((epoch + 1) * config.steps_per_epoch, config.steps)})
        log.info("step %6d  held-out perplexity %.3f", history.rows()[-1]["step"], metrics["val/perplexity"])

    last = folder / "last.ckpt"
    keep = ModelCheckpoint(
        folder, "last", save_top_k=1, monitor=None, save_on_train_epoch_end=True, enable_version_counter=False
    )
    trainer = pl.Trainer(
        # the loader ends the last epoch at the last step; with max_steps Lightning counts a resumed epoch twice
        max_epochs=math.ceil(config.steps / config.steps_per_epoch),
        precision=config.precision,
        logger=False,
        callbacks=[History(report), keep],
        num_sanity_val_steps=0,
        reload_dataloaders_every_n_epochs=1,
        enable_progress_bar=sys.stderr.isatty(),
        enable_model_summary=False,
    )
    data = PretrainData(train, held, schedule)
    trainer.fit(model, datamodule=data, ckpt_path=str(last) if last.exists() else None, weights_only=True)
    return history, model


def write_encoder(
    folder: Path,
    model: MaskedLanguageModel,
    config: PretrainConfig,
    facts: dict[str, Any],
    perplexity: float,
) -> None:
    """Weights, configuration, vocabulary, card and log of the encoder, all at once."""
    with atomic_path(folder) as path:
        path.mkdir()
        save_encoder(model.model, path)
        shutil.copy(folder.parent / "history.csv", path / "history.csv")
        identity = identify(folder.parent.name, path)
        settings = {key: value for key, value in asdict(config).items() if key not in ("fasta", "output", "threads")}
        files = config.fasta if isinstance(config.fasta, list) else [config.fasta]
        card = {
            "what": "An encoder of ESM-2's architecture, pretrained by masked language modelling on few sequences.",
            "limits": "Above amino-acid composition, far below ESM-2. For trying the project out, not for results.",
            "sha256": identity.sha256,
            "held_out_perplexity": perplexity,
            **facts,
            "data": [Path(str(file)).name for file in files],
            "settings": settings,
            "versions": versions(),
        }
        write_json(path / "card.json", card)
