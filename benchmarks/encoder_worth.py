"""What is an encoder worth for interactions? One small network on its features, beside amino-acid composition.

    python benchmarks/encoder_worth.py --data datasets/bernett --encoder FOLDER --encoder FOLDER --features features \
        --output benchmarks/results/encoder_worth.json

A protein is its cls, mean and eos tokens and the standard deviation of each dimension over its ten segments (4 D
numbers), or its shares of the twenty amino acids, standardised over the proteins of the training pairs. A perceptron
that cannot see the order of a pair learns the training pairs for five passes (one-cycle AdamW, label smoothing, its
weights averaged as it goes); AUROC and AUPR on the validation pairs are those after the last pass, for each seed and on
average. Nothing is chosen on the validation pairs but the network's settings, once, with an 8M ESM-2.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from machine import where_and_when
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, roc_auc_score
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from esm2_amp.features.encoder import identify
from esm2_amp.features.store import FeatureStore
from esm2_amp.io.fasta import ProteinSet, read_fasta
from esm2_amp.io.pairs import iter_pairs
from esm2_amp.io.resolve import PairTable, resolve_pairs
from esm2_amp.layout import SEGMENTS, TokenLayout
from esm2_amp.records import STANDARD_RESIDUES, Protein

ROOT = Path(__file__).parent.parent
WHOLE = TokenLayout(("cls", "mean", "eos"))
SEEDS = (0, 1, 2)
EPOCHS, BATCH, HIDDEN = 5, 1024, 256
RATE, WEIGHT_DECAY, SMOOTHING, AVERAGING = 2e-3, 0.5, 0.05, 0.999
CLIP = 8.0  # standard deviations; rare extreme values would rule the products


class PairPerceptron(nn.Module):
    """logit = head(x + y, |x - y|, x * y), where x and y are one projection of both proteins."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.project = nn.Sequential(
            nn.Dropout(0.2), nn.Linear(inputs, HIDDEN), nn.GELU(), nn.LayerNorm(HIDDEN), nn.Dropout(0.3)
        )
        self.head = nn.Sequential(nn.Linear(3 * HIDDEN, HIDDEN), nn.GELU(), nn.Dropout(0.3), nn.Linear(HIDDEN, 1))

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Logits (B,) of proteins (B, inputs) and (B, inputs)."""
        x, y = self.project(a), self.project(b)
        return self.head(torch.cat([x + y, (x - y).abs(), x * y], 1)).squeeze(1)


def composition(proteins: Sequence[Protein]) -> NDArray[np.float32]:
    """Shares (n, 20) of the amino acids."""
    rows = [[protein.sequence.count(residue) for residue in STANDARD_RESIDUES] for protein in proteins]
    lengths = np.array([len(protein.sequence) for protein in proteins])
    return (np.array(rows) / lengths[:, None]).astype(np.float32)


def pooled(proteins: Sequence[Protein], store: FeatureStore) -> NDArray[np.float32]:
    """cls, mean, eos and the deviation over the segments, (n, 4 D)."""
    rows = store.find([protein.key for protein in proteins])
    whole = store.gather(rows, WHOLE.stored).astype(np.float32)
    spread = store.gather(rows, SEGMENTS.stored).astype(np.float32).std(axis=1)
    return np.concatenate([whole.reshape(len(proteins), -1), spread], axis=1)


def extracted(fasta: Path, encoder: Path, features: Path) -> FeatureStore:
    """The store of an encoder, by the command line; what is there already is kept."""
    options = [f"fasta={fasta}", f"encoder.path={encoder}", f"features.folder={features}", "features.long=full"]
    subprocess.run([sys.executable, "-m", "esm2_amp", "extract", *options], cwd=ROOT, check=True)
    (folder,) = features.glob(f"*-{identify(encoder.name, encoder).sha256[:12]}-full")
    return FeatureStore(str(folder))


def tensors(table: PairTable) -> tuple[Tensor, Tensor, Tensor]:
    """Positions of both proteins, and labels."""
    return torch.from_numpy(table.a).long(), torch.from_numpy(table.b).long(), torch.from_numpy(table.label).float()


def trained(x: Tensor, table: PairTable, seed: int) -> PairPerceptron:
    """The average network after the last pass over the training pairs; ``x`` (n, inputs) holds their proteins."""
    torch.manual_seed(seed)
    network = PairPerceptron(x.shape[1])
    average = AveragedModel(network, avg_fn=averaged)
    a, b, label = tensors(table)
    target = label * (1 - SMOOTHING) + SMOOTHING / 2
    steps = EPOCHS * -(-len(label) // BATCH)
    optimizer = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps, pct_start=0.25)
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(label)).split(BATCH):
            logits = network(x[a[rows]], x[b[rows]])
            optimizer.zero_grad()
            nn.functional.binary_cross_entropy_with_logits(logits, target[rows]).backward()
            optimizer.step()
            schedule.step()
            average.update_parameters(network)
    return average.module.eval()


def averaged(average: Tensor, weights: Tensor, steps: Tensor) -> Tensor:
    """Running average that soon forgets the first weights."""
    return average.lerp(weights, 1 - min(AVERAGING, float((1 + steps) / (10 + steps))))


def worth(
    inputs: tuple[NDArray[np.float32], NDArray[np.float32]],
    train: PairTable,
    val: PairTable,
    subsets: Mapping[str, NDArray[np.bool_]] | None = None,
) -> dict[str, Any]:
    """AUROC and AUPR of the validation pairs, by seed and on average.

    Args:
        inputs: of the proteins of either table.
        train: labelled pairs to learn.
        val: labelled pairs to measure on.
        subsets: validation pairs to measure apart too.
    """
    began = time.monotonic()
    mean, deviation = inputs[0].mean(axis=0), inputs[0].std(axis=0) + 1e-6
    x, y = (torch.from_numpy(((values - mean) / deviation).clip(-CLIP, CLIP)) for values in inputs)
    a, b, _ = tensors(val)
    seeds, apart = [], {name: [] for name in subsets or {}}
    for seed in SEEDS:
        network = trained(x, train, seed)
        with torch.inference_mode():
            parts = [network(y[i], y[j]) for i, j in zip(a.split(2048), b.split(2048), strict=True)]
        scores = torch.cat(parts).numpy()
        seeds.append({"seed": seed} | measured(val.label, scores))
        for name, chosen in (subsets or {}).items():
            apart[name].append(measured(val.label[chosen], scores[chosen]))
        print(seeds[-1], file=sys.stderr, flush=True)
    seconds = round(time.monotonic() - began)
    split = {name: {"pairs": int((subsets or {})[name].sum())} | average(rows) for name, rows in apart.items()}
    return {"inputs": x.shape[1], **average(seeds), "seeds": seeds, **split, "seconds": seconds}


def measured(label: NDArray[np.generic], scores: NDArray[np.float32]) -> dict[str, float]:
    """AUROC and AUPR."""
    values = {"auroc": roc_auc_score(label, scores), "aupr": average_precision_score(label, scores)}
    return {name: round(float(value), 4) for name, value in values.items()}


def average(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Means over the seeds."""
    return {name: round(float(np.mean([row[name] for row in rows])), 4) for name in ("auroc", "aupr")}


