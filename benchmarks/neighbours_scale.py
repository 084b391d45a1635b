"""A million vectors of 2,560 dimensions from .npz shards: ingested, indexed and searched within 4 GB of memory.

    python benchmarks/neighbours_scale.py --scratch FOLDER
    python benchmarks/neighbours_scale.py --scratch FOLDER --rows 100000 --families 4000 --output somewhere.json

The vectors are synthetic (``clustered_vectors.py``) and generated first, outside the measurement; the queries are
drawn from the same families and are not stored. Every stage is a process of its own, with one thread, that may not
have more than ``--memory-gb`` of private memory (``RLIMIT_DATA``: an allocation beyond it fails). Ten times a second it
is asked for its resident memory (``VmRSS``; of that ``RssAnon`` is its own, the rest are mapped files, which the system
may drop). The setting of the search is chosen on stored vectors (``neighbours recall``) and judged on the held-out
queries. What is written for more vectors is extrapolated from these rates (``scale_needs.py``).
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from clustered_vectors import ClusteredVectors, write_shards
from machine import where_and_when
from scale_needs import ATLAS, NUMBERS, needs

from esm2_amp.io.atomic import write_json
from esm2_amp.neighbours.plan import GB, PART_ROWS, lists_for, make_plan

DIM, SEED, K, WANTED = 2560, 1, 10, 0.97
NPROBES, CANDIDATES = (8, 16, 32, 64, 128), (50, 100, 200)


def unseen(amount: int) -> None:
    """Progress that nobody watches."""


def stage_ingest(arguments: argparse.Namespace) -> dict[str, Any]:
    """Shards into the flat map."""
    from esm2_amp.neighbours.ingest import ingest
    from esm2_amp.neighbours.readers.recognise import SourceOptions

    folder = arguments.scratch / "vectors"
    report = ingest(
        str(arguments.scratch / "shards"), folder, SourceOptions(None, (), None, None), "error", unseen, unseen
    )
    assert report.vectors.n == arguments.rows
    ids = sum(file.stat().st_size for file in folder.glob("ids.*"))
    return {"id_bytes_a_vector": ids / arguments.rows}


def stage_index(arguments: argparse.Namespace) -> dict[str, Any]:
    """The index, with the factory that the plan chooses."""
    from esm2_amp.neighbours.index_build import build_index
    from esm2_amp.neighbours.vectors import open_vectors

    vectors = open_vectors(arguments.scratch / "vectors")
    plan = make_plan(vectors.n, vectors.dim, arguments.memory_gb, arguments.factory)
    card = build_index(vectors, arguments.scratch / "index", plan, 0, 1, PART_ROWS, unseen, unseen)
    return {
        "factory": card.factory,
        "lists": card.lists,
        "training_rows": card.training_rows,
        "bytes_a_vector": card.file_bytes / vectors.n,
        "planned_bytes_a_vector": plan.index_bytes / vectors.n,
        "code_and_id_bytes": card.vector_bytes,
        "planned_peak_mb": round(plan.peak_bytes / 1e6),
        "stages": card.seconds,
    }


def stage_recall(arguments: argparse.Namespace) -> dict[str, Any]:
    """The setting chosen on stored vectors."""
    from esm2_amp.neighbours.index import open_index
    from esm2_amp.neighbours.recall import RecallQuestion, measure_recall, save_measured
    from esm2_amp.neighbours.vectors import open_vectors

    vectors = open_vectors(arguments.scratch / "vectors")
    index = open_index(arguments.scratch / "index", vectors, 1)
    assert index is not None
    question = RecallQuestion(K, "cosine", arguments.queries, WANTED, SEED)
    report = measure_recall(vectors, index, question, NPROBES, CANDIDATES, unseen, unseen)
    save_measured(index, report)
    return {"chosen": asdict(report.chosen), "settings": [asdict(setting) for setting in report.settings]}


def stage_exact(arguments: argparse.Namespace) -> dict[str, Any]:
    """The true neighbours of the held-out queries."""
    from esm2_amp.neighbours.search import search
    from esm2_amp.neighbours.vectors import open_vectors

    vectors = open_vectors(arguments.scratch / "vectors")
    queries = np.load(arguments.scratch / "queries.npy").astype(np.float32)
    began = time.perf_counter()
    rows, scores = search(vectors, None, queries, K, "cosine")
    seconds = time.perf_counter() - began
    np.savez(arguments.scratch / "truth.npz", rows=rows, scores=scores)
    return {
        "queries": len(queries),
        "milliseconds_a_query": 1000 * seconds / len(queries),
        "cosine_of_the_nearest": float(scores[:, 0].mean()),
        "cosine_of_the_tenth": float(scores[:, -1].mean()),
    }


def stage_search(arguments: argparse.Namespace) -> dict[str, Any]:
    """The held-out queries, one by one, through the index; and what the codes alone would find."""
    from esm2_amp.neighbours.index import open_index
    from esm2_amp.neighbours.recall import recall_of
    from esm2_amp.neighbours.search import search
    from esm2_amp.neighbours.vectors import open_vectors

    vectors = open_vectors(arguments.scratch / "vectors")
    began = time.perf_counter()
    index = open_index(arguments.scratch / "index", vectors, 1)
    opened = time.perf_counter() - began
    assert index is not None
    queries = np.load(arguments.scratch / "queries.npy").astype(np.float32)
    truth = np.load(arguments.scratch / "truth.npz")
    seconds, found = [], []
    for query in queries:
        began = time.perf_counter()
        found.append(search(vectors, index, query[None], K, "cosine")[1])
        seconds.append(time.perf_counter() - began)
    began = time.perf_counter()
    by_code = [index.candidates(query[None], K, None)[0] for query in queries]
    alone = (time.perf_counter() - began) / len(queries)
    share = np.mean([len(np.intersect1d(a, b)) / K for a, b in zip(by_code, truth["rows"], strict=True)])
    return {
        "nprobe": index.card.nprobe,
        "candidates": index.card.candidates(K),
        "recall_at_10": recall_of(np.concatenate(found), truth["scores"], "cosine"),
        "recall_at_10_by_codes_alone": float(share),
        "milliseconds_a_query": {
            "median": 1000 * float(np.median(seconds)),
            "95%": 1000 * float(np.quantile(seconds, 0.95)),
            "candidates_only": 1000 * alone,
        },
        "milliseconds_to_open": 1000 * opened,
        "codes_looked_through": index.card.nprobe * vectors.n / index.card.lists,
    }


def stage_rates(arguments: argparse.Namespace) -> dict[str, Any]:
    """What more vectors will meet: the transform's training, and the assignment to the largest number of lists."""
    import faiss

    from esm2_amp.neighbours.index_train import trained_index, unit
    from esm2_amp.neighbours.plan import transforms_of
    from esm2_amp.neighbours.vectors import open_vectors

    faiss.omp_set_num_threads(1)
    vectors = open_vectors(arguments.scratch / "vectors")
    plan = make_plan(vectors.n, vectors.dim, arguments.memory_gb, arguments.factory)
    few = ",".join("IVF1" if part.startswith("IVF") else part for part in plan.factory.split(","))
    began = time.process_time()
    index = trained_index(vectors, few, 100, plan.transform_rows, 0)
    transform = time.process_time() - began
    block = unit(vectors.block(0, 8192))
    for step in transforms_of(index):
        block = step.apply(block)
    centroids = np.random.default_rng(0).standard_normal((lists_for(ATLAS), plan.code_dim), dtype=np.float32)
    lists = faiss.IndexFlatL2(plan.code_dim)
    lists.add(centroids)
    began = time.process_time()
    lists.search(block, 1)
    assigned = (time.process_time() - began) / len(block)
    return {"transform_seconds": transform, "assign_nanoseconds_a_list": 1e9 * assigned / len(centroids)}


