"""From the best pairs of a screen to their explanations: made here on request, or the command that makes them."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pandas as pd
from hydra import compose

from esm2_amp.io.atomic import atomic_text
from esm2_amp.io.fasta import write_fasta
from esm2_amp.tasks.console import log
from esm2_amp.tasks.screen_scored import ScoredScreen

FOLDER = "explanations"


def explain_best(done: ScoredScreen, edges: pd.DataFrame, folder: Path) -> dict[tuple[str, str], str]:
    """Explain pairs by the methods of the model itself, into ``explanations/``; returns the page of each pair.

    Args:
        done: the screen.
        edges: the pairs.
        folder: of the screen.
    """
    if not len(edges):
        return {}
    from esm2_amp.tasks import explain  # its libraries take seconds
    from esm2_amp.tasks.explain_pages import page_of

    place = folder / FOLDER
    pairs, fasta = folder / "explained_pairs.tsv", folder / "explained.fasta"
    if not (place / "explanation.json").exists():
        log.info("Explaining the %d best pairs.", len(edges))
        _write_input(done, edges, pairs, fasta)
        cfg = compose("explain")
        cfg.pairs, cfg.fasta, cfg.output = str(pairs), str(fasta), str(place)
        cfg.checkpoint = str(done.inputs.model.folder)
        cfg.features, cfg.encoder = asdict(done.inputs.config.features), asdict(done.inputs.config.encoder)
        cfg.train_pairs, cfg.evidence, cfg.pages, cfg.seed = "none", 0, len(edges), done.inputs.config.seed
        explain.run(cfg)
    ends = zip(edges["protein_a"], edges["protein_b"], strict=True)
    return {(str(a), str(b)): f"{FOLDER}/{page_of(number)}" for number, (a, b) in enumerate(ends)}


def explaining_command(done: ScoredScreen) -> Callable[[str, str], str]:
    """What to type to have a pair explained, quoted for a shell."""
    fasta = " ".join(done.inputs.files.values())

    def command(a: str, b: str) -> str:
        pair = shlex.quote(f"protein_a\tprotein_b\n{a}\t{b}\n")
        words = ["esm2-amp", "explain", f"checkpoint={done.inputs.model.folder}", "pairs=pair.tsv"]
        source = f"fasta={fasta}" if len(done.inputs.files) == 1 else "fasta=both.fasta"
        merge = "" if len(done.inputs.files) == 1 else f"cat {shlex.join(done.inputs.files.values())} > both.fasta && "
        return f"printf %s {pair} > pair.tsv && {merge}{shlex.join([*words, source, 'output=explained'])}"

    return command


def _write_input(done: ScoredScreen, edges: pd.DataFrame, pairs: Path, fasta: Path) -> None:
    with atomic_text(pairs) as stream:
        edges[["protein_a", "protein_b"]].to_csv(stream, sep="\t", index=False, lineterminator="\n")
    wanted = {*edges["protein_a"], *edges["protein_b"]}
    write_fasta(fasta, [protein for protein in done.inputs.proteins if protein.id in wanted])
