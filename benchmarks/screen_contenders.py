"""One contender of the screening benchmark, in a process of its own (started by ``screen.py``).

    python benchmarks/screen_contenders.py SCRATCH NETWORK CONTENDER SECONDS THREADS

Scores pairs of the proteins of SCRATCH, in the order in which a screen takes them, until SECONDS are over after
the first batch, which is not counted; writes pairs, seconds, memory before and at most (MB), and the logits of the
first block as SCRATCH/NETWORK-CONTENDER.npy.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np

TILE = 256
FLOPS_OF = 16


def memory() -> dict[str, float]:
    """Resident memory now and at most in MB; of this program alone, unlike ``ru_maxrss``."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return {line.split(":")[0]: int(line.split()[1]) / 1024 for line in lines if line.startswith(("VmRSS", "VmHWM"))}


def the_store(scratch: Path) -> Path:
    """The only one."""
    return next((scratch / "features").iterdir())


def by_predict(scratch: Path, network: str) -> Iterator[tuple[int, np.ndarray]]:
    """The path of ``esm2-amp predict``: rows in, probabilities out; 256 rows at once, its default."""
    from esm2_amp.features.store import FeatureStore
    from esm2_amp.io.fasta import read_fasta
    from esm2_amp.models.predictor import TrainedModel
    from esm2_amp.records import Pair

    model, store = TrainedModel(scratch / network), FeatureStore(the_store(scratch))
    proteins = read_fasta(scratch / "proteins.fasta")
    names = [line[1:] for line in (scratch / "proteins.fasta").read_text().splitlines()[::2]]
    rows = (Pair(a, b, None, 0) for a, b in product(names, names))
    found: list[float] = []
    for row in model.score_rows(rows, proteins, store, 256):
        found.append(float(np.log(row.probability / (1 - row.probability))))
        if len(found) == 256:
            yield len(found), np.array(found)
            found = []


def by_scorer(scratch: Path, network: str, precision: str, compiled: bool) -> Iterator[tuple[int, np.ndarray]]:
    """Ours: tiles of the matrix of all pairs, both sides prepared for each, as the engine does at worst."""
    import torch

    from esm2_amp.features.store import FeatureStore
    from esm2_amp.models.checkpoint import load_card, load_network
    from esm2_amp.screening.scorer import of_block
    from esm2_amp.screening.scorers import scorer_for

    store, folder = FeatureStore(the_store(scratch)), scratch / network
    trained = load_network(folder, load_card(folder))
    scorer = scorer_for(trained, torch.device("cpu"), precision, compiled)

    def side(start: int, count: int) -> tuple[torch.Tensor, ...]:
        rows = np.arange(start, start + count)
        return scorer.prepare(torch.from_numpy(store.gather(rows, trained.layout.stored)).float())

    def block(row: int, high: int, column: int, wide: int) -> tuple[int, np.ndarray]:
        logits = of_block(scorer, side(row, high), side(column, wide)).numpy()
        return logits.size, logits[0]

    with torch.inference_mode():
        yield block(0, 1, 0, 256)
        high = max(1, min(TILE, 16 * scorer.chunk // TILE))  # a tile of a slow network must not take the whole time
        for row, column in product(range(0, len(store) - high + 1, high), range(0, len(store) - TILE + 1, TILE)):
            yield block(row, high, column, TILE)


def operations(scratch: Path, network: str) -> float:
    """Floating-point operations a pair, of our scorer."""
    import torch

    from esm2_amp.models.checkpoint import load_card, load_network
    from esm2_amp.screening.scorer_cost import flops_per_pair
    from esm2_amp.screening.scorers import scorer_for

    trained = load_network(scratch / network, load_card(scratch / network))
    x = torch.randn(FLOPS_OF, len(trained.layout), trained.width)
    return flops_per_pair(scorer_for(trained, torch.device("cpu"), "float32", compiled=False), x, x)


def main(scratch: Path, network: str, contender: str, seconds: float, threads: int) -> None:
    """Measure and print."""
    import torch

    torch.set_num_threads(threads)
    if contender == "predict":
        batches = by_predict(scratch, network)
    else:
        precision, _, compiled = contender.partition("-")
        batches = by_scorer(scratch, network, precision, bool(compiled))
    _, logits = next(batches)
    np.save(scratch / f"{network}-{contender}.npy", logits)
    before, pairs, began, worked = memory()["VmRSS"], 0, time.monotonic(), time.process_time()
    for count, _ in batches:
        pairs += count
        if time.monotonic() - began > seconds:
            break
    took, worked = time.monotonic() - began, time.process_time() - worked
    result = {
        "pairs_per_second": round(pairs / took, 1), "pairs_per_cpu_second": round(pairs / worked, 1),
        "mb_ready": round(before), "mb_peak": round(memory()["VmHWM"]),
    }  # fmt: skip
    if contender == "float32":
        result["megaflops_per_pair"] = round(operations(scratch, network) / 1e6, 3)
    print(json.dumps(result))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3], float(sys.argv[4]), int(sys.argv[5]))
