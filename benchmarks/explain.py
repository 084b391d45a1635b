"""What explaining many pairs with every method costs: time, and memory, which must not grow with the pairs.

    python benchmarks/explain.py
    python benchmarks/explain.py --pairs 250 1000 --output somewhere.json

The shipped AMPS on the first pairs of the demo's three test files, all methods, faithfulness on 100 pairs, 20 pages
without figures, through ``esm2-amp explain`` as users run it. The first run computes the features and teaches the
surrogates, the others find them. Each row is one process. The measures of faithfulness of the last are kept.
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
import tempfile
from pathlib import Path

from machine import measured, where_and_when

from esm2_amp.io.atomic import write_json

ROOT = Path(__file__).parent.parent
DEMO = ROOT / "datasets" / "demo"
TESTS = ("test_c1.tsv", "test_c2.tsv", "test_c3.tsv")


def pairs_file(folder: Path, count: int) -> Path:
    """The first ``count`` test pairs, classes mixed."""
    listed = [(DEMO / name).read_text().splitlines() for name in TESTS]
    rows = [line for lines in zip(*(lines[1:] for lines in listed), strict=True) for line in lines]
    file = folder / f"pairs{count}.tsv"
    file.write_text("\n".join([listed[0][0], *rows[:count]]) + "\n")
    return file


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, nargs="+", default=[250, 1000])
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results" / "explain.json")
    given = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(given.threads)
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        command = [sys.executable, "-m", "esm2_amp", "explain", "figures=false"]
        first = measured([*command, f"pairs={pairs_file(folder, 10)}", "output=first"], folder)
        rows.append({"pairs": 10, "what": "features and surrogates too", **first})
        for count in given.pairs:
            cost = measured([*command, f"pairs={pairs_file(folder, count)}", f"output=out{count}"], folder)
            rows.append({"pairs": count, "what": "all methods, faithfulness, pages", **cost})
            print(rows[-1], flush=True)
        with (folder / f"out{given.pairs[-1]}" / "faithfulness.tsv").open(newline="") as stream:
            measures = list(csv.DictReader(stream, delimiter="\t"))
    write_json(given.output, {**where_and_when(), "threads": given.threads, "rows": rows, "faithfulness": measures})


if __name__ == "__main__":
    main()
