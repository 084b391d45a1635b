"""Train models on the Bernett gold standard with a given encoder and write what came out.

    python benchmarks/bernett.py --data datasets/bernett --encoder FOLDER --runs runs/bernett --output results.json

Each model is one ``train.py`` process; its wall time, peak memory and validation metrics go into the output, beside
the peak memory of a process that only imports the framework. A model whose run is finished is not trained again.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from machine import measured, where_and_when

ROOT = Path(__file__).parent.parent
FRAMEWORK = "import esm2_amp.tasks.train, pytorch_lightning as pl; pl.Trainer(accelerator='cpu', logger=False)"
SETTINGS = {
    "dpm": ["model=dpm", "epochs=5"],
    "dpm, seed 1": ["model=dpm", "epochs=5", "seed=1"],
    "dpm, seed 2": ["model=dpm", "epochs=5", "seed=2"],
    "amps": ["model=amps", "epochs=2", "batch_size=256", "trainer.precision=bf16-mixed"],
    "amp_cse": ["model=amp_cse", "epochs=2", "batch_size=256", "trainer.precision=bf16-mixed"],
}


def train(model: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """One run; its cost and validation metrics."""
    run = Path(arguments.runs).resolve() / model.replace(", ", "-").replace(" ", "")
    data = Path(arguments.data).resolve()
    cost_file = run / "cost.json"
    if not cost_file.exists():
        resume = ["resume=true"] if (run / "config.yaml").exists() else []
        files = {name: next(data.glob(f"{name}.*")) for name in ("train", "val")}
        fasta = next(data.glob("proteins.fasta*"))
        cost = measured(
            [
                *(sys.executable, "train.py", "data=files", f"data.fasta={fasta}"),
                *(
                    f"data.train={files['train']}",
                    f"data.val={files['val']}",
                    f"encoder.path={Path(arguments.encoder).resolve()}",
                ),
                *(f"features.folder={Path(arguments.features).resolve()}", "features.long=full"),
                *(f"run_dir={run}", *SETTINGS[model], *resume),
            ],
            ROOT,
        )
        cost_file.write_text(json.dumps(cost))
    metrics = json.loads((run / "metrics.json").read_text())
    return {"settings": SETTINGS[model], **json.loads(cost_file.read_text()), "fit": metrics["fit"], **{
        "val": metrics["val"]["all"], "baselines": {k: v["all"] for k, v in metrics["baselines"]["val"].items()}
    }}  # fmt: skip


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="folder with proteins.fasta, train.tsv and val.tsv, plain or .gz")
    parser.add_argument("--encoder", required=True, help="folder of an ESM-2 encoder")
    parser.add_argument("--features", default="features", help="where feature stores are kept")
    parser.add_argument("--runs", required=True, help="folder for the runs")
    parser.add_argument("--models", nargs="+", default=list(SETTINGS), choices=list(SETTINGS))
    parser.add_argument("--output", required=True, help="JSON file to write")
    arguments = parser.parse_args()
    result = {
        **where_and_when(),
        "framework_peak_mb": measured([sys.executable, "-c", FRAMEWORK], ROOT)["peak_mb"],
        "models": {model: train(model, arguments) for model in arguments.models},
    }
    Path(arguments.output).write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
