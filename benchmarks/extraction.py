"""Extraction side by side in one run: ESM2-AMP, other packages and plain transformers, on one thread of the CPU.

    make bench-extraction ARGS="--encoder FOLDER --fasta FILE"
    python benchmarks/extraction.py --quick

Same weights, same proteins for all. Every contender runs in a process of its own, and all of them take turns, as often
as ``--repeats`` says; the fastest turn counts, since whatever else the machine does can only slow a turn down. The
clock starts when the model is loaded and has seen two short proteins, and stops when the features of all proteins
are where the contender leaves them (see the page). A package that is not installed is listed as such, one that ends
with an error with its message. ``--quick`` shows in about a minute that everything works, and writes no result.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from extraction_measures import EncoderShape, Floats, errors, operations, products
from machine import where_and_when

from esm2_amp.io.fasta import read_fasta
from esm2_amp.records import Protein

ROOT = Path(__file__).parent.parent
WORKER = Path(__file__).with_name("extraction_contenders.py")
RESULT = ROOT / "benchmarks" / "results" / "extraction.json"
THREADS = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "ESM_NUM_THREADS"), "1")
PACKAGES = (
    "torch", "transformers", "numpy", "protloc-mex-x", "fair-esm", "esm-cpp", "esm-efficient",
)  # fmt: skip


@dataclass(frozen=True)
class Contender:
    """Who runs: the module it needs, where its features end up, and what it is compared with.

    ``every``: measured on each so-manieth protein only, because it would take too long. ``float32``: computes in
    float32 and gives features, so it may be the best peer.
    """

    module: str
    features: str
    float32: bool = True
    every: int = 1
    environment: dict[str, str] = field(default_factory=dict)


_CPP = "array in memory"
CONTENDERS = {
    "ours, float32": Contender("esm2_amp", "store on disk"),
    "ours, bfloat16": Contender("esm2_amp", "store on disk", float32=False),
    "ours, float16": Contender("esm2_amp", "store on disk", float32=False, every=8),
    "protloc-mex-x, batches of 32": Contender("protloc_mex_X", "table in memory"),
    "fair-esm, extract.py recipe": Contender("esm", "a .pt file each"),
    "transformers, batches of 32": Contender("transformers", "array in memory"),
    "transformers, sorted, batches of 32": Contender("transformers", "array in memory"),
    "transformers, one by one": Contender("transformers", "array in memory"),
    "esm-cpp, one by one": Contender("esm_cpp", _CPP),
    "esm-cpp, one by one, AVX2 kernels": Contender("esm_cpp", _CPP, every=16, environment={"ESM_FORCE_ISA": "avx2"}),
    "esm-cpp, packed, logits only": Contender("esm_cpp", "none", float32=False),
    "esm-cpp, one by one, int8": Contender("esm_cpp", _CPP, float32=False),
    "esm-efficient": Contender("esme", "none"),
}
FIRST, PUBLISHED = "ours, float32", "protloc-mex-x, batches of 32"
BARE = {precision: Contender("torch", "none") for precision in ("float32", "bfloat16")}


def sample(fasta: str, count: int, cap: int, seed: int) -> list[Protein]:
    """``count`` proteins of distinct sequence and at most ``cap`` residues, drawn with equal chances, in random order.

    They are renamed p0, p1, ..., since one contender makes file names of the ids.
    """
    distinct = {p.key: p for p in read_fasta(fasta) if len(p.sequence) <= cap}
    pool = [distinct[key] for key in sorted(distinct)]
    chosen = np.random.default_rng(seed).permutation(len(pool))[:count]
    return [Protein(f"p{number}", pool[i].sequence) for number, i in enumerate(chosen)]


def turn(scratch: Path, name: str, contender: Contender) -> tuple[dict[str, Any], Floats | None]:
    """One process; its measurements (or its error) and features."""
    if importlib.util.find_spec(contender.module) is None:
        return {"status": "not installed"}, None
    measured, features = scratch / "measured.json", scratch / "features.npy"
    for file in (measured, features):
        file.unlink(missing_ok=True)
    command = [sys.executable, str(WORKER), str(scratch), name, str(contender.every)]
    log = scratch / "stderr.txt"
    with log.open("w") as stream:
        environment = {**os.environ, **THREADS, "TQDM_DISABLE": "1", **contender.environment}
        process = subprocess.Popen(command, env=environment, stderr=stream, stdout=subprocess.DEVNULL, cwd=ROOT)
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode or not measured.exists():
        lines = log.read_text(errors="replace").strip().splitlines() or [f"exit status {process.returncode}"]
        return {"status": "does not run", "error": lines[-1]}, None
    result = {"status": "measured", **json.loads(measured.read_text()), "peak_mb": usage.ru_maxrss / 1024}
    return result, np.load(features) if features.exists() else None


def take_turns(scratch: Path, names: Sequence[str], repeats: int, exact: Floats) -> dict[str, dict[str, Any]]:
    """Every contender ``repeats`` times, interleaved; what is compared is compared in the first turn."""
    rows: dict[str, dict[str, Any]] = {}
    for repeat in range(repeats):
        for name in names:
            if repeat and rows[name]["status"] != "measured":
                continue
            contender = CONTENDERS.get(name) or BARE[name.removeprefix("bare products, ")]
            result, features = turn(scratch, name, contender)
            print(f"turn {repeat + 1}: {name}: {result.get('error') or result.get('seconds') or result['status']}")
            row = rows.setdefault(
                name, {"status": "measured", "features": contender.features, "every": contender.every}
            )
            if result["status"] != "measured":
                row |= result
                continue
            for key in ("seconds", "cpu_seconds", "load_seconds", "loaded_mb", "peak_mb"):
                row.setdefault(key, []).append(round(result[key], 4))
            if features is not None and not repeat:
                row |= compared(features, exact[:: contender.every])
    return rows


def compared(features: Floats, exact: Floats) -> dict[str, Any]:
    """Errors of the mean token, and of all 13 where the contender gives them."""
    found = {"mean": errors(features[:, -1:], exact[:, -1:])}
    if features.shape[1] == exact.shape[1]:
        found["all_tokens"] = errors(features, exact)
    return {"errors": found}


def rates(rows: dict[str, dict[str, Any]], lengths: Sequence[int]) -> None:
    """Add the residues per second of the fastest turn, by the clock and by CPU time, and their ratios to ours."""
    for name, row in rows.items():
        if row["status"] == "measured":
            residues = sum(lengths[:: CONTENDERS[name].every if name in CONTENDERS else 1])
            row["residues_per_second"] = round(residues / min(row["seconds"]), 1)
            row["residues_per_cpu_second"] = round(residues / min(row["cpu_seconds"]), 1)
    for row in rows.values():
        if row["status"] == "measured" and rows.get(FIRST, {}).get("status") == "measured":
            row["of_ours_float32"] = round(row["residues_per_second"] / rows[FIRST]["residues_per_second"], 3)


def marks(rows: dict[str, dict[str, Any]], key: str) -> dict[str, Any]:
    """What the project set itself: the ratios to its rivals, and the share of time that bare products would take.

    A rival is who computes in float32 and gives features that are finite for every protein.
    """
    speed = {name: row[key] for name, row in rows.items() if key in row}
    own = [name for name in speed if name.startswith("ours")]
    peers = [name for name in speed if name in CONTENDERS and name not in own and CONTENDERS[name].float32]
    right = [name for name in peers if not rows[name]["errors"]["mean"]["not_finite"]]
    found: dict[str, Any] = {}
    if FIRST in own and right:
        best, fastest = max(right, key=speed.__getitem__), max(own, key=speed.__getitem__)
        found |= {"best_peer": best, "ours_to_best_peer": round(speed[FIRST] / speed[best], 2)}
        found |= {"fastest_precision": fastest, "fastest_to_best_peer": round(speed[fastest] / speed[best], 2)}
        if PUBLISHED in right:
            found["ours_to_published"] = round(speed[FIRST] / speed[PUBLISHED], 2)
            found["fastest_to_published"] = round(speed[fastest] / speed[PUBLISHED], 2)
    shares = {name: f"bare products, {name.removeprefix('ours, ')}" for name in own}
    found["share_of_bare_products"] = {n: round(speed[n] / speed[b], 3) for n, b in shares.items() if b in speed}
    return found


def versions() -> dict[str, str]:
    """Of Python and of the packages that are installed."""
    found = {"python": sys.version.split()[0]}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def described(proteins: Sequence[Protein], arguments: argparse.Namespace) -> dict[str, Any]:
    """What was measured on what."""
    lengths = [len(protein.sequence) for protein in proteins]
    shape = EncoderShape.of(Path(arguments.encoder))
    quantiles = [round(float(q)) for q in np.quantile(lengths, (0, 0.25, 0.5, 0.75, 1))]
    work = operations(products(lengths, shape, 1024))
    return {
        "encoder": {"name": Path(arguments.encoder).resolve().name, **vars(shape)},
        "proteins": {
            "file": Path(arguments.fasta).name, "count": len(lengths), "residues": sum(lengths), "seed": arguments.seed,
            "at_most_residues": arguments.cap, "lengths_min_quartiles_max": quantiles,
        },
        "threads": 1, "repeats": arguments.repeats, "gigaoperations": round(work / 1e9, 1),
    }  # fmt: skip


def measure(proteins: Sequence[Protein], arguments: argparse.Namespace) -> dict[str, Any]:
    """The reference, then everybody in turn."""
    names = [*CONTENDERS, *(f"bare products, {precision}" for precision in BARE)]
    names = [name for name in names if not arguments.only or any(word in name for word in arguments.only)]
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        job = {"encoder": str(Path(arguments.encoder).resolve()), "proteins": [(p.id, p.sequence) for p in proteins]}
        (scratch / "job.json").write_text(json.dumps(job))
        result, exact = turn(scratch, "reference", Contender("transformers", "none"))
        if exact is None:
            sys.exit(f"the reference {result['status']}: {result.get('error', 'install transformers')}")
        rows = take_turns(scratch, names, arguments.repeats, exact)
    rates(rows, [len(protein.sequence) for protein in proteins])
    return {
        **where_and_when(), "versions": versions(), **described(proteins, arguments),
        "largest_reference_value": round(float(np.abs(exact).max()), 3),
        "contenders": {name: row for name, row in rows.items() if name in CONTENDERS},
        "bare_products": {name: row for name, row in rows.items() if name not in CONTENDERS},
        "marks": {
            "by_clock": marks(rows, "residues_per_second"), "by_cpu_time": marks(rows, "residues_per_cpu_second"),
        },
    }  # fmt: skip


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--encoder", default=str(ROOT / "checkpoints" / "encoder_small"), help="folder of an ESM-2 encoder")
    add("--fasta", default=str(ROOT / "datasets" / "demo" / "proteins.fasta"), help="proteins")
    add("--proteins", type=int, help="how many of them (default: 150)")
    add("--cap", type=int, default=1000, help="leave out longer proteins: not every contender takes them")
    add("--seed", type=int, default=0)
    add("--repeats", type=int, help="turns of each contender (default: 3)")
    add("--only", nargs="+", default=[], metavar="WORD", help="only contenders with such a word in the name")
    add("--quick", action="store_true", help="24 proteins, one turn; writes only where --output says")
    add("--output", help=f"JSON file to write (default: {RESULT.relative_to(ROOT)})")
    arguments = parser.parse_args()
    arguments.proteins = arguments.proteins or (24 if arguments.quick else 150)
    arguments.repeats = arguments.repeats or (1 if arguments.quick else 3)
    proteins = sample(arguments.fasta, arguments.proteins, arguments.cap, arguments.seed)
    result = measure(proteins, arguments)
    output = arguments.output or (None if arguments.quick or arguments.only else RESULT)
    if output:
        Path(output).write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result["marks"], indent=2))


if __name__ == "__main__":
    main()
