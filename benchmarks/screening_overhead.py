"""What a screening costs beside its scoring: CPU microseconds a pair, with logits that are only drawn.

OMP_NUM_THREADS=1 python benchmarks/screening_overhead.py [proteins [way to keep pairs]]

Memory is beyond what the process has once torch is imported, and only that of the first way: a peak stays.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from machine import where_and_when
from torch import Tensor

from esm2_amp.evaluation.calibration import Calibration
from esm2_amp.screening.engine import screen
from esm2_amp.screening.finish import finish
from esm2_amp.screening.grid import Grid
from esm2_amp.screening.keep import Keep
from esm2_amp.screening.parts import open_parts
from esm2_amp.screening.scorer import Prepared, Scorer

EDGE, SECONDS = 512, 20.0
KEEPS = {"top 50": Keep(None, 50), "probability 0.9": Keep(0.9, None), "everything": Keep(None, None)}
CALIBRATION = Calibration("platt", 1.1, -0.5)


class Drawn(Scorer):
    """Logits of a fixed table: what both proteins add, and noise. Scoring costs next to nothing."""

    def __init__(self) -> None:
        self.device = torch.device("cpu")
        self.chunk = EDGE * EDGE
        self._noise = torch.randn(EDGE, EDGE, generator=torch.Generator().manual_seed(0))
        self.seconds = 0.0

    def prepare(self, tokens: Tensor) -> Prepared:
        """The first number of each protein."""
        return (tokens[:, 0, 0],)

    def logits(self, a: Prepared, b: Prepared) -> Tensor:
        """Their sum, and noise by place."""
        began = time.process_time()
        logits = a[0] + b[0]
        noise = self._noise.flatten()
        logits = logits + (noise.repeat(logits.numel() // len(noise) + 1)[: logits.numel()].view(logits.shape))
        self.seconds += time.process_time() - began
        return logits


def measure(n: int, keep: Keep, folder: Path) -> dict[str, float]:
    """CPU microseconds a pair of the run and of joining its parts, and bytes a pair of both."""
    work, table = Grid(n, n, 0, EDGE, False), torch.randn(n, 1, 1, generator=torch.Generator().manual_seed(1))
    ids = [f"P{number:05d}" for number in range(n)]
    parts = open_parts(folder / "parts", ids, {}, lambda: (-6.0, 6.0), SECONDS)
    scorer, began = Drawn(), time.process_time()
    screen(
        work, lambda numbers: table[torch.from_numpy(numbers)], scorer, keep, CALIBRATION.apply, parts,
        share=(0, 1), advance=lambda pairs: None, check=lambda: None,
    )  # fmt: skip
    scored = time.process_time()
    summary = finish(
        parts, len(work), keep, lambda x: CALIBRATION.apply(x - np.float32(4.6)), None, folder / "pairs.parquet"
    )
    ended = time.process_time()
    on_disk = sum(file.stat().st_size for file in (folder / "parts").rglob("*") if file.is_file())
    return {
        "pairs": work.pairs,
        "kept": summary.pairs,
        "run_us_a_pair": round(1e6 * (scored - began - scorer.seconds) / work.pairs, 4),
        "finish_us_a_pair": round(1e6 * (ended - scored) / work.pairs, 4),
        "parts_mb": round(on_disk / 1e6, 1),
        "result_mb": round((folder / "pairs.parquet").stat().st_size / 1e6, 1),
    }


def main() -> None:
    """Measure each way to keep pairs, or one."""
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 5000
    ways = sys.argv[2:] or list(KEEPS)
    found: dict[str, object] = {**where_and_when(), "proteins": n, "edge": EDGE}
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for name in ways:
        with tempfile.TemporaryDirectory() as folder:
            found[name] = measure(n, KEEPS[name], Path(folder))
        found.setdefault("peak_mb", round((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024))
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
