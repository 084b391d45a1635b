"""A trained model at work: pairs and sequences in, probabilities out, every row kept."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from esm2_amp.data.dataset import PairDataset
from esm2_amp.errors import InputError
from esm2_amp.features.embed import default_budget
from esm2_amp.features.encoder import Esm2Encoder, identify, locate
from esm2_amp.features.extract import ExtractionSettings, extract
from esm2_amp.features.identity import EncoderIdentity
from esm2_amp.features.store import FeatureStore
from esm2_amp.io.fasta import ProteinSet, clean_sequence, read_fasta
from esm2_amp.io.pairs import iter_pairs
from esm2_amp.models.checkpoint import ModelCard, load_card, load_network, load_training_sequences
from esm2_amp.models.network import PairNetwork
from esm2_amp.records import Pair, Protein
from esm2_amp.resources import resolve


class ScoredPair(NamedTuple):
    """A row of the input with its probability (None where it cannot be scored) and why."""

    pair: Pair
    probability: float | None
    status: str


def score(
    network: PairNetwork, dataset: PairDataset, batch_size: int, device: torch.device, advance: Callable[[int], None]
) -> NDArray[np.float64]:
    """Logits (n,) of all pairs of a dataset, in its order; ``advance`` is told the pairs done."""
    network.to(device).eval()
    logits = np.empty(len(dataset))  # at once: small arrays kept between large ones that go fragment the heap
    with torch.inference_mode():
        for start in range(0, len(dataset), batch_size):
            rows = range(start, min(start + batch_size, len(dataset)))
            batch = dataset.__getitems__(rows)
            logits[start : rows.stop] = network(batch.a.to(device), batch.b.to(device)).double().cpu().numpy()
            advance(len(rows))
    return logits


class TrainedModel:
    """A model folder, ready to predict.

    Args:
        folder: with ``model.safetensors`` and ``card.json``.

    Raises:
        InputError: see :func:`~esm2_amp.models.checkpoint.load_card`.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.card: ModelCard = load_card(self.folder)
        self.network = load_network(self.folder, self.card)
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")

    def training_sequences(self) -> frozenset[str]:
        """Keys of the sequences seen in training."""
        return load_training_sequences(self.folder)

    def score_rows(
        self, pairs: Iterable[Pair], proteins: ProteinSet, store: FeatureStore, batch_size: int
    ) -> Iterator[ScoredPair]:
        """Score rows one after another, in constant memory; a protein without features gives a reason instead.

        Args:
            pairs: any number of rows.
            proteins: sequences by id.
            store: features of the encoder the model was trained with.
            batch_size: pairs scored at once.
        """
        store.check_encoder(self.card.identity)
        store.check_long(self.card.long_policy)
        cache: dict[str, int] = {}
        stream = iter(pairs)
        while rows := tuple(islice(stream, batch_size)):
            names = {name for pair in rows for name in (pair.a, pair.b)} - cache.keys()
            found = [(name, protein) for name in names if (protein := proteins.get(name)) is not None]
            places = store.find([protein.key for _, protein in found])
            cache.update(dict.fromkeys(names, -1))
            cache.update((name, int(row)) for (name, _), row in zip(found, places, strict=True))
            yield from self._score_batch(rows, cache, store)

    def _score_batch(self, rows: tuple[Pair, ...], cache: Mapping[str, int], store: FeatureStore) -> list[ScoredPair]:
        good = [i for i, pair in enumerate(rows) if cache[pair.a] >= 0 and cache[pair.b] >= 0]
        a = np.array([cache[rows[i].a] for i in good], dtype=np.int64)
        b = np.array([cache[rows[i].b] for i in good], dtype=np.int64)
        dataset = PairDataset(store, self.network.layout, a, b, np.full(len(good), -1, dtype=np.int8))
        logits = score(self.network, dataset, max(1, len(good)), self.device, lambda _: None)
        probability = self.card.calibrator.apply(logits)
        scored = dict(zip(good, probability.tolist(), strict=True))
        return [ScoredPair(pair, scored.get(i), _status(pair, cache)) for i, pair in enumerate(rows)]

    def predict(
        self,
        pairs: str | Path | Iterable[tuple[str, str]],
        fasta: str | Path | Mapping[str, str],
        store: str | Path | None = None,
        encoder: str | Path | None = None,
    ) -> pd.DataFrame:
        """Score pairs of proteins.

        Args:
            pairs: a pair list (see :func:`~esm2_amp.io.pairs.iter_pairs`) or tuples of two ids.
            fasta: a FASTA file, or sequences by id.
            store: folder of a feature store, to keep features in and take them from; None for a temporary one.
            encoder: folder of the encoder, where it is not found as the card says.

        Returns:
            A row for every pair, in order: ``protein_a``, ``protein_b``, ``probability`` (NaN where there is none)
            and ``status`` ("ok", or why there is none).

        Raises:
            InputError: unreadable input, or an encoder that is not the one the model was trained with.
        """
        proteins = read_fasta(fasta) if isinstance(fasta, str | Path) else as_proteins(fasta)
        rows = list(iter_pairs(pairs)) if isinstance(pairs, str | Path) else as_pairs(pairs)
        with tempfile.TemporaryDirectory() as scratch:
            folder = str(store or scratch)
            self._extract(needed_proteins(rows, proteins), folder, encoder)
            scored = list(self.score_rows(rows, proteins, FeatureStore(folder), 256))
        return pd.DataFrame(
            {
                "protein_a": [row.pair.a for row in scored],
                "protein_b": [row.pair.b for row in scored],
                "probability": pd.array([row.probability for row in scored], dtype="float64"),
                "status": [row.status for row in scored],
            }
        )

    def _extract(self, proteins: list[Protein], folder: str, encoder: str | Path | None) -> None:
        identity = self.card.identity

        def load() -> Esm2Encoder:
            source: dict[str, Any] = {**self.card.encoder_source, **({"path": str(encoder)} if encoder else {})}
            if source["path"] is not None:
                source["path"] = resolve(source["path"])
            place = locate(**source)
            check_trained_with(identity, identify(source["name"], place))
            return Esm2Encoder(place, identity, self.device, torch.float32)

        settings = ExtractionSettings(
            self.card.long_policy,
            token_budget=default_budget(self.device, identity.width),
            workers=torch.get_num_threads() if self.device.type == "cpu" else 1,
            residue_states=False,
        )
        extract(proteins, folder, identity, load, settings, lambda *_: None, lambda _: None)


