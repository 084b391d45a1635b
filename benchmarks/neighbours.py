"""Closest pairs and analogies: time, memory and recall of ours, of flat faiss and of the published way, in one run.

    nice -n 5 python benchmarks/neighbours.py
    python benchmarks/neighbours.py --n 5000 --output somewhere.json

Vectors are drawn (``neighbours_peers.clustered``). Each row is one process on one core. ``seconds`` are those of the
processor for what the row names, on data in memory and after the inner loops were compiled on a small matrix;
``peak_mb`` is that of the whole process, imports and data included (the row ``data only`` makes the data and ends).
Recall is of the true best: by all pairs in float64 at n = 800, else of the plain ones of ours, which the tests compare
with brute force. The published way holds all pairs, which at n = 20,000 and d = 256 would be 205 GB; so it is measured
at n = 800 (analogies) and 5,000 (closest pairs). Reading .npz archives has a benchmark of its own, ``npz.py``.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import neighbours_peers as peers
import numpy as np
from machine import measured, where_and_when

from esm2_amp.io.atomic import write_json
from esm2_amp.neighbours.analogies import analogies_of_one, analogies_of_pair
from esm2_amp.neighbours.closest_pairs import closest_pairs
from esm2_amp.neighbours.reach import nearest_distances

ROOT = Path(__file__).parent.parent
WIDTH = 256
SMALL, MIDDLE = 800, 5000
BEST, CLOSEST = 100, 500
THRESHOLD = 0.8
QUERIES = 5
Found = list[list[Any]]
Work = Callable[[np.ndarray], Iterator[tuple[str, float, Found]]]


def queries(n: int) -> list[tuple[int, int]]:
    """Some pairs of rows."""
    pairs = np.random.default_rng(1).choice(n, (QUERIES, 2), replace=False)
    return [(int(a), int(b)) for a, b in pairs]


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds of the processor, and the result."""
    began = time.process_time()
    result = work()
    return time.process_time() - began, result


def tuples(*columns: np.ndarray) -> Found:
    """Rows as JSON has them."""
    return [list(row) for row in zip(*(column.tolist() for column in columns), strict=True)]


def each(x: np.ndarray, search: Callable[[int, int], Found]) -> tuple[float, Found]:
    """Mean seconds of the queries, and all they find, marked by the query."""
    done = [timed(lambda pair=pair: search(*pair)) for pair in queries(len(x))]
    marked = [[number, *row] for number, (_, found) in enumerate(done) for row in found]
    return float(np.mean([seconds for seconds, _ in done])), marked


def data_only(x: np.ndarray) -> Iterator[tuple[str, float, Found]]:
    """What the data and the imports take."""
    yield "data only", 0.0, []


def our_pairs(op: str, highest: float | None, pruned: bool) -> Work:
    """Pair queries."""

    def work(x: np.ndarray) -> Iterator[tuple[str, float, Found]]:
        reach = None
        if pruned:
            seconds, reach = timed(lambda: nearest_distances(x, op))
            yield "nearest distances, once", seconds, []

        def search(a: int, b: int) -> Found:
            found = analogies_of_pair(x, a, b, BEST, highest, op, reach)
            return tuples(found.c, found.d)

        yield "a query", *each(x, search)

    return work


def our_row(op: str) -> Work:
    """Queries of one row over all triples."""

    def work(x: np.ndarray) -> Iterator[tuple[str, float, Found]]:
        seconds, found = timed(lambda: analogies_of_one(x, 0, BEST, THRESHOLD, op))
        yield "a query", seconds, tuples(found.b, found.c, found.d)

    return work


def our_closest(x: np.ndarray) -> Iterator[tuple[str, float, Found]]:
    """Closest pairs."""
    seconds, found = timed(lambda: closest_pairs(lambda i, j: x[i:j], len(x), x.shape[1], CLOSEST, "cosine"))
    yield "all", seconds, tuples(found.a, found.b)


def matrix_closest(x: np.ndarray) -> Iterator[tuple[str, float, Found]]:
    """Closest pairs of the full matrix."""
    yield "all", *timed(lambda: [list(pair) for pair in peers.closest_by_matrix(x, CLOSEST)])


def faiss_closest(x: np.ndarray) -> Iterator[tuple[str, float, Found]]:
    """Closest pairs among ten neighbours each."""
    yield "all", *timed(lambda: [list(pair) for pair in peers.closest_by_faiss(x, CLOSEST, 10)])


