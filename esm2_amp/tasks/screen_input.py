"""What a screen stands on: the model, the proteins of both sides, and their features."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from esm2_amp.errors import InputError
from esm2_amp.features.store import FeatureStore
from esm2_amp.io.fasta import ProteinSet, read_fasta
from esm2_amp.models.novelty import TrainingDistances, distances
from esm2_amp.models.predictor import TrainedModel
from esm2_amp.records import Protein
from esm2_amp.resources import resolve
from esm2_amp.screening.grid import Grid, Sides, order_sides
from esm2_amp.tasks.config import ScreenConfig
from esm2_amp.tasks.console import log
from esm2_amp.tasks.embedding import model_features
from esm2_amp.tasks.given_ids import split_ids
from esm2_amp.tasks.training_data import file_hash


class ScreenInputs:
    """Reads and checks everything before any work; :meth:`open_features` does the work.

    Attributes:
        sides: which protein is on which side, and their numbers.
        proteins: (n,) in the order of these numbers.
        pairs: how many there are.

    Raises:
        InputError: unreadable or unfit input, an id with two sequences, an unknown query, or no pair at all.
    """

    def __init__(self, config: ScreenConfig) -> None:
        self.config = config
        self.files = {"fasta": resolve(config.fasta)}
        self.model = TrainedModel(resolve(config.checkpoint))
        self.seen = self.model.training_sequences()
        given = read_fasta(self.files["fasta"])
        a = b = list(given)
        if config.fasta_b is not None:
            self.files["fasta_b"] = resolve(config.fasta_b)
            others = read_fasta(self.files["fasta_b"])
            _say_repeats(others, self.files["fasta_b"])
            b = list(others)
            _check_shared(given, b, self.files)
        elif config.query is not None:
            a = _queried(given, split_ids(config.query), self.files["fasta"])
        self.sides: Sides = order_sides([protein.id for protein in a], [protein.id for protein in b])
        by_id = {protein.id: protein for protein in (*a, *b)}
        self.proteins = [by_id[name] for name in self.sides.ids]
        self.pairs = self.grid(max(1, len(self.proteins))).pairs
        if not self.pairs:
            raise InputError(
                f"there is no pair to score among {len(self.proteins)} protein",
                file=self.files["fasta"],
                remedy="Give more sequences, or screen.self_pairs=true.",
            )
        _say_repeats(given, self.files["fasta"])

    def settings(self) -> dict[str, Any]:
        """What the results depend on: work of other settings is not gone on with."""
        config = self.config
        files = {**self.files, "model": str(self.model.folder / "model.safetensors")}
        options = {name: value for name, value in asdict(config.screen).items() if name != "commit_seconds"}
        more = {"retrieve": asdict(config.retrieve)} if config.screen.strategy == "retrieve" else {}
        query = None if config.query is None else split_ids(config.query)
        hashes = {name: file_hash(file) for name, file in files.items()}
        card = file_hash(str(self.model.folder / "card.json"))
        return {"query": query, "seed": config.seed, "screen": options, **more, **hashes, "card": card}

    def open_features(self) -> None:
        """Compute the features that are missing, and open the store."""
        config = self.config
        once = list({protein.key: protein for protein in self.proteins}.values())
        self.store: FeatureStore = model_features(self.model, config.encoder, config.features, once)
        self.rows: NDArray[np.int64] = self.store.find([protein.key for protein in self.proteins])

    def tokens(self, numbers: NDArray[np.int64]) -> torch.Tensor:
        """Tokens (m, T, D) of some proteins, as the network reads them."""
        layout = self.model.network.layout
        return torch.from_numpy(self.store.gather(self.rows[numbers], layout.stored)).float()

    def grid(self, edge: int) -> Grid:
        """All pairs, in tiles of so many proteins a side."""
        ids, first, second = self.sides
        return Grid(len(ids), first, second, edge, self.config.screen.self_pairs)

    def side(self, number: int) -> str:
        """``a``, ``b`` or ``both``."""
        if number < self.sides.second:
            return "a"
        return "both" if number < self.sides.first else "b"

    def distances(self) -> tuple[NDArray[np.float64], TrainingDistances | None]:
        """(n,) how far each protein is from the training ones, and how far those are, where the card knows."""
        known = TrainingDistances.from_metrics(self.model.card.metrics)
        return distances(self.model.network, self.store, self.rows), known


def _queried(given: ProteinSet, names: list[str], file: str) -> list[Protein]:
    """The proteins of some ids or accessions, each once."""
    found: dict[str, Protein] = {}
    for name in names:
        protein = given.get(name)
        if protein is None:
            raise InputError(f"query {name!r} is not in it", file=file, remedy="Give ids of this FASTA file.")
        found[protein.id] = protein
    return list(found.values())


def _check_shared(given: ProteinSet, others: list[Protein], files: dict[str, str]) -> None:
    """The same id must mean the same sequence in both files."""
    by_id = {protein.id: protein for protein in given}
    for protein in others:
        held = by_id.get(protein.id)
        if held is not None and held.sequence != protein.sequence:
            raise InputError(
                f"{protein.id!r} has another sequence than in {files['fasta']}",
                file=files["fasta_b"],
                remedy="Give each protein an id of its own.",
            )


def _say_repeats(given: ProteinSet, file: str) -> None:
    if given.repeated:
        log.warning("%d records of %s repeat an earlier one and are left out.", len(given.repeated), file)
