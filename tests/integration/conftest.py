"""A small world for the command line: an untrained encoder, 40 proteins, pairs, and a model trained on them."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from esm2_amp.records import STANDARD_RESIDUES

os.environ["HF_HUB_OFFLINE"] = "1"  # before huggingface_hub is imported: these tests never ask the network
CPU = ("trainer.accelerator=cpu", "features.device=cpu")


@dataclass(frozen=True)
class Outcome:
    """How a command ended and what it printed."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class World:
    """Files to train and predict with; proteins P34..P39 stand in test pairs only, P28..P33 in no training pair."""

    folder: Path
    encoder: Path
    fasta: Path
    train: Path
    val: Path
    test: Path

    def training(self, *overrides: str) -> list[str]:
        """A command that trains on these files; two epochs unless told otherwise."""
        files = [f"data.{name}={getattr(self, name)}" for name in ("fasta", "train", "val", "test")]
        size = "model.network.scale_from=128"  # layers of a tenth of the published sizes
        return ["train", "data=files", *files, f"encoder.path={self.encoder}", size, "epochs=2", *CPU, *overrides]

    def prediction(self, model: Path | str, *overrides: str) -> list[str]:
        """A command that scores the test pairs; the output must be named."""
        files = [f"pairs={self.test}", f"fasta={self.fasta}", f"checkpoint={model}"]
        return ["predict", *files, "features.device=cpu", *overrides]


Run = Callable[..., Outcome]


@pytest.fixture(scope="session")
def cli() -> Run:
    """``cli(argv, folder)``: a command of esm2-amp, run in this process as if started in that folder."""

    def run(argv: list[str], folder: Path) -> Outcome:
        from esm2_amp.tasks.cli import main

        handlers = logging.getLogger("esm2_amp").handlers
        out, err, code = io.StringIO(), io.StringIO(), 0
        handlers.clear()  # they write to the standard error of an earlier call
        with contextlib.chdir(folder), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                main(argv)
            except SystemExit as end:
                code = end.code if isinstance(end.code, int) else 1
        handlers.clear()
        return Outcome(code, out.getvalue(), err.getvalue())

    return run


@pytest.fixture(autouse=True)
def _same_environment() -> Iterator[None]:
    """Undo what a command leaves in the environment of its process."""
    before = dict(os.environ)
    yield
    for name in set(os.environ) - set(before):
        del os.environ[name]
    os.environ.update(before)


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Random proteins of 20 to 60 residues and random pairs: nothing to learn, everything to run."""
    folder = tmp_path_factory.mktemp("world")
    rng = np.random.default_rng(7)
    letters = list(STANDARD_RESIDUES)
    names = [f"P{i:02}" for i in range(40)]
    records = (f">{name} a description\n{''.join(rng.choice(letters, rng.integers(20, 61)))}\n" for name in names)
    (folder / "proteins.fasta").write_text("".join(records))
    taken: set[tuple[str, str]] = set()
    _draw_pairs(folder / "train.tsv", [([name], names[:28], 2) for name in names[:28]], taken, rng)
    _draw_pairs(folder / "val.tsv", [(names[:28], names[:28], 12), (names[:28], names[28:34], 12)], taken, rng)
    classes = [(names[:28], names[:28], 10), (names[:28], names[34:], 10), (names[34:], names[34:], 8)]
    _draw_pairs(folder / "test.tsv", classes, taken, rng)
    _make_encoder(folder / "encoder", seed=0)
    files = (folder / name for name in ("encoder", "proteins.fasta", "train.tsv", "val.tsv", "test.tsv"))
    return World(folder, *files)


@pytest.fixture(scope="session")
def other_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An encoder of the same shape with other weights."""
    folder = tmp_path_factory.mktemp("other") / "other_encoder"
    _make_encoder(folder, seed=1)
    return folder


@pytest.fixture(scope="session")
def trained(world: World, cli: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of a DPM trained on the world; its features lie beside it, in ``features``."""
    folder = tmp_path_factory.mktemp("trained")
    outcome = cli(world.training("model=dpm", "run_dir=run"), folder)
    assert outcome.code == 0, outcome.err
    return folder / "run"


@pytest.fixture
def warm(trained: Path, tmp_path: Path) -> Path:
    """An empty folder to work in, where the features of the world are computed already."""
    shutil.copytree(trained.parent / "features", tmp_path / "features")
    return tmp_path


def _make_encoder(folder: Path, seed: int) -> None:
    import torch

    from esm2_amp.features.pretrain import EncoderShape, build_encoder, save_encoder

    torch.manual_seed(seed)
    model = build_encoder(EncoderShape(layers=2, width=32, heads=4, feedforward=64))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.mul_(8)  # so that proteins differ
    folder.mkdir()
    save_encoder(model, folder)


def _draw_pairs(
    file: Path,
    parts: list[tuple[list[str], list[str], int]],
    taken: set[tuple[str, str]],
    rng: np.random.Generator,
) -> None:
    """Distinct pairs that are not in ``taken`` yet; in each part the labels alternate."""
    rows = ["protein_a\tprotein_b\tlabel"]
    for first, second, count in parts:
        made = 0
        while made < count:
            a, b = str(rng.choice(first)), str(rng.choice(second))
            if a == b or (a, b) in taken or (b, a) in taken:
                continue
            taken.add((a, b))
            rows.append(f"{a}\t{b}\t{made % 2}")
            made += 1
    file.write_text("\n".join(rows) + "\n")
