"""What an explanation stands on: the model, the pairs with their scores, features, and the pairs of the training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from esm2_amp.errors import InputError
from esm2_amp.explain.background import training_mean
from esm2_amp.features.store import FeatureStore
from esm2_amp.io.fasta import read_fasta
from esm2_amp.io.pairs import counted, iter_pairs
from esm2_amp.io.resolve import PairTable
from esm2_amp.models.predictor import ScoredPair, TrainedModel, needed_proteins
from esm2_amp.records import Protein
from esm2_amp.resources import resolve
from esm2_amp.tasks.config import ExplainConfig
from esm2_amp.tasks.embedding import model_features, pick_device
from esm2_amp.tasks.training_source import TrainingFiles, find_training_files, read_training_table

DRAWS = 3
"""Draws of the background: the first is used, all of them tell how much depends on the draw."""


class Inputs:
    """Reads and checks everything before any work; :meth:`score` does the work.

    Raises:
        InputError: unreadable or unfit input, or no pair with sequences.
    """

    def __init__(self, config: ExplainConfig) -> None:
        self.config = config
        self.pairs_file, self.fasta_file = resolve(config.pairs), resolve(config.fasta)
        self.model = TrainedModel(resolve(config.checkpoint))
        self.model.device = pick_device(config.features.device)
        self.proteins = read_fasta(self.fasta_file)
        self.rows = list(iter_pairs(self.pairs_file))
        if not any(self.proteins.get(row.a) and self.proteins.get(row.b) for row in self.rows):
            raise InputError(
                f"none of its {counted(len(self.rows), 'pair')} has both sequences in {self.fasta_file}",
                file=self.pairs_file,
                remedy="Give the FASTA file of these proteins.",
            )
        files = find_training_files(config.train_pairs, self.fasta_file, self.model.folder, self.model.card)
        self.files: TrainingFiles | None = files
        self.training: PairTable | None = None if files is None else read_training_table(files)
        self.draws = self._draw_background()

    def score(self, with_training: bool, advance: Callable[[int], None]) -> Scored:
        """Features of all that is needed, computed where they are missing, and the score of every row.

        Args:
            with_training: whether features of all training pairs are needed.
            advance: told the rows scored.
        """
        needed: list[Protein] = needed_proteins(self.rows, self.proteins)
        needed += [protein for draw in self.draws for protein in draw]
        if with_training and self.training is not None:
            needed += self.training.proteins
        once = list({protein.key: protein for protein in needed}.values())
        store = model_features(self.model, self.config.encoder, self.config.features, once)
        scored = []
        for row in self.model.score_rows(self.rows, self.proteins, store, self.config.batch_size):
            scored.append(row)
            advance(1)
        return Scored(self, store, scored)

    def _draw_background(self) -> list[list[Protein]]:
        """Draws of training proteins whose sequences are at hand; without any, none."""
        known = {p.key: p for p in (self.training.proteins if self.training is not None else ())}
        known |= {p.key: p for p in self.proteins}
        seen = sorted(self.model.training_sequences() & known.keys())
        size = min(self.config.background, len(seen))
        if not size:
            return []
        draws = (
            np.random.default_rng((self.config.seed, i)).choice(len(seen), size, replace=False) for i in range(DRAWS)
        )
        return [[known[seen[i]] for i in draw] for draw in draws]


@dataclass(frozen=True, eq=False)
class Scored:
    """Every row of the input with its score, and the store with all features."""

    inputs: Inputs
    store: FeatureStore
    rows: list[ScoredPair]

    def __post_init__(self) -> None:
        self.inputs.model.network.eval()

    @property
    def explained(self) -> NDArray[np.int64]:
        """Numbers of the rows that have a score."""
        return np.flatnonzero([row.probability is not None for row in self.rows])

    def places(self, numbers: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Store rows of the first and of the second proteins of some explained rows."""
        ends = [self.ends(i) for i in numbers.tolist()]
        return self.store.find([a.key for a, _ in ends]), self.store.find([b.key for _, b in ends])

    def ends(self, number: int) -> tuple[Protein, Protein]:
        """Both proteins of an explained row."""
        a, b = map(self.inputs.proteins.get, self.rows[number].pair[:2])
        if a is None or b is None:
            raise KeyError(f"row {number} has no score, so it is not explained")
        return a, b

    def called(self, numbers: NDArray[np.int64]) -> NDArray[np.bool_]:
        """(n,) whether the model calls an explained row interacting."""
        threshold = self.inputs.model.card.threshold
        return np.array([(self.rows[i].probability or 0.0) >= threshold for i in numbers.tolist()], dtype=bool)

    def tokens(self, places: NDArray[np.int64]) -> Tensor:
        """Raw tokens (n, T, D) of some store rows, as the network reads them."""
        layout = self.inputs.model.network.layout
        return torch.from_numpy(self.store.gather(places, layout.stored)).float()

    def baselines(self) -> list[Tensor]:
        """(T, D) mean tokens of each draw of training proteins, or the one mean that the model keeps."""
        network, config = self.inputs.model.network, self.inputs.config
        rows = [self.store.find([p.key for p in draw]) for draw in self.inputs.draws] or [np.empty(0, dtype=np.int64)]
        return [training_mean(network, self.store, row, config.seed, config.background) for row in rows]

    @property
    def background(self) -> str:
        """What the baseline is, in words."""
        draws = self.inputs.draws
        if not draws:
            return "the mean of all training proteins, kept in the model"
        return f"the mean of {len(draws[0]):,} training proteins, drawn with seed {self.inputs.config.seed}"
