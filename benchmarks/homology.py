"""All-against-all homology search with both engines: what each costs, and how far they agree.

    python benchmarks/homology.py --fasta datasets/bernett/proteins.fasta --output results.json

Each engine runs in a process of its own, on one core unless told otherwise. Agreement is given above each identity:
the pairs (of different proteins, in one direction) that either engine finds, that both find, and the mean and largest
difference between the identities of those. ``clusters`` compares the clusters at 40 % identity.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from machine import measured, where_and_when

from esm2_amp.data.homology import ENGINES, Hits, clusters_of_hits, homology_engine
from esm2_amp.io.fasta import read_fasta

COVERAGE = 0.8
LEVELS = (0.3, 0.4, 0.5, 0.7)


def search(fasta: str, engine: str, threads: int, output: Path) -> None:
    """One search, its hits written as arrays."""
    sequences = [protein.sequence for protein in read_fasta(fasta)]
    hits = homology_engine(engine).hits(sequences, sequences, COVERAGE, threads)
    np.savez(output, query=hits.query, target=hits.target, identity=hits.identity)


def agreement(one: Hits, other: Hits, level: float) -> dict[str, float]:
    """Pairs above a level of identity in either, and the identities where both have them."""
    tables = [
        {(q, t): i for q, t, i in zip(*(column.tolist() for column in hits), strict=True) if q != t}
        for hits in (one, other)
    ]
    above = [{pair for pair, identity in table.items() if identity > level} for table in tables]
    both = above[0] & above[1]
    apart = [abs(tables[0][pair] - tables[1][pair]) for pair in both] or [0.0]
    return {
        "above": level,
        "either": len(above[0] | above[1]),
        "both": len(both),
        "first_only": len(above[0] - above[1]),
        "second_only": len(above[1] - above[0]),
        "mean_difference": round(float(np.mean(apart)), 4),
        "largest_difference": round(float(np.max(apart)), 4),
    }


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fasta", required=True)
    parser.add_argument("--output", required=True)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--engine", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.engine:
        search(arguments.fasta, arguments.engine, arguments.threads, Path(arguments.output))
        return
    n = len(read_fasta(arguments.fasta))
    costs, hits, clusters = dict[str, Any](), list[Hits](), dict[str, Any]()
    for engine in ENGINES[1:]:
        with tempfile.TemporaryDirectory() as scratch:
            file = Path(scratch) / "hits.npz"
            options = ["--fasta", arguments.fasta, "--engine", engine, "--output", str(file)]
            command = [sys.executable, __file__, *options, "--threads", str(arguments.threads)]
            costs[engine] = {"version": homology_engine(engine).version, **measured(command, Path.cwd())}
            arrays = np.load(file)
            hits.append(Hits(arrays["query"], arrays["target"], arrays["identity"]))
        sizes = np.bincount(clusters_of_hits(hits[-1], n, 0.4))
        clusters[engine] = {"clusters": len(sizes), "largest": int(sizes.max())}
    result = {
        **where_and_when(),
        "sequences": n,
        "threads": arguments.threads,
        "coverage": COVERAGE,
        "engines": costs,
        "agreement": [agreement(*hits, level) for level in LEVELS],
        "clusters": clusters,
    }
    Path(arguments.output).write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
