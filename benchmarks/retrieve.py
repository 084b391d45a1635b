r"""How many of a model's best pairs does retrieval find, against the share of all pairs that the model scores?

    esm2-amp extract fasta=datasets/bernett/proteins.fasta encoder=esm2_8m features.long=full store=STORE
    OMP_NUM_THREADS=1 python benchmarks/retrieve.py --data datasets/bernett --store STORE --scratch DIR \
        --models dpm=runs/bernett/dpm/model ampx=runs/bernett/ampx/model

All pairs of the validation proteins are scored once with each model and kept in the scratch folder; then retrieval asks
for scores out of that matrix, so that its recall is known exactly. ``student_seconds`` is everything but the scoring:
principal components, teaching and looking up, of all rounds. One thread.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from machine import where_and_when
from numpy.typing import NDArray

from esm2_amp.features.store import FeatureStore
from esm2_amp.io.atomic import atomic_path, write_json
from esm2_amp.io.fasta import read_fasta
from esm2_amp.io.pairs import iter_pairs
from esm2_amp.models.checkpoint import load_card, load_network
from esm2_amp.screening.lessons import Lessons
from esm2_amp.screening.pair_list import PairList, eligible_pairs, keys_of
from esm2_amp.screening.retrieve import Search
from esm2_amp.screening.rounds import Budget, Retrieval, Retrieved
from esm2_amp.screening.scorer import Scorer, of_block
from esm2_amp.screening.scorers import scorer_for
from esm2_amp.screening.student import StudentSize
from esm2_amp.screening.student_inputs import student_inputs

ROOT = Path(__file__).parent.parent
SHARES = (0.001, 0.01)
EDGE = 256
SIZE = StudentSize(components=256, hidden=256, rank=32)
LESSONS = Lessons(steps=300, rate=0.005, seed=0)
TIMED = 64
"""Proteins whose pairs with a tile's are timed."""
JUDGES = 0.2


class AllPairs(NamedTuple):
    """All pairs of n proteins."""

    n: int
    first: int
    second: int
    with_self: bool


class Case(NamedTuple):
    """A model's scorer, the tokens it reads of its proteins, and its logits of all their pairs."""

    scorer: Scorer
    tokens: torch.Tensor
    logits: NDArray[np.float32]


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with proteins.fasta and val.tsv, plain or .gz")
    parser.add_argument("--store", required=True, help="feature store of these proteins")
    parser.add_argument("--models", nargs="+", required=True, metavar="NAME=FOLDER[@PROTEINS]",
                        help="model folders; @1500 takes so many proteins at random")  # fmt: skip
    parser.add_argument("--scratch", type=Path, required=True, help="folder for the scores of all pairs")
    parser.add_argument("--budgets", nargs="+", type=float, default=[0.005, 0.01, 0.02, 0.05], help="shares of pairs")
    parser.add_argument("--rounds", nargs="+", type=int, default=[1, 3])
    parser.add_argument("--sampled", type=float, default=0.4, help="share of a budget that is random pairs")
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results" / "retrieve.json")
    given = parser.parse_args()
    torch.set_num_threads(1)
    given.scratch.mkdir(parents=True, exist_ok=True)
    models: dict[str, Any] = {}
    for model in given.models:
        name, _, place = model.partition("=")
        models[name] = measured(case_of(name, place, given), given)
        write_json(given.output, {
            **where_and_when(), "size": vars(SIZE), "lessons": vars(LESSONS), "judges": JUDGES,
            "sampled": given.sampled, "models": models,
        })  # fmt: skip


def case_of(name: str, place: str, given: argparse.Namespace) -> Case:
    """Score all pairs, or read what an earlier run has scored."""
    folder, _, proteins = place.partition("@")
    network = load_network(Path(folder), load_card(Path(folder)))
    scorer, store = scorer_for(network, torch.device("cpu"), "float32", compiled=False), FeatureStore(given.store)
    rows = store.find(keys_of_sequences(given.data))
    if (rows < 0).any():
        raise SystemExit(f"{given.store} lacks {(rows < 0).sum()} proteins of {given.data}")
    if proteins:
        rows = np.random.default_rng(0).permutation(rows)[: int(proteins)]
    tokens = torch.from_numpy(store.gather(rows, network.layout.stored)).float()
    file = given.scratch / f"{name}.npy"
    if not file.exists():
        logits = all_logits(scorer, tokens)
        with atomic_path(file) as path, path.open("wb") as stream:
            np.save(stream, logits)
    logits = np.load(file, mmap_mode="r")
    if logits.shape != (len(rows), len(rows)):
        raise SystemExit(f"{file} is of {len(logits)} proteins, not {len(rows)}: delete it")
    return Case(scorer, tokens, logits)


