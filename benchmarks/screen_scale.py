"""A screen of 3,000 proteins, all with all: 4.5 million pairs, through the command, with DPM and with a small AMPS.

    python benchmarks/screen_scale.py
    python benchmarks/screen_scale.py --proteins 500 --output somewhere.json

Random sequences, features of the small encoder that ships, networks with random weights (time and memory do not depend
on them): DPM as configured, AMPS with two layers instead of six. Each row is one process, ``esm2-amp screen`` with its
defaults but figures and drawing. What 20,000 proteins would take is the time a pair times the pairs: extrapolated.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import yaml
from machine import measured, where_and_when

from esm2_amp.io.atomic import write_json
from esm2_amp.io.fasta import write_fasta
from esm2_amp.models.checkpoint import load_card, save_model
from esm2_amp.models.networks import network_class
from esm2_amp.records import STANDARD_RESIDUES, Protein

ROOT = Path(__file__).parent.parent
CARD = ROOT / "checkpoints" / "demo_amps"
MODELS = {"dpm": ("dpm", {}), "amps, 2 layers": ("amps", {"layers": 2})}
LARGE = 20_000


def sequences(count: int) -> list[Protein]:
    """Random ones of 50 to 600 residues."""
    rng = np.random.default_rng(0)
    letters = np.array(list(STANDARD_RESIDUES))
    return [Protein(f"P{i:05}", "".join(letters[rng.integers(0, 20, rng.integers(50, 601))])) for i in range(count)]


def random_model(folder: Path, name: str, changed: dict[str, int]) -> None:
    """A model folder with random weights, for features of the small encoder."""
    card, kind = load_card(CARD), network_class(name)
    hyper = yaml.safe_load((ROOT / "conf" / "model" / f"{name}.yaml").read_text())["network"] | changed
    torch.manual_seed(0)
    network = kind(card.width, kind.Hyper(**hyper))
    save_model(folder, network, replace(card, network=name, hyper=hyper, tokens=list(network.layout)), [])


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--proteins", type=int, default=3000)
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results" / "screen_scale.json")
    given = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write_fasta(folder / "proteins.fasta", sequences(given.proteins))
        command = [sys.executable, "-m", "esm2_amp"]
        # the first screen, of one pair's proteins with all, computes the features
        for number, (title, (name, changed)) in enumerate(MODELS.items()):
            random_model(folder / f"model{number}", name, changed)
            screen = [*command, "screen", "fasta=proteins.fasta", f"checkpoint=model{number}", "network.edges=0"]
            if not number:
                measured([*screen, "query=P00000", "output=first"], folder)
            for precision in ("float32", "bf16"):
                output = f"out{number}{precision}"
                cost = measured([*screen, f"screen.precision={precision}", f"output={output}"], folder)
                told = json.loads((folder / output / "screen.json").read_text())
                rows.append(row(title, precision, cost, told))
                print(rows[-1], flush=True)
    write_json(given.output, {**where_and_when(), "threads": os.cpu_count(), "rows": rows})


def row(title: str, precision: str, cost: dict[str, int], told: dict[str, float]) -> dict[str, object]:
    """What one screen cost, and what one of 20,000 proteins would."""
    speed = told["pairs"] / max(1, cost["seconds"])
    many = LARGE * (LARGE - 1) // 2
    return {
        "model": title, "precision": precision, "proteins": told["proteins"], "pairs": told["pairs"], **cost,
        "pairs_per_second": round(speed), "extrapolated_hours_of_20000_proteins": round(many / speed / 3600, 2),
    }  # fmt: skip


if __name__ == "__main__":
    main()
