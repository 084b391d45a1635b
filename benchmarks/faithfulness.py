"""Which explanation finds the planted truth? The demo's model on the true positives of its three test sets.

    python benchmarks/faithfulness.py
    python benchmarks/faithfulness.py --store FOLDER --output somewhere.json

Simulated pairs of `datasets/demo`, explained by `checkpoints/demo_amps`: attention, rollout, integrated gradients and
occlusion against the segments that hold the binding modules, beside random values and the same methods on models with
freshly initialised weights (``--seeds`` of them). hit@k: one of the k tokens with most evidence is true; both: the
first of each chain is. True tokens: see ``esm2_amp.explain.planted.planted_tokens``. Every
number is a mean over pairs with the bounds of its 95 % interval (bootstrap over pairs).
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from machine import where_and_when
from numpy.typing import NDArray

from esm2_amp.data.batch import PairBatch
from esm2_amp.data.dataset import PairDataset
from esm2_amp.evaluation.intervals import Resampling
from esm2_amp.explain.attention import attention_weights, block_structure, received, rollout
from esm2_amp.explain.background import training_mean
from esm2_amp.explain.faithfulness import curves, faithfulness
from esm2_amp.explain.gradients import integrated_gradients
from esm2_amp.explain.occlusion import occlusion
from esm2_amp.explain.planted import located_tokens, planted_tokens
from esm2_amp.explain.randomised import fresh_networks, random_values
from esm2_amp.explain.scoreboard import Row, Scoreboard
from esm2_amp.explain.truth import both_chains, truth_measures
from esm2_amp.features.store import FeatureStore
from esm2_amp.io.atomic import write_json
from esm2_amp.io.fasta import ProteinSet, read_fasta
from esm2_amp.io.pairs import iter_pairs
from esm2_amp.io.regions import read_annotations
from esm2_amp.layout import TokenLayout
from esm2_amp.models.network import PairNetwork
from esm2_amp.models.predictor import TrainedModel, needed_proteins
from esm2_amp.records import Pair, Protein, Region

ROOT = Path(__file__).parent.parent
DEMO = ROOT / "datasets" / "demo"
SETS = ("test_c1", "test_c2", "test_c3")
BATCH, TOLERANCE, MAX_STEPS, BACKGROUND = 64, 0.01, 4096, 200
FEW_STEPS = 32  # for a model whose gradients mean nothing


class Batch(NamedTuple):
    """True positives: their set, numbers, tokens, and which tokens are true (n, 2T)."""

    name: str
    numbers: NDArray[np.int64]
    tokens: PairBatch
    true: NDArray[np.bool_]


def methods(
    network: PairNetwork, batch: PairBatch, baseline: torch.Tensor, max_steps: int
) -> dict[str, NDArray[np.float64]]:
    """Evidence (n, 2T) for an interaction by method; ``ig error`` is the completeness error (n,)."""
    weights = attention_weights(network, batch.a, batch.b)
    gradients = integrated_gradients(network, batch.a, batch.b, baseline, TOLERANCE, max_steps)
    found = {
        "attention": received(weights),
        "rollout": rollout(weights),
        "ig": gradients.signed,
        "ig absolute": gradients.absolute,
        "occlusion": occlusion(network, batch.a, batch.b, baseline),
        "ig error": gradients.error,
        "ig steps": gradients.steps,
        "blocks": block_structure(weights).mean(dim=1),
    }
    return {name: values.double().numpy() for name, values in found.items()}


def true_positives(model: TrainedModel, store: FeatureStore, proteins: ProteinSet) -> Iterator[Batch]:
    """Batches of the pairs of each test set that interact and are called so."""
    regions = read_annotations([DEMO / "regions.tsv"], None).regions
    layout, number = model.network.layout, 0
    for name in SETS:
        sequences = {protein.id: protein for protein in needed_proteins(iter_pairs(DEMO / f"{name}.tsv"), proteins)}
        scored = model.score_rows(iter_pairs(DEMO / f"{name}.tsv"), proteins, store, 256)
        hits = (row.pair for row in scored if row.pair.label == 1 and (row.probability or 0) >= model.card.threshold)
        while pairs := list(islice(hits, BATCH)):
            a, b = (store.find([sequences[pair[end]].key for pair in pairs]) for end in (0, 1))
            tokens = PairDataset(store, layout, a, b, np.ones(len(a), np.int8)).__getitems__(range(len(a)))
            yield Batch(name, np.arange(number, number + len(a)), tokens, _truth(pairs, sequences, regions, layout))
            number += len(a)


def _truth(
    pairs: list[Pair], proteins: dict[str, Protein], regions: dict[str, list[Region]], layout: TokenLayout
) -> NDArray[np.bool_]:
    found = []
    for pair in pairs:
        lengths = (len(proteins[end].sequence) for end in (pair.a, pair.b))
        found.append(planted_tokens(layout, *lengths, regions.get(pair.a, []), regions.get(pair.b, [])))
    return np.array(found)


class Measurement:
    """The model, its background, and a table for each test set and for all of them."""

    def __init__(self, model: TrainedModel, store: FeatureStore, seeds: int) -> None:
        rows = store.find(sorted(model.training_sequences()))
        rows = rows[rows >= 0]
        self.network, self.background = (
            model.network,
            f"mean of {BACKGROUND} of {len(rows)} training proteins, drawn with seed 0",
        )
        self.baseline = training_mean(self.network, store, rows, 0, BACKGROUND)
        self.shuffled = fresh_networks(self.network, 0, seeds)
        self.placed = located_tokens(self.network.layout)
        self.boards = {name: Scoreboard() for name in ("all", *SETS)}
        self.shares: list[NDArray[np.float64]] = []
        self.blocks: list[NDArray[np.float64]] = []
        self.seconds, self.largest_error = 0.0, 0.0

    def add(self, batch: Batch) -> None:
        """Explain a batch by every method, and compare."""
        began = time.process_time()
        found = methods(self.network, batch.tokens, self.baseline, MAX_STEPS)
        self.seconds += time.process_time() - began
        self.shares.append(batch.true[:, self.placed].mean(axis=1))
        self.blocks.append(found.pop("blocks"))
        self.largest_error = max(self.largest_error, float(found["ig error"].max()))
        self._note(batch, "ig", {"error": found.pop("ig error"), "steps": found.pop("ig steps")})
        found["random"] = random_values(batch.numbers, len(self.placed), 0)
        called = np.ones(len(batch.true), dtype=bool)
        for name, evidence in found.items():
            curve = curves(self.network, batch.tokens.a, batch.tokens.b, self.baseline, evidence, called)
            self._note(batch, name, {**self._truth(batch, evidence), **faithfulness(curve, (1, 2, 5))})
        for network in self.shuffled:
            for name, evidence in methods(network, batch.tokens, self.baseline, FEW_STEPS).items():
                if evidence.shape == batch.true.shape:
                    self._note(batch, f"{name}, randomised", self._truth(batch, evidence))

    def result(self) -> dict[str, Any]:
        """What was measured."""
        resampling = Resampling(1000, 0, 0.95)
        table = [(name, row) for name, board in self.boards.items() for row in board.rows(resampling)]
        return {
            "background": self.background,
            "true_tokens": round(float(np.concatenate(self.shares).mean()), 4),
            "attention_blocks": np.concatenate(self.blocks).mean(axis=0).round(4).tolist(),
            "largest_ig_error": round(self.largest_error, 4),
            "cpu_seconds_of_the_five_methods": round(self.seconds, 1),
            "rows": [{"set": name, **_rounded(row)} for name, row in table],
        }

    def _truth(self, batch: Batch, evidence: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        values, true = evidence[:, self.placed], batch.true[:, self.placed]
        return {**truth_measures(values, true), "both": both_chains(values, true)}

    def _note(self, batch: Batch, method: str, measures: dict[str, NDArray[np.float64]]) -> None:
        for board in (self.boards["all"], self.boards[batch.name]):
            board.add(method, measures)


def _rounded(row: Row) -> dict[str, Any]:
    return {key: round(value, 4) if isinstance(value, float) else value for key, value in row._asdict().items()}


def main() -> None:
    """Measure, print the table, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path, help="a feature store to keep; by default a temporary one")
    parser.add_argument("--seeds", type=int, default=3, help="models with randomised weights")
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results" / "faithfulness.json")
    given = parser.parse_args()
    torch.set_num_threads(1)
    model, proteins = TrainedModel(ROOT / "checkpoints" / "demo_amps"), read_fasta(DEMO / "proteins.fasta")
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.store or Path(scratch) / "store"
        for name in ("train", *SETS):
            model.predict(DEMO / f"{name}.tsv", DEMO / "proteins.fasta", store=folder)
        store = FeatureStore(folder)
        measurement = Measurement(model, store, given.seeds)
        for batch in true_positives(model, store, proteins):
            measurement.add(batch)
    found = measurement.result()
    _show(found)
    write_json(given.output, {**where_and_when(), **found})


def _show(found: dict[str, Any]) -> None:
    shown = (
        "hit@1",
        "hit@2",
        "both",
        "rank",
        "auroc",
        "aupr",
        "deletion",
        "insertion",
        "comprehensiveness@2",
        "sufficiency@2",
    )
    print(found["background"], "| share of true tokens", round(found["true_tokens"], 3), "|", found["attention_blocks"])
    print("".join(f"{title:>16.16}" for title in ("", *shown)))
    table = {(row["set"], row["method"], row["measure"]): row for row in found["rows"]}
    for name, method in dict.fromkeys((name, method) for name, method, _ in table):
        values = [table.get((name, method, measure)) for measure in shown]
        cells = "".join(f"{value['mean']:16.3f}" if value else " " * 16 for value in values)
        print(f"{name:8s}{method:24s}{cells}")


if __name__ == "__main__":
    main()
