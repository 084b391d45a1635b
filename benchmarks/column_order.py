"""Does the order of the two columns of a pair list give labels away? Measured with a network that can see it.

    python benchmarks/column_order.py --data datasets/bernett --store FOLDER --output results.json

In lists of screening results a bait often stands first and its preys second, while random negatives have no such
order. A multilayer perceptron on [A_mean, B_mean] is trained on the pairs as they are listed and scores validation
pairs as listed, with the columns swapped, and as the mean of both orders, which is all that the proteins themselves
tell.
The imbalance of a protein is |times first - times second|, summed over proteins and divided by the rows' two places.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from machine import where_and_when
from sklearn.metrics import average_precision_score, roc_auc_score
from torch import Tensor, nn

from esm2_amp.features.store import FeatureStore
from esm2_amp.io.fasta import ProteinSet, read_fasta
from esm2_amp.io.pairs import iter_pairs
from esm2_amp.io.resolve import PairTable, resolve_pairs
from esm2_amp.layout import MEAN

EPOCHS, BATCH = 5, 256


def imbalance(table: PairTable, label: int) -> float:
    """0 where every protein stands first as often as second, 1 where each keeps to one column."""
    here = table.label == label
    first, second = Counter(table.a[here].tolist()), Counter(table.b[here].tolist())
    return sum(abs(first[i] - second[i]) for i in first | second) / (2 * int(here.sum()))


def scores(network: nn.Module, a: Tensor, b: Tensor) -> np.ndarray:
    """Logits of pairs of mean vectors."""
    with torch.no_grad():
        parts = [network(torch.cat(both, 1)).squeeze(1) for both in zip(a.split(4096), b.split(4096), strict=True)]
    return torch.cat(parts).numpy()


def fit(a: Tensor, b: Tensor, label: Tensor, seed: int) -> nn.Module:
    """A perceptron 2D-256-64-1 after five passes of AdamW (1e-3)."""
    torch.manual_seed(seed)
    sizes = (2 * a.shape[1], 256, 64)
    network = nn.Sequential(
        nn.Linear(sizes[0], sizes[1]), nn.ReLU(), nn.Linear(sizes[1], sizes[2]), nn.ReLU(), nn.Linear(sizes[2], 1)
    )
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(label)).split(BATCH):
            logits = network(torch.cat((a[rows], b[rows]), 1)).squeeze(1)
            optimizer.zero_grad()
            nn.functional.binary_cross_entropy_with_logits(logits, label[rows]).backward()
            optimizer.step()
    return network.eval()


def vectors(tables: Sequence[PairTable], store: FeatureStore) -> list[tuple[Tensor, Tensor]]:
    """Mean vectors (n, D) of both columns of every table, standardised over the proteins of the first."""
    means = []
    for table in tables:
        rows = store.find([protein.key for protein in table.proteins])
        means.append(torch.from_numpy(store.gather(rows, MEAN.stored)[:, 0].astype(np.float32)))
    centre, spread = means[0].mean(0), means[0].std(0)
    standard = [(mean - centre) / spread for mean in means]
    return [(x[torch.from_numpy(t.a)], x[torch.from_numpy(t.b)]) for x, t in zip(standard, tables, strict=True)]


def pairs(file: Path, proteins: ProteinSet) -> PairTable:
    """Labelled pairs; anything odd about them is an error."""
    return resolve_pairs(
        iter_pairs(file), proteins, unknown="error", conflicts="error", need_labels=True, file=str(file)
    )


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="folder with proteins.fasta, train.tsv and val.tsv, plain or .gz")
    parser.add_argument("--store", required=True, help="feature store of these proteins")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--output", required=True, help="JSON file to write")
    arguments = parser.parse_args()
    data = Path(arguments.data)
    proteins = read_fasta(next(data.glob("proteins.fasta*")))
    train, val = (pairs(next(data.glob(f"{name}.*")), proteins) for name in ("train", "val"))
    (a, b), (val_a, val_b) = vectors((train, val), FeatureStore(arguments.store))
    label = torch.from_numpy(train.label).float()
    runs = []
    for seed in range(arguments.seeds):
        network = fit(a, b, label, seed)
        listed, swapped = scores(network, val_a, val_b), scores(network, val_b, val_a)
        ways = {"as listed": listed, "swapped": swapped, "mean of both": (listed + swapped) / 2}
        runs.append(
            {
                way: [round(float(metric(val.label, x)), 4) for metric in (roc_auc_score, average_precision_score)]
                for way, x in ways.items()
            }
        )
    result = {
        **where_and_when(),
        "imbalance": {
            name: {f"label {y}": round(imbalance(table, y), 3) for y in (0, 1)}
            for name, table in (("train", train), ("val", val))
        },
        "validation AUROC and AUPR by seed": runs,
    }
    Path(arguments.output).write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
