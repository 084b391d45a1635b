"""Codes of an index compared: bytes, time to build, recall by the codes alone and after exact scoring.

    python benchmarks/index_codes.py --scratch FOLDER

All in one run, one thread, on the same synthetic vectors (``clustered_vectors.py``) with held-out queries, through the
same number of lists; seconds are of the processor. ``shares`` of the lists are looked through.
"""

from __future__ import annotations

import argparse
import shutil
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from clustered_vectors import ClusteredVectors
from machine import where_and_when

from esm2_amp.io.atomic import write_json
from esm2_amp.neighbours.index import open_index
from esm2_amp.neighbours.index_build import build_index
from esm2_amp.neighbours.ingest import write_vectors
from esm2_amp.neighbours.plan import PART_ROWS, make_plan
from esm2_amp.neighbours.recall import recall_of
from esm2_amp.neighbours.search import search
from esm2_amp.neighbours.vectors import Vectors, open_vectors

DIM, K = 2560, 10
FACTORIES = (
    "PCAR512,IVF*,RaBitQ4",
    "PCAR512,IVF*,RaBitQ2",
    "PCAR512,IVF*,RaBitQ",
    "PCAR256,IVF*,RaBitQ",
    "IVF*,RaBitQ",
    "PCA384,IVF*,SQ8",
)
SHARES, CANDIDATES = (0.03, 0.25), (50, 200)


def unseen(amount: int) -> None:
    """Progress that nobody watches."""


def compared(factory: str, vectors: Vectors, queries: np.ndarray, folder: Path) -> dict[str, Any]:
    """Build one index and measure it."""
    plan = make_plan(vectors.n, vectors.dim, 100, factory)
    shutil.rmtree(folder, ignore_errors=True)
    began = time.process_time()
    card = build_index(vectors, folder, plan, 0, 1, PART_ROWS, unseen, unseen)
    busy = (time.process_time() - began) / sum(card.seconds.values())
    index = open_index(folder, vectors, 1)
    assert index is not None
    true_rows, true = search(vectors, None, queries, K, "cosine")
    settings = []
    for share in SHARES:
        nprobe = round(share * card.lists)
        named = index.candidates(queries, K, nprobe)
        alone = np.mean([len(np.intersect1d(a, b)) / K for a, b in zip(named, true_rows, strict=True)])
        found = {
            str(count): recall_of(search(vectors, index, queries, K, "cosine", count, nprobe)[1], true, "cosine")
            for count in CANDIDATES
        }
        began = time.process_time()
        index.candidates(queries, CANDIDATES[0], nprobe)
        milliseconds = 1000 * (time.process_time() - began) / len(queries)
        settings.append({
            "nprobe": nprobe, "recall_by_codes_alone": float(alone), "recall_by_candidates": found,
            "milliseconds_for_candidates": milliseconds,
        })  # fmt: skip
    return {
        "factory": card.factory,
        "code_and_id_bytes": card.vector_bytes,
        "training_seconds": card.seconds["training"] * busy,
        "adding_microseconds_a_vector": 1e6 * card.seconds["adding"] * busy / vectors.n,
        "settings": settings,
    }


def main() -> None:
    """Measure all and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scratch", required=True, type=Path, help="folder for the vectors and one index")
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--families", type=int, default=1000)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--output", default="benchmarks/results/index_codes.json")
    arguments = parser.parse_args()
    source = ClusteredVectors(DIM, arguments.families, seed=1)
    folder = arguments.scratch / "vectors"
    if not (folder / "manifest.json").exists():
        write_vectors(folder, [f"P{row}" for row in range(arguments.rows)], source.sample(arguments.rows, seed=5))
    vectors, queries = open_vectors(folder), source.sample(arguments.queries, seed=7).astype(np.float32)
    found = []
    for factory in FACTORIES:
        found.append(compared(factory, vectors, queries, arguments.scratch / "index"))
        print(found[-1], flush=True)
    write_json(arguments.output, {
        **where_and_when(),
        "versions": {name: version(name) for name in ("faiss-cpu", "numpy")},
        "vectors": {"rows": vectors.n, "dim": DIM, "families": arguments.families, "queries": arguments.queries},
        "k": K,
        "shares": SHARES,
        "factories": found,
    })  # fmt: skip


if __name__ == "__main__":
    main()