def truth(highest: float | None) -> Work:
    """All pairs in float64."""

    def work(x: np.ndarray) -> Iterator[tuple[str, float, Found]]:
        yield "a query", *each(x, lambda a, b: [list(p) for p in peers.all_analogies(x, a, b, BEST, highest)])

    return work


def published(inverted: bool, merged: bool, highest: float | None) -> Work:
    """An index of all pairs."""

    def work(x: np.ndarray) -> Iterator[tuple[str, float, Found]]:
        seconds, index = timed(lambda: peers.PairIndex(x, inverted))
        yield "index, once", seconds, []
        yield "a query", *each(x, lambda a, b: [list(p) for p in index.query(a, b, BEST, highest, merged)])

    return work


def contenders(n: int) -> dict[str, tuple[int, str, Work]]:
    """Name -> size, the row whose result is true, and what to do."""
    rows: dict[str, tuple[int, str, Work]] = {"data only": (n, "", data_only)}
    for highest in (None, THRESHOLD):
        above = "" if highest is None else f", threshold {highest}"
        true = f"all pairs in float64{above}"
        rows[true] = SMALL, true, truth(highest)
        rows[f"ours, pair{above}"] = SMALL, true, our_pairs("difference", highest, False)
        for inverted in (False, True):
            index = "inverted lists" if inverted else "flat"
            rows[f"published, {index}{above}"] = SMALL, true, published(inverted, False, highest)
            rows[f"published, {index}, signs merged{above}"] = SMALL, true, published(inverted, True, highest)
    for size in dict.fromkeys((MIDDLE, n)):
        ours = f"ours, closest pairs, n = {size}"
        rows[ours] = size, ours, our_closest
        rows[f"flat faiss, closest pairs of 10 neighbours, n = {size}"] = size, ours, faiss_closest
        if size == MIDDLE:
            rows[f"published, closest pairs, full matrix, n = {size}"] = size, ours, matrix_closest
    for op in ("difference", "sum"):
        plain = f"ours, pair, {op}, n = {n}"
        rows[plain] = n, plain, our_pairs(op, None, False)
        rows[f"{plain}, pruned"] = n, plain, our_pairs(op, None, True)
        rows[f"ours, one row, {op}, threshold {THRESHOLD}, n = {n}"] = n, "", our_row(op)
    return rows


def once(name: str, n: int, output: Path) -> None:
    """One contender, in this process."""
    size, _, work = contenders(n)[name]
    list(work(peers.clustered(SMALL // 2, WIDTH, seed=9)) if name.startswith("ours") else [])
    done = work(peers.clustered(size, WIDTH))
    steps = [{"step": step, "seconds": round(seconds, 3), "found": found} for step, seconds, found in done]
    output.write_text(json.dumps(steps))


def recall(found: Found, true: Found) -> float:
    """The share of the true ones found."""
    return len({*map(tuple, found)} & {*map(tuple, true)}) / len(true)


def measure(n: int, folder: Path) -> list[dict[str, Any]]:
    """All contenders, one after the other."""
    rows, results = [], {}
    for name, (size, true, _) in contenders(n).items():
        file = folder / "found.json"
        command = [sys.executable, str(Path(__file__).resolve()), "--once", name, "--n", str(n), "--output", str(file)]
        cost = measured(command, ROOT)
        steps = json.loads(file.read_text())
        results[name] = steps[-1]["found"]
        row = {"what": name, "n": size, "seconds": {step["step"]: step["seconds"] for step in steps}}
        row["peak_mb"] = cost["peak_mb"]
        if true and true != name:
            row["recall"] = round(recall(results[name], results[true]), 3)
        rows.append(row)
        print(row, flush=True)
    return rows


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=20_000, help="vectors of the large queries")
    parser.add_argument("--once", help="measure only this row, in this process; needs --output")
    parser.add_argument("--output", type=Path, help="default: benchmarks/results/neighbours.json")
    given = parser.parse_args()
    if given.once and given.output is None:
        parser.error("--once measures one row, which must not be written over the results: give --output")
    if given.once:
        once(given.once, given.n, given.output)
        return
    os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(given.n, Path(folder))
    settings = {
        "width": WIDTH, "best": BEST, "closest": CLOSEST, "queries": QUERIES, "threads": 1,
        "published": {"hits": peers.HITS, "lists": peers.LISTS, "probes": peers.PROBES, "rounds": peers.ROUNDS},
        "versions": {name: version(name) for name in ("numpy", "numba", "faiss-cpu")},
    }  # fmt: skip
    output = given.output or ROOT / "benchmarks" / "results" / "neighbours.json"
    write_json(output, {**where_and_when(), **settings, "rows": rows})


if __name__ == "__main__":
    main()
