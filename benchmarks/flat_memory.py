"""Does extraction need the same memory after 100,000 proteins as after 5,000? Measured from outside, as users run it.

    python benchmarks/flat_memory.py
    python benchmarks/flat_memory.py --encoder FOLDER --proteins 2000 --output somewhere.json

Proteins are independent draws: lengths log-normal with median 300 and a standard deviation of the logarithm of 0.65
(Swiss-Prot's are close to that), drawn again outside 30 to 2,000; residues with Swiss-Prot's frequencies. They are
extracted by ``esm2-amp extract`` with features.threads=1; every second the process is asked for its resident memory
(``VmRSS``; of that ``RssAnon`` is its own, the rest are libraries and files that the system may drop) and the store for
its rows. Batches go from the longest protein to the shortest, so what grows does so in spite of smaller tensors.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from machine import where_and_when

from esm2_amp.errors import InputError
from esm2_amp.features.store import FeatureStore
from esm2_amp.features.store_manifest import read_manifest
from esm2_amp.io.atomic import atomic_text, write_json
from esm2_amp.records import STANDARD_RESIDUES
from esm2_amp.sources.divergence import BACKGROUND

ROOT = Path(__file__).parent.parent
MEDIAN, SPREAD, SHORTEST, LONGEST = 300, 0.65, 30, 2000
SHARES = (0.05, 0.25, 0.5, 0.75, 1.0)
KEPT = 200


@dataclass(frozen=True)
class Sample:
    """What was seen at a moment: seconds since the start, rows committed, resident and own memory in MiB."""

    seconds: float
    rows: int
    resident: float
    own: float


def draw_lengths(rng: np.random.Generator, count: int) -> np.ndarray:
    """Lengths of ``count`` proteins."""
    lengths = np.empty(0, np.int64)
    while len(lengths) < count:
        drawn = np.rint(np.exp(rng.normal(np.log(MEDIAN), SPREAD, count))).astype(np.int64)
        lengths = np.concatenate([lengths, drawn[(drawn >= SHORTEST) & (drawn <= LONGEST)]])
    return lengths[:count]


def write_proteins(file: Path, count: int, seed: int) -> int:
    """A FASTA file of random proteins; returns how many residues."""
    rng = np.random.default_rng(seed)
    letters = np.frombuffer("".join(STANDARD_RESIDUES).encode(), np.uint8)
    lengths = draw_lengths(rng, count)
    with atomic_text(file) as stream:
        for number, length in enumerate(lengths):
            sequence = letters[rng.choice(len(letters), length, p=BACKGROUND)].tobytes().decode()
            stream.write(f">S{number:06d}\n{sequence}\n")
    return int(lengths.sum())


def look(process: int, store: Path, began: float) -> Sample | None:
    """A sample, or None before the store is there or after the process is gone."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
        rows = read_manifest(store).rows
    except (OSError, InputError):
        return None
    sizes = {
        name: int(value.split()[0]) / 1024
        for name, _, value in (line.partition(":") for line in lines)
        if "kB" in value
    }
    if "VmRSS" not in sizes:
        return None
    return Sample(time.monotonic() - began, rows, sizes["VmRSS"], sizes["RssAnon"])


def watch(process: subprocess.Popen[bytes], store: Path, every: float) -> list[Sample]:
    """Samples until the process ends."""
    samples: list[Sample] = []
    began = time.monotonic()
    while process.poll() is None:
        sample = look(process.pid, store, began)
        if sample is not None:
            samples.append(sample)
        time.sleep(every)
    return samples


def after(samples: list[Sample], rows: int) -> Sample:
    """The first sample with so many rows, or the last one."""
    return next((sample for sample in samples if sample.rows >= rows), samples[-1])


def summary(samples: list[Sample], store: FeatureStore, residues: int) -> dict[str, Any]:
    """Memory over the rows, speed from the first row to the last, bytes of the store."""
    working = [sample for sample in samples if sample.rows]
    share = 1 - working[0].rows / len(store)
    tokens = sum(size for file, size in store.files().items() if file.name.startswith("shard-"))
    others = {name: (store.data / name).stat().st_size for name in ("index.bin", "ids.tsv")}
    others["manifest.json"] = (store.folder / "manifest.json").stat().st_size
    marks = {f"{share:.0%}": after(working, round(share * len(store))) for share in SHARES}
    return {
        "peak_mib": round(max(sample.resident for sample in samples), 1),
        "resident_mib_after": {name: round(sample.resident, 1) for name, sample in marks.items()},
        "own_mib_after": {name: round(sample.own, 1) for name, sample in marks.items()},
        "residues_per_second": round(share * residues / (working[-1].seconds - working[0].seconds)),
        "bytes": {"tokens": tokens, **others},
        "overhead_percent": round(100 * sum(others.values()) / tokens, 2),
        "overhead_bytes_per_protein": round(sum(others.values()) / len(store), 1),
    }


def extract(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Run the command and measure it."""
    residues = write_proteins(folder / "proteins.fasta", arguments.proteins, arguments.seed)
    store = folder / "store"
    command = [sys.executable, "-m", "esm2_amp", "extract", f"fasta={folder / 'proteins.fasta'}", f"store={store}"]
    command += [f"encoder.path={arguments.encoder}", "features.device=cpu", f"features.threads={arguments.threads}"]
    # from one batch to the next the threads of the workers are the only ones
    process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"})
    samples = watch(process, store, arguments.every)
    if process.returncode:
        sys.exit(f"{' '.join(command)} ended with {process.returncode}")
    opened = FeatureStore(store)
    step = max(1, len(samples) // KEPT)
    return {
        **where_and_when(),
        "versions": {name: version(name) for name in ("torch", "transformers", "numpy")},
        "encoder": {**asdict(opened.encoder)},
        "threads": arguments.threads,
        "seed": arguments.seed,
        "proteins": len(opened),
        "residues": residues,
        **summary(samples, opened, residues),
        "samples": [[round(s.seconds), s.rows, round(s.resident, 1), round(s.own, 1)] for s in samples[::step]],
        "columns": ["seconds", "rows", "resident_mib", "own_mib"],
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--encoder", default=str(ROOT / "checkpoints" / "encoder_small"), help="folder of the encoder")
    parser.add_argument("--proteins", type=int, default=100_000, help="how many")
    parser.add_argument("--threads", type=int, default=1, help="features.threads")
    parser.add_argument("--seed", type=int, default=0, help="of the proteins")
    parser.add_argument("--every", type=float, default=1.0, help="seconds between two looks")
    parser.add_argument("--output", default=str(ROOT / "benchmarks" / "results" / "flat_memory.json"), help="JSON file")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = extract(arguments, Path(folder))
    write_json(arguments.output, result)
    print({name: value for name, value in result.items() if name != "samples"})


if __name__ == "__main__":
    main()
