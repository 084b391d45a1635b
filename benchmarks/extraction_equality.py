"""Compare `esm2-amp extract` with transformers alone, one protein at a time, on real proteins.

    python benchmarks/extraction_equality.py --fasta proteins.fasta --encoder FOLDER --output results.json

Fifty proteins: the first 1, 9, 10 and 11 residues of four of the file's, three longer than 1,022 residues, and others
at random (seed 0). The reference is float32, rounded to float16 as the store does; differences are also given in steps
of float16 at the size of the value (a rounding to the other neighbour is one step).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from machine import where_and_when
from transformers import EsmModel, EsmTokenizer

from esm2_amp.io.fasta import read_fasta, write_fasta
from esm2_amp.records import Protein

ESM2_AMP = [sys.executable, "-m", "esm2_amp"]
BUDGETS = (16, 300, 1024, 8192)


def choose(fasta: str) -> list[Protein]:
    """The fifty proteins."""
    rng = np.random.default_rng(0)
    every = list(read_fasta(fasta))
    order = [every[i] for i in rng.permutation(len(every))]
    cut = [Protein(f"first{n}", p.sequence[:n]) for n, p in zip((1, 9, 10, 11), order, strict=False)]
    long = [p for p in order[4:] if 1022 < len(p.sequence) < 2500][:3]
    rest = [p for p in order[4:] if p not in long and len(p.sequence) <= 1022]
    return [*cut, *long, *rest[: 50 - len(cut) - len(long)]]


def reference(sequence: str, model: Any, tokenizer: Any) -> np.ndarray:
    """cls, ten segment means, eos, mean."""
    states = model(**tokenizer(sequence, return_tensors="pt")).last_hidden_state[0].numpy()
    residues = states[1:-1]
    segments = [run.mean(axis=0) if len(run) else 0 * states[0] for run in np.array_split(residues, 10)]
    return np.stack([states[0], *segments, states[-1], residues.mean(axis=0)])


def extracted(fasta: Path, encoder: str, budget: int, folder: Path) -> np.ndarray:
    """Tokens (n, 13, D) by the command line."""
    store, output = f"store={folder / str(budget)}", folder / f"{budget}.npz"
    options = [f"features.token_budget={budget}"]
    subprocess.run([*ESM2_AMP, "extract", f"fasta={fasta}", f"encoder.path={encoder}", store, *options], check=True)
    subprocess.run([*ESM2_AMP, "store", "export", store, f"fasta={fasta}", f"output={output}"], check=True)
    with np.load(output) as arrays:
        return arrays["tokens"]


def main() -> None:
    """Compare and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fasta", required=True, help="real proteins")
    parser.add_argument("--encoder", required=True, help="folder of an ESM-2 encoder")
    parser.add_argument("--output", required=True, help="JSON file to write")
    arguments = parser.parse_args()
    proteins = choose(arguments.fasta)
    encoder = str(Path(arguments.encoder).resolve())
    model = EsmModel.from_pretrained(encoder, add_pooling_layer=False, attn_implementation="eager").eval()
    tokenizer = EsmTokenizer(str(Path(encoder) / "vocab.txt"))
    with torch.no_grad():
        exact = np.stack([reference(protein.sequence, model, tokenizer) for protein in proteins])
    expected = exact.astype(np.float16)
    rows = {}
    with tempfile.TemporaryDirectory() as scratch:
        fasta = Path(scratch) / "fifty.fasta"
        write_fasta(fasta, proteins)
        for budget in BUDGETS:
            found = extracted(fasta, encoder, budget, Path(scratch))
            steps = np.abs(found.astype(np.float64) - expected) / np.spacing(np.abs(expected)).astype(np.float64)
            rows[f"token_budget={budget}"] = {
                "largest_difference_to_float32": float(np.abs(found - exact).max()),
                "largest_difference_to_rounded": float(np.abs(found.astype(np.float64) - expected).max()),
                "values_that_round_otherwise": float((found != expected).mean()),
                "of_these_more_than_one_step_and_more_than_1e-4": int(
                    ((steps > 1) & (np.abs(found - exact) > 1e-4)).sum()
                ),
            }
    result = {
        **where_and_when(),
        "encoder": Path(encoder).name,
        "lengths": sorted(len(protein.sequence) for protein in proteins),
        "largest_value": float(np.abs(exact).max()),
        "budgets": rows,
    }
    Path(arguments.output).write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
