"""The pairs a model was trained on, found again by their hash."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from omegaconf import OmegaConf
from yaml import YAMLError

from esm2_amp.errors import InputError
from esm2_amp.io.fasta import read_fasta
from esm2_amp.io.pairs import iter_pairs
from esm2_amp.io.resolve import PairTable, resolve_pairs
from esm2_amp.models.checkpoint import ModelCard
from esm2_amp.resources import SHIPPED, resolve
from esm2_amp.tasks.training_data import file_hash

AUTO, NONE = "auto", "none"
_DEMO = f"{SHIPPED}datasets/demo"


class TrainingFiles(NamedTuple):
    """A labelled pair list and the sequences of its proteins."""

    pairs: str
    fasta: str


def find_training_files(given: str, fasta: str, checkpoint: Path, card: ModelCard) -> TrainingFiles | None:
    """Where the training pairs of a model are.

    Args:
        given: a file, whose sequences are then in ``fasta``; ``none``; or ``auto``: the files named in the
            configuration of the run that the model lies in, or the demo's, if their contents are still those that the
            model's card names.
        fasta: sequences of the pairs at hand.
        checkpoint: the model folder.
        card: the model's.
    """
    if given == NONE:
        return None
    if given != AUTO:
        return TrainingFiles(resolve(given), fasta)
    return next((files for files in _candidates(checkpoint) if _as_trained(files, card)), None)


def read_training_table(files: TrainingFiles) -> PairTable:
    """The training pairs that have sequences, each once; what is left out is counted in its ``issues``.

    Raises:
        InputError: unreadable, a row without a label, or no pair left.
    """
    proteins = read_fasta(files.fasta)
    rows = iter_pairs(files.pairs)
    return resolve_pairs(rows, proteins, unknown="drop", conflicts="drop", need_labels=True, file=files.pairs)


def _candidates(checkpoint: Path) -> Iterator[TrainingFiles]:
    config = checkpoint.resolve().parent / "config.yaml"
    if config.is_file():
        try:
            data: Any = OmegaConf.to_container(OmegaConf.load(config)).get("data", {})  # type: ignore[union-attr]
        except (YAMLError, OSError, ValueError, AttributeError) as error:
            raise InputError(
                "the configuration of the model's run cannot be read",
                file=config,
                remedy="Give train_pairs=FILE or train_pairs=none.",
            ) from error
        if isinstance(data, dict) and isinstance(data.get("train"), str) and isinstance(data.get("fasta"), str):
            yield TrainingFiles(resolve(data["train"]), resolve(data["fasta"]))
    yield TrainingFiles(resolve(f"{_DEMO}/train.tsv"), resolve(f"{_DEMO}/proteins.fasta"))


def _as_trained(files: TrainingFiles, card: ModelCard) -> bool:
    known = card.training.get("files", {})
    return all(
        Path(file).is_file() and file_hash(file) in {entry.get("sha256") for entry in known.get(name, ())}
        for name, file in (("train", files.pairs), ("fasta", files.fasta))
    )
