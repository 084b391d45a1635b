"""Are the nearest neighbours of real proteins their relatives? And what do analogies over all of them cost?

    esm2-amp extract fasta=datasets/bernett/proteins.fasta encoder=esm2_8m features.long=full store=STORE
    python benchmarks/real_neighbours.py --fasta datasets/bernett/proteins.fasta --store STORE --scratch DIR

Mean tokens, exact search by cosine, one thread. Relatives are pairs with a local alignment over 80 % of both proteins
at more than 30 % identity, found by the project's homology search; a hit counts for every protein that has a relative.
Chance is what a random order would find. Named proteins are shown with their nearest.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from machine import where_and_when
from numpy.typing import NDArray

from esm2_amp.data.homology import homology_engine
from esm2_amp.io.atomic import write_json
from esm2_amp.io.fasta import read_fasta
from esm2_amp.neighbours import Neighbours
from esm2_amp.neighbours.ingest import ingest
from esm2_amp.neighbours.readers.recognise import SourceOptions

ROOT = Path(__file__).parent.parent
TOP = 5
IDENTITY, COVERAGE = 0.3, 0.8
NAMED = {
    "P02100": "haemoglobin epsilon", "Q00534": "CDK6", "P63316": "troponin C", "P62826": "RAN", "P03372": "ESR1",
    "P25786": "proteasome alpha 1", "P07948": "LYN", "P62258": "14-3-3 epsilon", "P52630": "STAT2",
}  # fmt: skip
PAIR = ("P62826", "P51149")


def relatives(fasta: Path, ids: list[str]) -> NDArray[np.bool_]:
    """(n, n) which proteins are related; none with itself."""
    proteins = read_fasta(fasta)
    found = [proteins.get(name) for name in ids]
    sequences = [protein.sequence for protein in found if protein is not None]
    if len(sequences) < len(ids):
        raise SystemExit(f"{fasta} lacks sequences of the store")
    hits = homology_engine("auto").hits(sequences, sequences, COVERAGE, 1)
    related = np.zeros((len(ids), len(ids)), dtype=bool)
    close = hits.identity > IDENTITY
    related[hits.query[close], hits.target[close]] = True
    related |= related.T
    np.fill_diagonal(related, False)
    return related


def found_first(near: Neighbours, related: NDArray[np.bool_]) -> dict[str, float]:
    """Share of the proteins with relatives whose first, or one of the first five, is one; and by chance."""
    have = np.flatnonzero(related.any(axis=1))
    answer = near.similar(near.vectors.ids(have), TOP, metric="cosine")
    hit = related[np.repeat(have, TOP), answer.rows[:, 1]].reshape(-1, TOP)
    share = related[have].sum(axis=1) / (len(related) - 1)
    return {
        "proteins_with_relatives": len(have),
        "first": float(hit[:, 0].mean()),
        f"among_{TOP}": float(hit.any(axis=1).mean()),
        "first_by_chance": float(share.mean()),
        f"among_{TOP}_by_chance": float((1 - (1 - share) ** TOP).mean()),
    }


def timed(near: Neighbours, names: list[str], tau: float | None) -> dict[str, object]:
    """CPU seconds of an analogy query over all proteins, and its best answer."""
    began = time.process_time()
    answer = near.analogy(names, 10, op="difference", max_similarity=tau)
    seconds = time.process_time() - began
    return {"of": names, "max_similarity": tau, "cpu_seconds": round(seconds, 2), "best": answer.names[0],
            "score": round(float(answer.scores[0]), 4)}  # fmt: skip


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fasta", type=Path, required=True)
    parser.add_argument("--store", required=True, help="feature store of these proteins")
    parser.add_argument("--scratch", type=Path, required=True, help="folder for the vectors")
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results" / "real_neighbours.json")
    given = parser.parse_args()
    options = SourceOptions(form="store", tokens=["mean"], ids=None, key=None)
    ingest(given.store, given.scratch / "vectors", options, "error", lambda _: None, lambda _: None)
    near = Neighbours(given.scratch / "vectors")
    ids = near.vectors.ids(np.arange(near.vectors.n))
    named = near.similar(list(NAMED), TOP, metric="cosine")
    nearest: dict[str, list[str]] = {}
    for query, hit in named.names:
        nearest.setdefault(f"{query} {NAMED[query]}", []).append(hit)
    timed(near, list(PAIR), None)  # compiles
    analogies = [timed(near, list(names), tau) for names in (PAIR, PAIR[:1]) for tau in (None, 0.8)]
    write_json(given.output, {
        **where_and_when(), "encoder": near.vectors.manifest.source.get("encoder"), "proteins": len(ids),
        **found_first(near, relatives(given.fasta, ids)), "nearest": nearest, "analogies": analogies,
    })  # fmt: skip


if __name__ == "__main__":
    main()