STAGES: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    "ingest": stage_ingest,
    "index": stage_index,
    "recall": stage_recall,
    "exact": stage_exact,
    "search": stage_search,
    "rates": stage_rates,
}


def measured_stage(name: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Run a stage in a process of its own; what it reports, and what it cost."""
    file = arguments.scratch / f"{name}.json"
    if file.exists():
        return dict(json.loads(file.read_text()))
    command = [sys.executable, __file__, "--stage", name, *(f"--{k}={v}" for k, v in passed_on(arguments).items())]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    own, resident = watched(process)
    seconds = time.perf_counter() - began
    assert process.stdout is not None
    lines = process.stdout.read().splitlines()
    if process.returncode:
        sys.exit(f"the stage {name} failed")
    cost = {"seconds": seconds, "own_peak_mb": own, "resident_peak_mb": resident}
    result = {**cost, **json.loads(lines[-1])}
    write_json(file, result)
    print(name, json.dumps(result), flush=True)
    return result


def passed_on(arguments: argparse.Namespace) -> dict[str, str]:
    """Options that a stage needs."""
    values = {name: getattr(arguments, name) for name in ("scratch", "rows", "queries", "factory", "memory_gb")}
    return {name.replace("_", "-"): str(value) for name, value in values.items() if value is not None}


def watched(process: subprocess.Popen[str]) -> tuple[int, int]:
    """Wait for a process; its largest own and resident memory in MB."""
    peaks = {"RssAnon": 0, "VmRSS": 0}
    while process.poll() is None:
        try:
            status = Path(f"/proc/{process.pid}/status").read_text()
        except OSError:
            break
        for line in status.splitlines():
            name, _, value = line.partition(":")
            if name in peaks:
                peaks[name] = max(peaks[name], int(value.split()[0]))
        time.sleep(0.1)
    process.wait()
    return round(peaks["RssAnon"] * 1024 / 1e6), round(peaks["VmRSS"] * 1024 / 1e6)


def run_stage(arguments: argparse.Namespace) -> None:
    """Be the process of a stage."""
    limit = round(arguments.memory_gb * GB)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    began = time.process_time()
    result = STAGES[arguments.stage](arguments)
    print(json.dumps({"cpu_seconds": time.process_time() - began, **result}))


def generate(arguments: argparse.Namespace) -> None:
    """Shards and queries, unless they are there."""
    if (arguments.scratch / "queries.npy").exists():
        return
    source = ClusteredVectors(DIM, arguments.families, SEED)
    write_shards(source, arguments.scratch / "shards", arguments.shards, arguments.rows // arguments.shards)
    np.save(arguments.scratch / "queries.npy", source.sample(arguments.queries, seed=7))


def main() -> None:
    """Generate, measure, extrapolate, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scratch", required=True, type=Path, help="folder for 3 x rows x 5 KB; stages done are kept")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--shards", type=int, default=10)
    parser.add_argument("--families", type=int, default=40_000)
    parser.add_argument("--queries", type=int, default=500, help="held out; as many stored ones choose the setting")
    parser.add_argument("--factory", default=None, help="of the index; by default the plan's")
    parser.add_argument("--memory-gb", type=float, default=4)
    parser.add_argument("--output", default="benchmarks/results/neighbours_scale.json")
    parser.add_argument("--stage", choices=list(STAGES), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.stage:
        run_stage(arguments)
        return
    generate(arguments)
    stages = {name: measured_stage(name, arguments) for name in STAGES}
    result = {
        **where_and_when(),
        "versions": {name: version(name) for name in ("faiss-cpu", "numpy")},
        "vectors": {"rows": arguments.rows, "dim": DIM, "shards": arguments.shards, "families": arguments.families},
        "memory_limit_gb": arguments.memory_gb,
        "stages": stages,
        "extrapolated": needs(stages, arguments.rows, NUMBERS),
    }
    write_json(arguments.output, result)
    print(json.dumps(result["extrapolated"], indent=2))


if __name__ == "__main__":
    main()
