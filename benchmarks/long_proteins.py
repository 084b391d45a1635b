"""Proteins longer than an encoder was trained on: whole, in overlapping chunks, or cut off? Worth and cost of each.

    python benchmarks/long_proteins.py --data datasets/bernett --encoder FOLDER --features features --scratch FOLDER \
        --output benchmarks/results/long_proteins.json

Every protein beyond ``--max-residues`` is extracted under each policy, one process each, whose CPU seconds and peak
memory are kept; shorter ones are the same under all. Then the network of ``encoder_worth.py`` learns the training
pairs on each, and is measured on the validation pairs that have a long protein, and on all of them.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from encoder_worth import extracted, pairs, pooled, worth
from machine import measured, where_and_when
from numpy.typing import NDArray

from esm2_amp.features.store import FeatureStore
from esm2_amp.io.fasta import read_fasta
from esm2_amp.records import Protein

ROOT = Path(__file__).parent.parent
POLICIES = ("full", "chunk", "truncate")


def extract(policy: str, fasta: Path, arguments: argparse.Namespace) -> tuple[FeatureStore, dict[str, int]]:
    """The store of the long proteins, made anew, and what it cost."""
    store = Path(arguments.scratch).resolve() / f"long-{policy}"
    command = [
        *(sys.executable, "-m", "esm2_amp", "extract", f"fasta={fasta}", f"store={store}"),
        *(f"encoder.path={Path(arguments.encoder).resolve()}", f"features.long={policy}"),
        *(f"features.max_residues={arguments.max_residues}", f"features.precision={arguments.precision}"),
        "features.threads=1",
    ]
    cost_file = store.with_suffix(".json")
    if not cost_file.exists():
        cost_file.write_text(json.dumps(measured(command, ROOT)))
    return FeatureStore(store), json.loads(cost_file.read_text())


def joined(proteins: Sequence[Protein], short: FeatureStore, long: FeatureStore) -> NDArray[np.float32]:
    """Inputs of the network: long proteins from their store, the others from the store of all."""
    is_long = long.find([protein.key for protein in proteins]) >= 0
    inputs = np.empty((len(proteins), 4 * short.width), np.float32)
    for chosen, store in ((is_long, long), (~is_long, short)):
        inputs[chosen] = pooled([protein for protein, yes in zip(proteins, chosen, strict=True) if yes], store)
    return inputs


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="folder with proteins.fasta, train.tsv and val.tsv, plain or .gz")
    parser.add_argument("--encoder", required=True, help="folder of an ESM-2 encoder")
    parser.add_argument("--features", default="features", help="where the feature store of all proteins is kept")
    parser.add_argument("--scratch", required=True, help="folder for the stores of the long proteins")
    parser.add_argument("--max-residues", type=int, default=1022, help="longest protein that is not long")
    parser.add_argument("--precision", default="float32", help="of the long proteins' features")
    parser.add_argument("--output", required=True, help="JSON file to write")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    data, scratch = Path(arguments.data).resolve(), Path(arguments.scratch).resolve()
    fasta = next(data.glob("proteins.fasta*"))
    proteins = read_fasta(fasta)
    long = [protein for protein in proteins if len(protein.sequence) > arguments.max_residues]
    scratch.mkdir(parents=True, exist_ok=True)
    (scratch / "long.fasta").write_text("".join(f">{protein.id}\n{protein.sequence}\n" for protein in long))
    short = extracted(fasta, Path(arguments.encoder).resolve(), Path(arguments.features).resolve())
    tables = [pairs(next(data.glob(f"{name}.tsv*")), proteins) for name in ("train", "val")]
    result: dict[str, Any] = {
        **where_and_when(),
        "encoder": str(short.encoder),
        "long_proteins": {"number": len(long), "residues": sum(len(p.sequence) for p in long)},
        "max_residues": arguments.max_residues,
        "precision": arguments.precision,
    }
    for policy in POLICIES:
        store, cost = extract(policy, scratch / "long.fasta", arguments)
        inputs = [joined(table.proteins, short, store) for table in tables]
        has_long = store.find([protein.key for protein in tables[1].proteins]) >= 0
        subset = has_long[tables[1].a] | has_long[tables[1].b]
        result[policy] = {"extraction": cost} | worth((inputs[0], inputs[1]), *tables, {"with a long protein": subset})
    Path(arguments.output).parent.mkdir(parents=True, exist_ok=True)
    Path(arguments.output).write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