def keys_of_sequences(data: Path) -> list[str]:
    """Keys of the sequences that validation pairs name, each once."""
    proteins = read_fasta(next(data.glob("proteins.fasta*")))
    names = sorted({name for pair in iter_pairs(next(data.glob("val.tsv*"))) for name in (pair.a, pair.b)})
    found = [protein.key for name in names if (protein := proteins.get(name)) is not None]
    return list(dict.fromkeys(found))


def all_logits(scorer: Scorer, tokens: torch.Tensor) -> NDArray[np.float32]:
    """(n, n) of the full model, by tiles of the upper triangle."""
    n = len(tokens)
    logits = np.zeros((n, n), np.float32)
    with torch.inference_mode():
        blocks = [scorer.prepare(tokens[start : start + EDGE]) for start in range(0, n, EDGE)]
        for row, a in enumerate(blocks):
            for column, b in enumerate(blocks[row:], start=row):
                tile = of_block(scorer, a, b).numpy()
                i, j = row * EDGE, column * EDGE
                logits[i : i + EDGE, j : j + EDGE] = tile
                logits[j : j + EDGE, i : i + EDGE] = tile.T
            print(f"{min((row + 1) * EDGE, n)} of {n} proteins with all", flush=True)
    return logits


def seconds_a_pair(case: Case) -> float:
    """CPU seconds of the full model, from a part of a tile."""
    with torch.inference_mode():
        a, b = case.scorer.prepare(case.tokens[:TIMED]), case.scorer.prepare(case.tokens[-EDGE:])
        of_block(case.scorer, a, b)
        began = time.process_time()
        of_block(case.scorer, a, b)
    return (time.process_time() - began) / (TIMED * EDGE)


def measured(case: Case, given: argparse.Namespace) -> dict[str, Any]:
    """Retrieval with every budget and number of rounds."""
    law = AllPairs(len(case.tokens), len(case.tokens), 0, False)
    total = eligible_pairs(law)
    i, j = np.triu_indices(law.n, 1)
    logits = case.logits[i, j]
    best = {share: keys_of(i[top], j[top], law.n) for share in SHARES
            if len(top := np.argpartition(-logits, round(total * share))[: round(total * share)])}  # fmt: skip
    results = []
    for share in given.budgets:
        for rounds in given.rounds:
            pairs = int(total * share)
            found, seconds = retrieved(case, law, Budget(pairs, int(pairs * given.sampled), JUDGES, rounds))
            results.append(result({"budget": share, "rounds": rounds}, law.n, found, best, seconds))
            print(json.dumps(results[-1]), flush=True)
    return {
        "network": type(case.scorer.network).__name__, "proteins": law.n, "pairs": total,
        "cpu_seconds_for_all_pairs": round(total * seconds_a_pair(case)), "results": results,
    }  # fmt: skip


def retrieved(case: Case, law: AllPairs, budget: Budget) -> tuple[Retrieved, float]:
    """One retrieval and its CPU seconds."""

    def score(_: str, work: PairList) -> NDArray[np.float32]:
        return case.logits[work.a, work.b]

    def features(rows: NDArray[np.int64]) -> torch.Tensor:
        return case.tokens[torch.from_numpy(rows)]

    began, unseen = time.process_time(), _unseen()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        inputs = student_inputs(features, case.scorer, law.n, SIZE.components, 0, folder / "inputs.safetensors")
        wanted = Search(0, 1, EDGE, folder, memory_gb=4.0, factory=None, threads=1, seed=0)
        retrieval = Retrieval(law, inputs, SIZE, budget, LESSONS, wanted)
        return retrieval.run(score, SHARES, unseen), time.process_time() - began


def result(
    asked: dict[str, float], n: int, found: Retrieved, best: dict[float, NDArray[np.int64]], seconds: float
) -> dict[str, Any]:
    """What one retrieval found, and what it would have said of itself without the scores of all pairs."""
    keys = np.concatenate([keys_of(step.work.a, step.work.b, n) for step in found.steps])
    return {
        **asked, "scored": len(keys), "scored_share": round(len(keys) / (n * (n - 1) // 2), 5),
        "recall": {f"{top:g}": round(float(np.isin(best[top], keys).mean()), 4) for top in best},
        "estimated": {f"{r.share:g}": [r.recall, round(r.low, 4), round(r.high, 4), r.judged] for r in found.recall},
        "student_seconds": round(seconds, 1),
    }  # fmt: skip


def _unseen() -> Callable[[int], None]:
    return lambda _: None


if __name__ == "__main__":
    main()
