"""Do the segments that the published tool ranks highest lie in annotated regions more than others of the same pairs?

    python benchmarks/regions.py --segments true_positive_segments.tsv --annotations uniprot_features.tsv \
        --output benchmarks/results/regions.json

The segments are those of 1,109 true positives; the table holds the coverage that the tool's own data gives, which is
compared with ours. Differences are in percentage points, with intervals from resampling proteins; see
esm2_amp/explain/region_comparison.py. ``seconds`` is what reading and covering take, and what comparing takes.
"""

from __future__ import annotations

import argparse
import csv
import json
import time
from pathlib import Path
from typing import Any

from machine import where_and_when

from esm2_amp.evaluation.intervals import Resampling
from esm2_amp.explain.coverage import ANY, Coverage, cover
from esm2_amp.explain.ranked_pairs import pair_up
from esm2_amp.explain.region_comparison import Permutations, compare
from esm2_amp.explain.region_kinds import choose_kinds
from esm2_amp.io.atomic import write_json
from esm2_amp.io.regions import read_annotations
from esm2_amp.io.segments import RankedSegment, read_segments

RESAMPLES = DRAWS = 2000


def equal_rows(table: Path, rows: list[RankedSegment], coverage: Coverage) -> int:
    """How many rows of the table have our coverage to the last of their four decimals."""
    percent, equal = coverage.percent, 0
    with table.open(newline="") as stream:
        for given, row in zip(csv.DictReader(stream, delimiter="\t"), rows, strict=True):
            ours = percent[coverage.row[row.protein], row.segment]
            equal += all(
                given[name] == repr(round(float(value), 4)) for name, value in zip(coverage.columns, ours, strict=True)
            )
    return equal


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("segments", "annotations", "output"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    options = parser.parse_args()
    began = time.monotonic()
    rows = read_segments(options.segments, None)
    names = {name: None for row in rows for name in (row.protein_a, row.protein_b)}
    annotations = read_annotations([options.annotations], names)
    lengths = {name: annotations.lengths[name] for name in names}
    annotations = annotations.within(lengths)
    coverage = cover(lengths, annotations.regions, choose_kinds(annotations.kinds(), []))
    pairs = pair_up(rows, coverage)
    covered = time.monotonic()
    found = compare(pairs, coverage.columns, Resampling(RESAMPLES, 0, 0.95), Permutations(DRAWS, 0))
    seconds = {"reading and covering": covered - began, "comparing": time.monotonic() - covered}
    results: dict[str, Any] = {
        **where_and_when(),
        "pairs": len(pairs),
        "proteins": len(lengths),
        "rows": len(rows),
        "rows equal to the last digit": equal_rows(options.segments, rows, coverage),
        "seconds": {name: round(value, 1) for name, value in seconds.items()},
        "compared": [
            {
                key: round(value, 4) if isinstance(value, float) else value
                for key, value in (row._asdict() | {"interval": [round(end, 2) for end in row.interval or ()]}).items()
                if value is not None
            }
            for row in found
            if row.measure == "coverage" or (row.column == ANY and row.measure.startswith("any"))
        ],
    }
    write_json(options.output, results)
    print(json.dumps({key: value for key, value in results.items() if key != "compared"}, indent=2))


if __name__ == "__main__":
    main()
