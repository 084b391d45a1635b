"""What AMPX gains over the published networks on the Bernett gold standard, and which of its parts the gain is from.

    python benchmarks/ampx_ablation.py --data datasets/bernett --encoder FOLDER --runs runs/ablation

Each model is trained by ``train.py`` once a seed, all on the same features, and measured on the validation pairs. The
table gives the mean over seeds of AUROC and AUPR, the difference of AUPR from the best published network (paired by
seed, 95 % interval from resampling proteins and seeds), and the calibration errors that Platt scaling, beta calibration
and isotonic regression leave on pairs they were not fitted on (five folds of the validation pairs: fitted on four,
measured on the fifth). Ensembles average the logits of finished runs, each divided by its standard deviation. A model
whose run is finished is not trained again.

Training stops, and the best epoch is chosen, on the validation pairs themselves: for every model alike.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from machine import measured, where_and_when
from numpy.typing import NDArray
from scipy.special import expit, logit
from sklearn.model_selection import KFold

from esm2_amp.evaluation.calibration import fit_calibration
from esm2_amp.evaluation.intervals import Resampling, Runs, paired_difference
from esm2_amp.evaluation.metrics import best_threshold, expected_calibration_error, ranking_metrics
from esm2_amp.io.atomic import write_json

ROOT = Path(__file__).parent.parent
SEEDS = (0, 1, 2)
AMPX = ["model=ampx", "epochs=5", "batch_size=256"]
PUBLISHED = "dpm"
SETTINGS = {
    PUBLISHED: ["model=dpm", "epochs=5"],
    "ampx": AMPX,
    "ampx, one view of 64 components": [*AMPX, "model.network.views=1", "model.network.components=64"],
    "ampx, four views, not whitened": [*AMPX, "model.network.whitening=0"],
}
ENSEMBLES = {"three ampx": ["ampx"], "three ampx and three dpm": ["ampx", PUBLISHED]}
Floats = NDArray[np.float64]


def train(model: str, seed: int, arguments: argparse.Namespace) -> pd.DataFrame:
    """One run, unless it is there; its validation predictions."""
    run = Path(arguments.runs).resolve() / f"{model.replace(', ', '-').replace(' ', '_')}-{seed}"
    if not (run / "metrics.json").exists():
        data = Path(arguments.data).resolve()
        files = {name: next(data.glob(f"{name}.*")) for name in ("train", "val")}
        measured(
            [
                *(sys.executable, "train.py", "data=files", f"data.fasta={next(data.glob('proteins.fasta*'))}"),
                *(f"data.train={files['train']}", f"data.val={files['val']}", "features.long=full"),
                *(f"encoder.path={Path(arguments.encoder).resolve()}", "data.homology.engine=none"),
                "calibration=none",
                *(f"features.folder={Path(arguments.features).resolve()}", "report.resamples=0"),
                *(f"run_dir={run}", f"seed={seed}", *SETTINGS[model]),
                *(["resume=true"] if (run / "config.yaml").exists() else []),
            ],
            ROOT,
        )
    return pd.read_csv(run / "predictions" / "val.tsv", sep="\t")


def left_out_ece(method: str, label: NDArray[np.int64], probability: Floats) -> float:
    """Calibration error of a method on pairs that it was not fitted on."""
    logits, calibrated = logit(probability), np.empty(label.size)
    for rest, fold in KFold(5, shuffle=True, random_state=0).split(logits):
        calibrated[fold] = fit_calibration(method, logits[rest], label[rest]).calibration.apply(logits[fold])
    return expected_calibration_error(label, calibrated)


def of_one_spread(probability: Floats) -> Floats:
    """Logits of (runs, pairs), with a standard deviation of 1 in each run."""
    logits = logit(probability)
    return logits / logits.std(axis=1, keepdims=True)


def described(name: str, scores: Floats, pairs: pd.DataFrame, published: Floats, resamples: int) -> dict[str, Any]:
    """A row of the table; ``scores`` and ``published`` are (seeds, pairs), an ensemble has one row."""
    ids, codes = np.unique(pairs[["protein_a", "protein_b"]].to_numpy().ravel(), return_inverse=True)
    a, b = codes.reshape(-1, 2).T
    label = pairs["label"].to_numpy()
    ranked = [ranking_metrics(label, row) for row in scores]
    both = [np.broadcast_to(rows, published.shape) for rows in (scores, published)]
    runs = [Runs(rows, [best_threshold(label, row) for row in rows]) for rows in both]
    gain = paired_difference(
        a, b, label, *runs, n_proteins=len(ids), resampling=Resampling(resamples, seed=0, level=0.95)
    )
    return {
        "model": name,
        "auroc": float(np.mean([row["auroc"] for row in ranked])),
        "aupr": float(np.mean([row["aupr"] for row in ranked])),
        "aupr_by_seed": [row["aupr"] for row in ranked],
        "mcc": gain["mcc"].first,
        "aupr_gain": gain["aupr"].difference,
        "aupr_gain_interval": gain["aupr"].interval,
        **{
            f"ece_{method}": float(np.mean([left_out_ece(method, label, row) for row in scores]))
            for method in ("platt", "beta", "isotonic")
        },
    }


def main() -> None:
    """Train what is missing, measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="folder with proteins.fasta, train.tsv and val.tsv, plain or .gz")
    parser.add_argument("--encoder", required=True, help="folder of an ESM-2 encoder")
    parser.add_argument("--features", default="features", help="where feature stores are kept")
    parser.add_argument("--runs", required=True, help="folder for the runs")
    parser.add_argument("--models", nargs="+", default=list(SETTINGS), choices=list(SETTINGS))
    parser.add_argument("--resamples", type=int, default=500)
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results" / "ampx_ablation.json")
    arguments = parser.parse_args()
    models = [PUBLISHED, *(name for name in arguments.models if name != PUBLISHED)]
    tables = {name: [train(name, seed, arguments) for seed in SEEDS] for name in models}
    pairs = tables[PUBLISHED][0]
    scores = {name: np.stack([table["probability"].to_numpy() for table in runs]) for name, runs in tables.items()}
    for name, members in ENSEMBLES.items():
        if set(members) <= set(scores):
            scores[name] = expit(np.mean([of_one_spread(scores[member]).mean(axis=0) for member in members], axis=0))[
                None
            ]
    rows = [described(name, found, pairs, scores[PUBLISHED], arguments.resamples) for name, found in scores.items()]
    result = {**where_and_when(), "settings": SETTINGS, "seeds": list(SEEDS), "pairs": len(pairs), "models": rows}
    write_json(arguments.output, result)
    for row in rows:
        low, high = row["aupr_gain_interval"]
        print(
            f"{row['model']:<36} AUROC {row['auroc']:.4f}  AUPR {row['aupr']:.4f}  "
            f"gain {row['aupr_gain']:+.4f} ({low:+.4f} to {high:+.4f})  "
            f"ECE platt {row['ece_platt']:.4f}, beta {row['ece_beta']:.4f}, isotonic {row['ece_isotonic']:.4f}"
        )


if __name__ == "__main__":
    main()
