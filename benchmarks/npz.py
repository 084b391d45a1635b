"""Reading .npz shards of one float16 vector for each key: ours by offset against ``numpy.load`` key by key.

    python benchmarks/npz.py --output benchmarks/results/npz.json

Writes 20,000 vectors of 2,560 dimensions, stored and deflated, into a temporary folder, under keys as the ESM
Metagenomic Atlas has them. The files are read once before (so they lie in memory); each way then reads all vectors
(``numpy.load`` a part of them, from the middle) in this one process and thread, ``--repeats`` times in turn, and the
least processor time counts. Both results are compared bit by bit.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from machine import where_and_when

from esm2_amp.neighbours.readers.npz import NpzSource
from esm2_amp.neighbours.readers.zip_directory import count_entries, read_directory


def make(folder: Path, count: int, dim: int) -> dict[str, Path]:
    """One archive stored and one deflated."""
    generator = np.random.default_rng(0)
    vectors = (generator.normal(size=(count, dim)) * generator.lognormal(-3, 0.5, dim)).astype(np.float16)
    numbers = generator.choice(10**12, count, replace=False)
    arrays = {
        f"/scratch/x/{i % 1000}/MGYP{n:012d}": row for i, (n, row) in enumerate(zip(numbers, vectors, strict=True))
    }
    files = {"stored": folder / "stored.npz", "deflated": folder / "deflated.npz"}
    np.savez(files["stored"], **arrays)
    np.savez_compressed(files["deflated"], **arrays)
    return files


def cost(work: Callable[[], object], repeats: int) -> float:
    """Least processor seconds."""
    seconds = []
    for _ in range(repeats):
        began = time.process_time()
        work()
        seconds.append(time.process_time() - began)
    return min(seconds)


def with_numpy(file: Path, keys: list[str]) -> np.ndarray:
    """Some vectors, key by key from one open archive."""
    with np.load(file, allow_pickle=False) as archive:
        return np.stack([archive[key] for key in keys])


def with_ours(file: Path) -> list[np.ndarray]:
    """All ids and all vectors."""
    source = NpzSource(file.name, [file])
    assert sum(map(len, source.ids())) == source.count
    return list(source.blocks(0))


def measure(file: Path, part: int, repeats: int) -> dict[str, object]:
    """Microseconds a vector, milliseconds to count, and whether the bits agree."""
    count, whole = count_entries(file), np.concatenate(with_ours(file))
    middle = slice(count // 2 - part // 2, count // 2 + part // 2)
    with np.load(file, allow_pickle=False) as archive:
        opening = cost(lambda: np.load(file, allow_pickle=False).close(), repeats)
        keys = archive.files[middle]
    same = with_numpy(file, keys).tobytes() == whole[middle].tobytes()
    ours = cost(lambda: with_ours(file), repeats) / count
    # opening parses the directory of all entries: its share is that of the part
    numpys = (cost(lambda: with_numpy(file, keys), repeats) - opening) / len(keys) + opening / count
    counting = (
        cost(lambda: len(np.load(file, allow_pickle=False).files), repeats),
        cost(lambda: count_entries(file), 20),
    )
    return {
        "file MB": round(file.stat().st_size / 1e6, 1),
        "bits agree": same,
        "numpy.load, us a vector": round(numpys * 1e6, 1),
        "ours, ids and vectors, us a vector": round(ours * 1e6, 2),
        "ours, directory alone, us a vector": round(cost(lambda: read_directory(file), repeats) / count * 1e6, 2),
        "times as fast": round(numpys / ours, 1),
        "counting with numpy.load, ms": round(counting[0] * 1e3, 1),
        "counting with ours, ms": round(counting[1] * 1e3, 3),
    }


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--dim", type=int, default=2560)
    parser.add_argument("--part", type=int, default=4_000, help="vectors that numpy.load reads")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--output", required=True, help="JSON file to write")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        files = make(Path(folder), arguments.count, arguments.dim)
        results = {kind: measure(file, arguments.part, arguments.repeats) for kind, file in files.items()}
    said = {"numpy": np.__version__, "vectors": arguments.count, "dimensions": arguments.dim, "threads": 1}
    result = {**where_and_when(), **said, **results}
    Path(arguments.output).write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
