"""Input for D-SCRIPT's own predict, in its own formats (run by the Python of the environment that has D-SCRIPT).

    PYTHON benchmarks/screen_dscript.py FOLDER PROTEINS

Writes ``model.sav``, its published architecture with the weights it begins training with (the time does not depend on
them); ``embeddings.h5``, random vectors of the 6,165 dimensions its language model gives, a float32 dataset
(1, L, 6165) a protein; and ``pairs.tsv``, all pairs of them. Lengths are log-normal with median 300, at most 800 (its
``predict`` skips what does not fit in memory).
"""

from __future__ import annotations

import sys
from itertools import combinations
from pathlib import Path

import h5py
import numpy as np
import torch
from dscript.models.contact import ContactCNN
from dscript.models.embedding import FullyConnectedEmbed
from dscript.models.interaction import ModelInteraction


def main(folder: Path, proteins: int) -> None:
    """Write the three files."""
    torch.manual_seed(0)
    model = ModelInteraction(FullyConnectedEmbed(6165, 100, 0.5), ContactCNN(100, 50, 7), False, do_pool=True)
    torch.save(model.eval(), folder / "model.sav")
    rng = np.random.default_rng(0)
    lengths = np.clip(np.exp(rng.normal(np.log(300), 0.65, proteins)), 50, 800).astype(int)
    with h5py.File(folder / "embeddings.h5", "w") as file:
        for number, length in enumerate(lengths):
            file[f"P{number}"] = rng.random((1, length, 6165), dtype=np.float32)
    rows = (f"P{a}\tP{b}\n" for a, b in combinations(range(proteins), 2))
    (folder / "pairs.tsv").write_text("".join(rows))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
