"""Compare `esm2-amp extract`, in every setting, with transformers alone, one protein at a time, on real proteins.

    python benchmarks/extraction_equality.py --fasta proteins.fasta --encoder FOLDER --output results.json

Fifty proteins: the first 1, 9, 10 and 11 residues of four of the file's, three longer than 1,022 residues, and others
at random (seed 0). The reference is float32 without padding; for chunks, it is transformers on each chunk, the states
of a residue in several chunks averaged. What is stored is rounded to float16: beside the differences stands how many
steps of float16, at the size of the value, they are from the rounded reference (the other neighbour is one step).
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

from esm2_amp.features.identity import LongPolicy
from esm2_amp.io.fasta import read_fasta, write_fasta
from esm2_amp.records import Protein

ESM2_AMP = [sys.executable, "-m", "esm2_amp"]
CHUNK = 400
SETTINGS = {
    **{f"float32, token_budget={n}": [f"features.token_budget={n}"] for n in (16, 300, 2048, 8192)},
    "float32, two threads": ["features.threads=2"],
    "float32, chunks of 400": ["features.long=chunk", f"features.max_residues={CHUNK}"],
    "bfloat16": ["features.precision=bfloat16"],
    "bfloat16, chunks of 400": [
        "features.precision=bfloat16", "features.long=chunk", f"features.max_residues={CHUNK}",
    ],
    "float16": ["features.precision=float16"],
}  # fmt: skip


def choose(fasta: str) -> list[Protein]:
    """The fifty proteins."""
    rng = np.random.default_rng(0)
    every = list(read_fasta(fasta))
    order = [every[i] for i in rng.permutation(len(every))]
    cut = [Protein(f"first{n}", p.sequence[:n]) for n, p in zip((1, 9, 10, 11), order, strict=False)]
    long = [p for p in order[4:] if 1022 < len(p.sequence) < 2500][:3]
    rest = [p for p in order[4:] if p not in long and len(p.sequence) <= 1022]
    return [*cut, *long, *rest[: 50 - len(cut) - len(long)]]


def reference(sequence: str, model: Any, tokenizer: Any, long: LongPolicy) -> np.ndarray:
    """cls, ten segment means, eos, mean."""
    total, covered = np.zeros((len(sequence), model.config.hidden_size), np.float32), np.zeros((len(sequence), 1))
    ends = []
    for start, stop in long.pieces(len(sequence)):
        states = model(**tokenizer(sequence[start:stop], return_tensors="pt")).last_hidden_state[0].numpy()
        total[start:stop] += states[1:-1]
        covered[start:stop] += 1
        ends += [states[0], states[-1]]
    cls, eos = ends[0], ends[-1]
    residues = (total / covered).astype(np.float32)
    segments = [run.mean(axis=0) if len(run) else 0 * cls for run in np.array_split(residues, 10)]
    return np.stack([cls, *segments, eos, residues.mean(axis=0)])


def extracted(fasta: Path, encoder: str, options: list[str], folder: Path) -> np.ndarray:
    """Tokens (n, 13, D) by the command line."""
    store, output = f"store={folder / 'store'}", folder / "tokens.npz"
    options = ["features.long=full", "features.device=cpu", *options]
    subprocess.run([*ESM2_AMP, "extract", f"fasta={fasta}", f"encoder.path={encoder}", store, *options], check=True)
    subprocess.run([*ESM2_AMP, "store", "export", store, f"fasta={fasta}", f"output={output}"], check=True)
    with np.load(output) as arrays:
        return arrays["tokens"]


def compared(found: np.ndarray, exact: np.ndarray) -> dict[str, float]:
    """How far stored values are from the reference."""
    expected = exact.astype(np.float16)
    values = found.astype(np.float64)
    steps = np.abs(values - expected) / np.spacing(np.abs(expected)).astype(np.float64)
    sizes = np.linalg.norm(values, axis=2) * np.linalg.norm(exact.astype(np.float64), axis=2)
    cosine = (values * exact).sum(axis=2)[sizes > 0] / sizes[sizes > 0]
    return {
        "largest_difference_to_float32": float(np.abs(values - exact).max()),
        "largest_difference_to_rounded": float(np.abs(values - expected).max()),
        "one_minus_smallest_cosine": float(1 - cosine.min()),
        "values_that_round_otherwise": float((found != expected).mean()),
        "of_these_more_than_one_step_and_more_than_1e-4": int(((steps > 1) & (np.abs(values - exact) > 1e-4)).sum()),
    }


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
    whole, chunks = LongPolicy("full", 1022), LongPolicy("chunk", CHUNK)
    with torch.no_grad():
        exact = {
            long: np.stack([reference(protein.sequence, model, tokenizer, long) for protein in proteins])
            for long in (whole, chunks)
        }
    rows = {}
    for name, options in SETTINGS.items():
        with tempfile.TemporaryDirectory() as scratch:
            fasta = Path(scratch) / "fifty.fasta"
            write_fasta(fasta, proteins)
            found = extracted(fasta, encoder, options, Path(scratch))
        rows[name] = compared(found, exact[chunks if "chunk" in name else whole])
    result = {
        **where_and_when(),
        "encoder": Path(encoder).name,
        "lengths": sorted(len(protein.sequence) for protein in proteins),
        "largest_value": float(np.abs(exact[whole]).max()),
        "settings": rows,
    }
    Path(arguments.output).write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
