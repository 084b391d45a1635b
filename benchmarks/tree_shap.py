"""Tree SHAP of a random forest: the kernel of esm2_amp.explain.tree_shap against shap's TreeExplainer, in one run.

    OMP_NUM_THREADS=1 python benchmarks/tree_shap.py

A forest of 300 trees learns 2,000 random vectors of 3,000 numbers (10 tokens of two proteins, 150 numbers each), the
label being the sign of a noisy sum of 60 of them, once to a depth of 12 and once to the end; 200 further vectors are
explained by both (tree_path_dependent). Times are CPU seconds of this process, one thread each, the median of the
repetitions, which alternate. The kernel's compilation, once a process, and the building of its paths, which the
kernel's seconds include, are given apart. The mark is a ratio of 10 and values that differ by less than 1e-9.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from machine import where_and_when
from sklearn.ensemble import RandomForestClassifier

from esm2_amp.explain.forest import Forest, from_classifier
from esm2_amp.explain.tree_shap import tree_paths, tree_shap, tree_shap_by_shap
from esm2_amp.io.atomic import write_json

ROOT = Path(__file__).parent.parent
FEATURES, INFORMATIVE = 3000, 60


def grow(rng: np.random.Generator, trees: int, rows: int, depth: int | None) -> tuple[Forest, float]:
    """A forest on random rows, and its accuracy on as many others."""
    x = rng.normal(size=(2 * rows, FEATURES)).astype(np.float32)
    signal = x[:, :INFORMATIVE].sum(1)
    label = (signal + rng.normal(scale=signal.std() / 2, size=len(x)) > 0).astype(np.int8)
    classifier = RandomForestClassifier(trees, max_depth=depth, random_state=0, n_jobs=1)
    classifier.fit(x[:rows], label[:rows])
    return from_classifier(classifier), float(classifier.score(x[rows:], label[rows:]))


def seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    """CPU seconds of a call, and what it gives."""
    began = time.process_time()
    result = work()
    return time.process_time() - began, result


def compare(forest: Forest, x: np.ndarray, repetitions: int) -> dict[str, Any]:
    """Both ways on the same rows, in turns."""
    took: dict[str, list[float]] = {"kernel": [], "shap": [], "paths": []}
    for _ in range(repetitions):
        spent, (ours, expected) = seconds(lambda: tree_shap(forest, x))
        took["kernel"].append(spent)
        spent, (theirs, their_expected) = seconds(lambda: tree_shap_by_shap(forest, x))
        took["shap"].append(spent)
        took["paths"].append(seconds(lambda: [tree_paths(forest, number) for number in range(len(forest))])[0])
    probability = forest.predict(x)
    cpu = {name: float(np.median(values)) for name, values in took.items()}
    return {
        "nodes": len(forest.left),
        "kernel_cpu_seconds": round(cpu["kernel"], 3),
        "of_which_paths": round(cpu["paths"], 3),
        "shap_cpu_seconds": round(cpu["shap"], 3),
        "ratio": round(cpu["shap"] / cpu["kernel"], 1),
        "largest_difference": float(np.abs(ours - theirs).max()),
        "difference_of_expected_values": abs(expected - their_expected),
        "kernel_additivity_error": float(np.abs(ours.sum(1) + expected - probability).max()),
        "shap_additivity_error": float(np.abs(theirs.sum(1) + their_expected - probability).max()),
    }


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trees", type=int, default=300)
    parser.add_argument("--rows", type=int, default=2000, help="that the forest learns")
    parser.add_argument("--explained", type=int, default=200, help="rows")
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--output", default=str(ROOT / "benchmarks" / "results" / "tree_shap.json"), help="JSON file")
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    x = rng.normal(size=(arguments.explained, FEATURES)).astype(np.float32)
    small, _ = grow(rng, 1, 50, 2)
    first, again = (seconds(lambda: tree_shap(small, x[:1]))[0] for _ in range(2))
    tree_shap_by_shap(small, x[:1])  # imports shap
    result: dict[str, Any] = {
        **where_and_when(),
        "versions": {name: version(name) for name in ("numba", "numpy", "scikit-learn", "shap")},
        "trees": arguments.trees, "features": FEATURES, "rows": arguments.rows, "explained": arguments.explained,
        "compilation_cpu_seconds": round(first - again, 2),
    }  # fmt: skip
    for name, depth in (("depth 12", 12), ("unlimited depth", None)):
        forest, accuracy = grow(rng, arguments.trees, arguments.rows, depth)
        result[name] = {"accuracy": round(accuracy, 3), **compare(forest, x, arguments.repetitions)}
        print(name, result[name], flush=True)
    write_json(arguments.output, result)


if __name__ == "__main__":
    main()
