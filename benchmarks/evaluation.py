"""What the numbers of a large evaluation cost: does time grow with the resamples only, and does memory stay flat?

    python benchmarks/evaluation.py
    python benchmarks/evaluation.py --pairs 1000000 --proteins 10000 --output somewhere.json

Random pairs of random proteins (by default as many as Bernett's training set has), a noisy model and five noisy
baselines, one of them with many ties; classes C1, C2 and C3 by protein and by cluster. Each row is one process that
calls ``esm2_amp.evaluation.summary.summarise`` once, on one core, and ends: its wall and CPU seconds and its peak
memory, those of the imports included.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import numpy as np
from machine import measured, where_and_when

from esm2_amp.evaluation.intervals import Resampling
from esm2_amp.evaluation.summary import summarise
from esm2_amp.io.atomic import write_json

ROOT = Path(__file__).parent.parent
BASELINES = ("degree", "ratio", "oracle", "additive", "nearest")


def summarise_random(n: int, proteins: int, resamples: int) -> None:
    """Measure ``n`` random pairs once; without resamples no intervals are drawn."""
    rng = np.random.default_rng(0)
    a, b = rng.integers(proteins, size=(2, n))
    label = rng.integers(0, 2, n)
    probability = 1 / (1 + np.exp(-(label - 0.5 + rng.normal(0, 1, n))))
    baselines = {name: 0.1 * label + rng.normal(size=n) for name in BASELINES}
    baselines["degree"] = np.round(baselines["degree"], 1)
    groups = {family: rng.choice(["C1", "C2", "C3"], n) for family in ("protein", "cluster")}
    resampling = Resampling(resamples, 0, 0.95) if resamples else None
    summarise(a, b, label, probability, groups, 0.5, baselines, n_proteins=proteins, resampling=resampling)


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=163_192)
    parser.add_argument("--proteins", type=int, default=4_286)
    parser.add_argument("--resamples", type=int, nargs="+", default=[0, 100, 1000])
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results" / "evaluation.json")
    parser.add_argument("--once", action="store_true", help="only measure, in this process, with the first --resamples")
    given = parser.parse_args()
    if given.once:
        summarise_random(given.pairs, given.proteins, given.resamples[0])
        return
    os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    rows = []
    for resamples in given.resamples:
        sizes = ("--pairs", str(given.pairs), "--proteins", str(given.proteins), "--resamples", str(resamples))
        cost = measured([sys.executable, str(Path(__file__).resolve()), "--once", *sizes], ROOT)
        rows.append({"resamples": resamples, **cost})
        print(rows[-1], flush=True)
    sets = {"pairs": given.pairs, "proteins": given.proteins, "baselines": len(BASELINES), "sets": 7}
    write_json(given.output, {**where_and_when(), **sets, "rows": rows})


if __name__ == "__main__":
    main()