def check_trained_with(trained: EncoderIdentity, given: EncoderIdentity) -> None:
    """Refuse an encoder that is not the one a model was trained with, by name."""
    if not trained.same_weights(given):
        raise InputError(
            f"the model was trained on features of {trained}; the encoder given is {given}",
            remedy="Set encoder.path to the folder of the encoder it was trained with.",
        )


def needed_proteins(pairs: Iterable[Pair], proteins: ProteinSet) -> list[Protein]:
    """The proteins that some pair names and that have a sequence, each once, in the order first named."""
    names = dict.fromkeys(name for pair in pairs for name in (pair.a, pair.b))
    found = (proteins.get(name) for name in names)
    return list({protein.id: protein for protein in found if protein is not None}.values())


def as_proteins(sequences: Mapping[str, str]) -> ProteinSet:
    """Sequences by id as a :class:`~esm2_amp.io.fasta.ProteinSet`, checked like those of a file."""
    return ProteinSet(Protein(name, clean_sequence(name, sequence)) for name, sequence in sequences.items())


def as_pairs(pairs: Iterable[tuple[str, str]]) -> list[Pair]:
    """Tuples of two ids as rows without labels."""
    return [Pair(a, b, None, line) for line, (a, b) in enumerate(pairs, start=1)]


def _status(pair: Pair, cache: Mapping[str, int]) -> str:
    unknown = [name for name in dict.fromkeys((pair.a, pair.b)) if cache[name] < 0]
    return "ok" if not unknown else f"no sequence for {' and '.join(unknown)}"