def pairs(file: Path, proteins: ProteinSet) -> PairTable:
    """Labelled pairs; anything odd about them is an error."""
    return resolve_pairs(
        iter_pairs(file), proteins, unknown="error", conflicts="error", need_labels=True, file=str(file)
    )


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="folder with proteins.fasta, train.tsv and val.tsv, plain or .gz")
    parser.add_argument("--encoder", required=True, action="append", help="folder of an ESM-2 encoder; may be repeated")
    parser.add_argument("--features", default="features", help="where feature stores are kept")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads; the last digits may depend on them")
    parser.add_argument("--output", required=True, help="JSON file to write")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    data, features = Path(arguments.data).resolve(), Path(arguments.features).resolve()
    fasta = next(data.glob("proteins.fasta*"))
    proteins = read_fasta(fasta)
    train, val = tables = [pairs(next(data.glob(f"{name}.tsv*")), proteins) for name in ("train", "val")]
    results = {"amino-acid composition": worth((composition(train.proteins), composition(val.proteins)), train, val)}
    for encoder in (Path(name).resolve() for name in arguments.encoder):
        store = extracted(fasta, encoder, features)
        inputs = [pooled(table.proteins, store) for table in tables]
        results[str(store.encoder)] = worth((inputs[0], inputs[1]), train, val)
    result = {
        **where_and_when(),
        "versions": {name: version(name) for name in ("torch", "numpy", "scikit-learn")},
        "threads": arguments.threads,
        "pairs": {"train": len(train), "val": len(val)},
        "validation": results,
    }
    Path(arguments.output).parent.mkdir(parents=True, exist_ok=True)
    Path(arguments.output).write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
