"""Mistakes of users: exit code 2, one message that says what and where, and not a file more or less than before."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from esm2_amp.io.fasta import read_fasta


@dataclass(frozen=True)
class Bench:
    """An empty folder to make mistakes in, beside a good world, a good run and another encoder."""

    here: Path
    world: Any
    run: Path
    other: Path

    def write(self, name: str, content: str | bytes) -> str:
        """Write a file; its name, for the command line."""
        (self.here / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        return name

    def train(self, *overrides: str) -> list[str]:
        return self.world.training("model=dpm", "epochs=1", "run_dir=run", *overrides)

    def train_on(self, rows: str, *overrides: str) -> list[str]:
        """Train on these pairs."""
        return self.train(f"data.train={self.write('mine.tsv', rows)}", *overrides)

    def train_with(self, fasta: str | bytes) -> list[str]:
        """Train on these sequences."""
        return self.train(f"data.fasta={self.write('mine.fasta', fasta)}")

    def predict(self, *overrides: str) -> list[str]:
        return self.world.prediction(self.run / "model", "output=scores.tsv", *overrides)

    def predict_pairs(self, content: str | bytes) -> list[str]:
        return self.predict(f"pairs={self.write('mine.tsv', content)}")

    def extract(self, *overrides: str) -> list[str]:
        files = [f"fasta={self.world.fasta}", f"encoder.path={self.world.encoder}", "store=store"]
        return ["extract", *files, "features.device=cpu", *overrides]

    def store(self, action: str, *overrides: str) -> list[str]:
        (store,) = (self.run.parent / "features").iterdir()
        return ["store", action, f"store={store}", *overrides]

    def own_store(self, edit: Callable[[Path], Any]) -> str:
        """A copy of the good store, spoilt by ``edit``."""
        (store,) = (self.run.parent / "features").iterdir()
        return self.spoilt(store, "store", edit)

    @property
    def good_store(self) -> Path:
        (store,) = (self.run.parent / "features").iterdir()
        return store

    def store_import(self, *overrides: str) -> list[str]:
        files = [f"fasta={self.world.fasta}", f"encoder.path={self.world.encoder}", "store=new"]
        return ["store", "import", *files, "source=x.npz", "features.device=cpu", *overrides]

    def arrays(self, **shapes: tuple[int, ...]) -> str:
        """A .npz of random arrays; its name."""
        rng = np.random.default_rng(0)
        np.savez(self.here / "x.npz", **{name: rng.normal(size=shape) for name, shape in shapes.items()})
        return "x.npz"

    def length(self, name: str) -> int:
        return next(len(protein.sequence) for protein in read_fasta(self.world.fasta) if protein.id == name)

    def encoder(self, edit: Callable[[Path], Any]) -> str:
        """A copy of the good encoder, spoilt by ``edit``, as an option."""
        return "encoder.path=" + self.spoilt(self.world.encoder, "encoder", edit)

    def model(self, edit: Callable[[Path], Any]) -> str:
        """A copy of the good model, spoilt by ``edit``, as an option."""
        return "checkpoint=" + self.spoilt(self.run / "model", "model", edit)

    def other_run(self, edit: Callable[[Path], Any]) -> str:
        """A copy of the good run, spoilt by ``edit``, to go on with."""
        return f"run_dir={self.spoilt(self.run, 'old', edit)}"

    def pretrain(self, *overrides: str) -> list[str]:
        sizes = ["layers=1", "width=8", "heads=2", "feedforward=8", "steps=2", "warmup=1", "steps_per_epoch=1"]
        sizes += ["window=64", "tokens=256", "precision=32-true"]
        return ["pretrain", f"fasta={self.world.fasta}", "output=out", *sizes, *overrides]

    def spoilt(self, source: Path, name: str, edit: Callable[[Path], Any]) -> str:
        shutil.copytree(source, self.here / name)
        edit(self.here / name)
        return name


def into_json(name: str, **changes: Any) -> Callable[[Path], Any]:
    """An edit that changes entries of a JSON file of a folder; a value that is callable changes the old one."""

    def edit(folder: Path) -> None:
        values = json.loads((folder / name).read_text())
        for key, value in changes.items():
            values[key] = value(values[key]) if callable(value) else value
        (folder / name).write_text(json.dumps(values))

    return edit


def into_file(name: str, content: bytes) -> Callable[[Path], Any]:
    return lambda folder: (folder / name).write_bytes(content)


def without(name: str) -> Callable[[Path], Any]:
    return lambda folder: (folder / name).unlink()


def cut(name: str) -> Callable[[Path], Any]:
    """An edit that leaves the first half of a file."""
    return lambda folder: (folder / name).write_bytes(
        (folder / name).read_bytes()[: (folder / name).stat().st_size // 2]
    )


def flip(name: str) -> Callable[[Path], Any]:
    """An edit of one bit in the middle of a file."""

    def edit(folder: Path) -> None:
        content = bytearray((folder / name).read_bytes())
        content[len(content) // 2 + 1] ^= 1
        (folder / name).write_bytes(content)

    return edit


truncated_in_manifest = into_json("manifest.json", long={"mode": "truncate", "max_residues": 99})
other_encoder_in_manifest = into_json("manifest.json", encoder={"name": "other", "sha256": "f" * 64, "width": 32})


def into_weights(edit: Callable[[dict[str, torch.Tensor]], Any]) -> Callable[[Path], Any]:
    """An edit of the tensors of a model folder."""

    def apply(folder: Path) -> None:
        tensors = load_file(folder / "model.safetensors")
        edit(tensors)
        save_file(tensors, folder / "model.safetensors")

    return apply


def training_with(word: str) -> Callable[[Bench], list[str]]:
    return lambda bench: bench.train(word)


def nothing(folder: Path) -> None:
    """No edit."""


GZIP = gzip.compress(b">A\nACDEFGHIKLMNPQRSTVWY\n" * 50)
HEAD = "protein_a\tprotein_b\tlabel\n"
GOOD = HEAD + "P00\tP02\t1\nP00\tP03\t0\n"
Case = tuple[Callable[[Bench], list[str]], str]
"""How to make the mistake, and words (parted by spaces; ``_`` stands for one) that the message must hold."""

FASTA: dict[str, Case] = {
    "missing": (lambda b: b.train("data.fasta=none.fa"), "none.fa no_such_file"),
    "folder": (lambda b: b.train(f"data.fasta={b.world.folder}"), "world folder"),
    "empty": (lambda b: b.train_with(""), "mine.fasta empty"),
    "binary": (lambda b: b.train_with(b"\x00\x01\x02\xff" * 20), "mine.fasta not_text"),
    "spreadsheet": (lambda b: b.train_with(b"PK\x03\x04" + bytes(60)), "mine.fasta Excel"),
    "utf-16": (lambda b: b.train_with(">A\nACD\n".encode("utf-16")), "mine.fasta UTF-16"),
    "truncated gzip": (lambda b: b.train_with(GZIP[:-9]), "mine.fasta gzip cut_short"),
    "pairs instead": (lambda b: b.train(f"data.fasta={b.world.train}"), "train.tsv line_1 not_FASTA list_of_pairs"),
    "FASTQ instead": (lambda b: b.train_with("@read\nACGT\n+\nIIII\n"), "mine.fasta line_1 FASTQ"),
    "no residues": (lambda b: b.train_with(">A\n>B\nACD\n"), "mine.fasta line_1 'A' no_residues"),
    "no id": (lambda b: b.train_with(">A\nACD\n>\nACD\n"), "mine.fasta line_3 without_an_id"),
    "digit": (lambda b: b.train_with(">A\nACD\n>B\nACD\nAC1D\n"), "mine.fasta line_5 'B' '1' position_6"),
    "gap": (lambda b: b.train_with(">A\nAC-D\n"), "mine.fasta line_2 'A' '-' position_3 gaps"),
    "letter": (lambda b: b.train_with(">A\nACDÖ\n"), "mine.fasta line_2 'A' position_4 U+00D6"),
    "two sequences": (lambda b: b.train_with(">A\nACD\n>A\nACE\n"), "mine.fasta line_3 'A' two line_1"),
    "for predict": (lambda b: b.predict("fasta=none.fa"), "none.fa no_such_file"),
    "for extract": (lambda b: b.extract("fasta=" + b.write("x.fa", ">A\nAC*D\n")), "x.fa line_2 'A' '*' position_3"),
    "for pretrain": (lambda b: b.pretrain("fasta=none.fa"), "none.fa no_such_file"),
    "for store": (lambda b: b.store("export", "output=x.npz", "fasta=none.fa"), "none.fa no_such_file"),
}

PAIRS: dict[str, Case] = {
    "missing": (lambda b: b.train("data.train=none.tsv"), "none.tsv no_such_file"),
    "missing test": (lambda b: b.train("data.test=[none.tsv]"), "none.tsv no_such_file"),
    "empty": (lambda b: b.train_on(""), "mine.tsv no_pair"),
    "header only": (lambda b: b.train_on(HEAD), "mine.tsv no_pair"),
    "binary": (lambda b: b.predict_pairs(b"\x7fELF\x00\x00\x00" * 9), "mine.tsv not_text"),
    "truncated gzip": (lambda b: b.predict_pairs(gzip.compress(GOOD.encode())[:-9]), "mine.tsv gzip cut_short"),
    "damaged Parquet": (lambda b: b.predict_pairs(b"PAR1\x15\x04" + bytes(60) + b"PAR1"), "mine.tsv Parquet damaged"),
    "FASTA instead": (lambda b: b.train(f"data.train={b.world.fasta}"), "proteins.fasta line_1 FASTA"),
    "one column": (lambda b: b.predict_pairs("P00\nP01\n"), "mine.tsv line_1 one_column 'P00'"),
    "many columns": (lambda b: b.predict_pairs("a\tb\tc\td\n"), "mine.tsv line_1 4_columns header"),
    "half a header": (lambda b: b.predict_pairs("protein_a\tpartner\nP00\tP01\n"), "mine.tsv line_1 protein_a"),
    "ragged": (lambda b: b.train_on(GOOD + "P00\tP04\n"), "mine.tsv line_4 2_columns 3"),
    "empty id": (lambda b: b.train_on(GOOD + "P00\t\t1\n"), "mine.tsv line_4 second_id"),
    "label 2": (lambda b: b.train_on(GOOD + "P00\tP04\t2\n"), "mine.tsv line_4 '2' 0_or_1"),
    "label yes": (lambda b: b.predict_pairs(GOOD + "P00\tP04\tyes\n"), "mine.tsv line_4 'yes'"),
    "no label": (lambda b: b.train_on(GOOD + "P00\tP04\t\n"), "mine.tsv line_4 P00 P04 no_label"),
    "no label column": (lambda b: b.train_on("P00\tP01\nP00\tP02\n"), "mine.tsv line_1 P00 P01 no_label"),
    "unknown id": (
        lambda b: b.train_on(GOOD + "P00\tNOBODY\t1\n"),
        "mine.tsv line_4 NOBODY proteins.fasta data.unknown=drop",
    ),
    "only unknown ids": (
        lambda b: b.train_on("X\tY\t1\nY\tZ\t0\n", "data.unknown=drop"),
        "mine.tsv no_pair_is_left unknown_protein: 2",
    ),
    "both labels": (
        lambda b: b.train_on(GOOD + "P02\tP00\t0\n"),
        "mine.tsv line_2 P00_-_P02 line_4 data.conflicts=drop",
    ),
    "one class": (lambda b: b.train_on("P00\tP02\t1\nP00\tP03\t1\n"), "mine.tsv train label_1"),
    "one class in val": (
        lambda b: b.train(f"data.val={b.write('v.tsv', HEAD + 'P38' + chr(9) + 'P39' + chr(9) + '0')}"),
        "v.tsv val label_0",
    ),
    "pair in train and val": (lambda b: b.train(f"data.val={b.world.train}"), "train.tsv data.val data.train 56_pairs"),
    "pair in val and test": (lambda b: b.train(f"data.test={b.world.val}"), "val.tsv data.test data.val 24_pairs"),
    "not UTF-8": (lambda b: b.predict_pairs(b"P00\tP01\nP\xe900\tP01\n"), "mine.tsv line_2 UTF-8"),
    "ambiguous accession": (
        lambda b: b.predict(
            "fasta=" + b.write("x.fa", ">sp|Q1|A\nACD\n>sp|Q1|B\nACE\n"), "pairs=" + b.write("x.tsv", "Q1\tQ1\n")
        ),
        "x.fa Q1 line_1 line_3",
    ),
}

WORDS: dict[str, Case] = {
    "unknown task": (lambda b: ["trian"], "'trian' train, predict"),
    "unknown option": (lambda b: b.train("epoch=3"), "epoch --help"),
    "unknown nested option": (lambda b: b.train("model.network.depth=3"), "depth --help"),
    "new option": (lambda b: b.train("+depth=3"), "+depth=3 unknown_option"),
    "forced option": (lambda b: b.train("++depth=3"), "++depth=3 unknown_option"),
    "option taken away": (lambda b: b.train("~seed"), "~seed KEY=VALUE"),
    "option taken away with a value": (lambda b: b.train("~seed=0"), "seed"),
    "word without =": (lambda b: b.train("epochs"), "'epochs' KEY=VALUE --help"),
    "unknown flag": (lambda b: b.train("--epochs=3"), "--epochs=3 flag --help"),
    "flag without its word": (lambda b: b.train("--cfg"), "--cfg"),
    "two modes": (lambda b: b.train("-m", "--cfg=job"), "multirun cfg"),
    "sweep of distributed runs": (lambda b: b.train("-m", "trainer=ddp", "seed=1,2"), "-m ddp sweep"),
    "unclosed bracket": (lambda b: b.train("data.test=[a.tsv"), "data.test=[a.tsv"),
    "several values without -m": (lambda b: b.train("seed=1,2"), "seed=1,2"),
    "text for a number": (lambda b: b.train("epochs=many"), "epochs many"),
    "nothing for a number": (lambda b: b.train("epochs="), "epochs"),
    "null for a number": (lambda b: b.train("epochs=null"), "epochs"),
    "fraction for a count": (lambda b: b.train("epochs=1.5"), "epochs 1.5"),
    "list for a file": (lambda b: b.train("data.fasta=[a,b]"), "data.fasta"),
    "number for a group": (lambda b: b.train("features=3"), "features 3"),
    "text for true": (lambda b: b.train("resume=perhaps"), "resume perhaps"),
    "unknown model": (lambda b: b.train("model=amp"), "model amp amps dpm"),
    "unknown model name": (lambda b: b.train("model.name=amp"), "'amp' amps"),
    "unknown encoder": (lambda b: b.train("encoder=esm3"), "encoder esm3 esm2_650m"),
    "unknown data": (lambda b: b.train("data=bernet"), "data bernet bernett"),
    "files not named": (lambda b: ["train", "data=files"], "data.fasta"),
    "pretrain without files": (lambda b: ["pretrain", "output=x"], "fasta"),
    "extract without a file": (lambda b: ["extract"], "fasta"),
    "store without a folder": (lambda b: ["store", "info"], "store"),
    "unknown action": (lambda b: b.store("action=burn"), "burn info export"),
    "unknown flag of store": (lambda b: ["store", "burn", "store=x"], "burn"),
    "interpolation of nothing": (lambda b: b.train("seed=${nothing}"), "nothing"),
}

VALUES: dict[str, Case] = {
    **{
        f"{key}={value}": (training_with(f"{key}={value}"), words)
        for key, value, words in [
            ("epochs", "0", "epochs 0"),
            ("patience", "0", "patience 0"),
            ("batch_size", "0", "batch_size 0"),
            ("seed", "-1", "seed -1"),
            ("control", "magic", "control 'magic' labels rewire"),
            ("report.resamples", "-1", "report.resamples -1"),
            ("report.level", "95", "report.level 95 0.95"),
            ("report.seed", "-1", "report.seed -1"),
            ("calibration", "histogram", "calibration histogram none temperature platt beta isotonic"),
            ("model.optimizer.lr", "0", "model.optimizer.lr 0"),
            ("model.optimizer.lr", "-1", "model.optimizer.lr -1"),
            ("model.optimizer.lr", "nan", "model.optimizer.lr nan"),
            ("model.optimizer.lr", "inf", "model.optimizer.lr inf"),
            ("model.optimizer.weight_decay", "-1", "weight_decay -1"),
            ("model.optimizer.min_lr", "nan", "min_lr nan"),
            ("model.optimizer.ema_decay", "1", "ema_decay 1"),
            ("model.optimizer.plateau_factor", "1.5", "plateau_factor 1.5"),
            ("model.network.hidden1", "0", "hidden1 0"),
            ("model.network.hidden1", "2.5", "hidden1 2.5"),
            ("model.network.hidden1", "true", "hidden1 True"),
            ("model.network.hidden1", "wide", "hidden1 wide"),
            ("model.network.scale_from", "0", "scale_from 0"),
            ("model.standardise", "perhaps", "model.standardise perhaps"),
            ("data.unknown", "keep", "data.unknown keep drop"),
            ("data.conflicts", "keep", "data.conflicts keep drop"),
            ("logger", "tensorbord", "logger tensorbord tensorboard"),
            ("logger.name", "x", "logger 'x'"),
            ("trainer", "tpu", "trainer tpu"),
            ("trainer.accelerator", "abacus", "trainer abacus"),
            ("trainer.strategy", "foo", "trainer foo"),
            ("trainer.precision", "17", "trainer 17"),
            ("trainer.devices", "0", "trainer 0"),
            ("trainer.devices", "some", "trainer some"),
            ("trainer.num_nodes", "0", "trainer.num_nodes 0"),
            ("trainer.workers", "-1", "trainer.workers -1"),
            ("trainer.threads", "0", "trainer.threads 0"),
            ("trainer.gradient_clip_val", "-1", "trainer.gradient_clip_val -1"),
            ("features.long", "foo", "foo full truncate"),
            ("features.max_residues", "3", "max_residues 3"),
            ("features.token_budget", "1", "features.token_budget 1"),
            ("features.threads", "0", "features.threads 0"),
            ("features.precision", "int8", "features.precision int8"),
            ("features.device", "abacus", "features.device abacus"),
        ]
    },
    "dropout=1.5": (lambda b: b.train("model=amps", "model.network.dropout=1.5"), "dropout 1.5"),
    "dropout=-1": (lambda b: b.train("model=amps", "model.network.dropout=-1"), "dropout -1"),
    "heads=5": (lambda b: b.train("model=amps", "model.network.heads=5"), "heads 5 32"),
    "layers=0": (lambda b: b.train("model=gru", "model.network.layers=0"), "layers 0"),
    "an option of another model": (lambda b: b.train("model.name=gru"), "layers"),
    "predict batch_size=0": (lambda b: b.predict("batch_size=0"), "batch_size 0"),
    "run_dir is there": (lambda b: b.train(b.other_run(nothing)), "'old' exists_already resume"),
    "run_dir is a file": (lambda b: b.train("run_dir=" + b.write("x", "")), "'x' exists_already"),
    "run_dir below a file": (lambda b: b.train(f"run_dir={b.write('x', '')}/y"), "x/y"),
    "features below a file": (lambda b: b.train(f"features.folder={b.write('x', '')}"), "x cannot"),
    "resume without run_dir": (lambda b: b.train("run_dir=null", "resume=true"), "run_dir"),
    "resume of nothing": (lambda b: b.train("resume=true"), "'run' no_run"),
    "resume of a finished run": (lambda b: b.train(b.other_run(nothing), "resume=true"), "'old' finished"),
    "resume with other options": (
        lambda b: b.train(b.other_run(without("metrics.json")), "resume=true"),
        "config.yaml epochs differs",
    ),
    "resume of a damaged configuration": (
        lambda b: b.train(
            b.other_run(lambda run: (without("metrics.json")(run), into_file("config.yaml", b"a: [")(run))),
            "resume=true",
        ),
        "config.yaml",
    ),
    "resume from a damaged checkpoint": (
        lambda b: b.world.training(
            b.other_run(lambda run: (without("metrics.json")(run), cut("checkpoints/last.ckpt")(run))),
            "model=dpm",
            "resume=true",
            f"features.folder={b.run.parent / 'features'}",
        ),
        "last.ckpt damaged",
    ),
    "diverging": (
        lambda b: b.train(
            "model.optimizer.weight_decay=1e30", "batch_size=2", f"features.folder={b.run.parent / 'features'}"
        ),
        "diverged model.optimizer.lr",
    ),
}

ENCODERS: dict[str, Case] = {
    "missing": (lambda b: b.extract("encoder.path=none"), "'none' not_exist encoder.path"),
    "nothing given": (lambda b: b.extract("encoder.path=null"), "encoder.path"),
    "a file": (lambda b: b.extract(f"encoder.path={b.world.fasta}"), "proteins.fasta encoder.path"),
    "no configuration": (lambda b: b.extract(b.encoder(without("config.json"))), "encoder config.json"),
    "configuration not JSON": (lambda b: b.extract(b.encoder(into_file("config.json", b"{"))), "config.json JSON"),
    "configuration a list": (lambda b: b.extract(b.encoder(into_file("config.json", b"[]"))), "config.json ESM-2"),
    "not ESM": (
        lambda b: b.extract(b.encoder(into_json("config.json", model_type="bert"))),
        "config.json 'bert' ESM-2",
    ),
    "ESM-1": (
        lambda b: b.extract(b.encoder(into_json("config.json", position_embedding_type="absolute"))),
        "config.json ESM-2 rotary",
    ),
    "another vocabulary size": (
        lambda b: b.extract(b.encoder(into_json("config.json", vocab_size=34))),
        "34 33 config.json",
    ),
    "another vocabulary": (lambda b: b.extract(b.encoder(into_file("vocab.txt", b"a b c"))), "vocab.txt ESM-2"),
    "no width": (lambda b: b.extract(b.encoder(into_json("config.json", hidden_size=None))), "config.json hidden_size"),
    "no weights": (lambda b: b.extract(b.encoder(without("model.safetensors"))), "encoder no_weights safetensors"),
    "weights cut short": (lambda b: b.extract(b.encoder(cut("model.safetensors"))), "encoder weights"),
    "weights not safetensors": (
        lambda b: b.extract(b.encoder(into_file("model.safetensors", b"\x80\x04pickle" * 9))),
        "encoder weights",
    ),
    "weights of another shape": (
        lambda b: b.extract(b.encoder(into_json("config.json", intermediate_size=128))),
        "encoder weights",
    ),
    "weights of too many layers": (
        lambda b: b.extract(b.encoder(into_json("config.json", num_hidden_layers=1))),
        "encoder weights layer.1",
    ),
    "weights of too few layers": (
        lambda b: b.extract(b.encoder(into_json("config.json", num_hidden_layers=3))),
        "encoder weights layer.2",
    ),
    "weights cut short, in training": (lambda b: b.train(b.encoder(cut("model.safetensors"))), "encoder weights"),
    "heads that do not divide the width": (
        lambda b: b.extract(b.encoder(into_json("config.json", num_attention_heads=5))),
        "encoder 5",
    ),
    "not in the cache": (
        lambda b: b.extract("encoder.path=null", "encoder.hub=facebook/esm2_none"),
        "facebook/esm2_none encoder.path",
    ),
    "a choice that is not in the cache": (
        lambda b: ["extract", f"fasta={b.world.fasta}", "encoder=esm2_3b"],
        "facebook/esm2_t36_3B_UR50D encoder.path",
    ),
    "not a name of the hub": (lambda b: b.extract("encoder.path=null", "encoder.hub='a b/c'"), "'a_b/c'"),
    "no GPU for the features": (lambda b: b.extract("features.device=cuda"), "'cuda' GPU features.device=cpu"),
}

STORES: dict[str, Case] = {
    "not there": (lambda b: ["store", "info", "store=none"], "none not_a_feature_store"),
    "not a store": (lambda b: ["store", "info", f"store={b.world.folder}"], "world not_a_feature_store"),
    "a file": (lambda b: ["store", "info", f"store={b.world.fasta}"], "proteins.fasta not_a_feature_store"),
    "a folder of something else": (lambda b: b.extract(f"store={b.world.folder}"), "world no_feature_store"),
    "extract into a file": (lambda b: b.extract("store=" + b.write("x", "")), "x no_feature_store"),
    "manifest not JSON": (
        lambda b: ["store", "info", f"store={b.own_store(into_file('manifest.json', b'{'))}"],
        "manifest.json read",
    ),
    "manifest of something else": (
        lambda b: ["store", "info", "store=" + b.own_store(into_json("manifest.json", format="x"))],
        "manifest.json not",
    ),
    "manifest of the future": (
        lambda b: ["store", "info", "store=" + b.own_store(into_json("manifest.json", version=9))],
        "manifest.json another_version",
    ),
    "rows missing": (
        lambda b: ["store", "info", "store=" + b.own_store(cut("shard-00000.f16"))],
        "shard-00000.f16 damaged bytes",
    ),
    "of another encoder": (
        lambda b: b.extract("store=" + b.own_store(nothing), f"encoder.path={b.other}"),
        "store features_of encoder other",
    ),
    "of another policy": (
        lambda b: b.extract("store=" + b.own_store(nothing), "features.long=truncate"),
        "store long=chunk truncate",
    ),
    "export without output": (lambda b: b.store("export"), "output"),
    "export to text": (lambda b: b.store("export", "output=x.txt"), "'x.txt' .npz"),
    "export below a file": (lambda b: b.store("export", f"output={b.write('x', '')}/y.npz"), "x/y.npz cannot_write"),
    "export to an unknown form": (lambda b: b.store("export", "output=x.npz", "form=x"), "'x' store atlas"),
    "export of one token in the store's form": (
        lambda b: b.store("export", "output=x.h5", "token=cls"),
        "cls form=atlas",
    ),
    "export of an unknown token": (
        lambda b: b.store("export", "output=x.h5", "form=atlas", "token=CLS"),
        "'CLS' cls segment0 residues",
    ),
    "export of residues it has not": (
        lambda b: b.store("export", "output=x.h5", "form=atlas", "token=residues"),
        "no_residue_states token",
    ),
    "damaged": (lambda b: ["store", "verify", "store=" + b.own_store(flip("shard-00000.f16"))], "store 1_of_40 prune"),
    "cut short": (
        lambda b: ["store", "verify", "store=" + b.own_store(cut("shard-00000.f16"))],
        "store 20_of_40 prune",
    ),
    "ids not text": (
        lambda b: ["store", "verify", "store=" + b.own_store(into_file("ids.tsv", b"\xff\tx\n"))],
        "ids.tsv line_1 not_text",
    ),
    "verify what is not there": (lambda b: ["store", "verify", "store=none"], "none not_a_feature_store"),
    "merge nothing": (lambda b: b.store("merge"), "sources"),
    "merge with itself": (lambda b: b.store("merge", f"sources=[{b.good_store}]"), "store among sources"),
    "merge what is not there": (lambda b: ["store", "merge", "store=x", "sources=[none]"], "none not_a_feature_store"),
    "merge into something else": (
        lambda b: ["store", "merge", f"store={b.world.folder}", f"sources=[{b.good_store}]"],
        "world no_feature_store",
    ),
    "merge of two encoders": (
        lambda b: ["store", "merge", "store=x", f"sources=[{b.good_store},{b.own_store(other_encoder_in_manifest)}]"],
        "store features_of other not_of encoder",
    ),
    "merge of two policies": (
        lambda b: [
            "store",
            "merge",
            "store=x",
            f"sources=[{b.good_store},{b.own_store(truncated_in_manifest)}]",
        ],
        "store long=truncate_at_99 not chunk",
    ),
    "merge into a store of another encoder": (
        lambda b: ["store", "merge", f"sources=[{b.good_store}]", "store=" + b.own_store(other_encoder_in_manifest)],
        "store features_of other not_of encoder",
    ),
    "prune of nothing": (lambda b: b.store("prune"), "fasta damaged=true"),
    "prune what is not there": (lambda b: ["store", "prune", "store=none", "damaged=true"], "none not_a_feature_store"),
    "prune down to none": (lambda b: b.store("prune", "fasta=" + b.write("x.fa", ">Z\nWWWW\n")), "x.fa none 1"),
    "prune into a full folder": (
        lambda b: b.store("prune", "damaged=true", f"output={b.world.folder}"),
        "world exists_already",
    ),
    "import of nothing": (lambda b: b.store_import("source=null"), "source"),
    "import from nowhere": (lambda b: b.store_import("source=none"), "'none' not_exist"),
    "import of text": (lambda b: b.store_import("source=" + b.write("x.txt", "")), "'x.txt' kind .pt .h5 .npz"),
    "import of an empty folder": (lambda b: b.store_import(f"source={b.other}"), "other_encoder no_.pt_file"),
    "import of a damaged .npz": (
        lambda b: b.store_import("source=" + b.write("x.npz", b"PK\x03\x04")),
        "x.npz damaged",
    ),
    "import of a damaged .h5": (lambda b: b.store_import("source=" + b.write("x.h5", b"\x89HDF")), "x.h5 damaged"),
    "import of a damaged .pt": (
        lambda b: b.store_import("source=" + b.write("P00.pt", b"PK\x03\x04")),
        "P00.pt damaged",
    ),
    "import without an encoder": (lambda b: b.store_import("encoder.path=null"), "encoder=esm2_650m"),
    "import without sequences": (lambda b: b.store_import("fasta=null"), "fasta"),
    "import with an unknown policy": (lambda b: b.store_import("unknown=drop"), "'drop' error skip"),
    "import with a negative check": (lambda b: b.store_import("check=-1"), "check -1"),
    "import of strange ids": (
        lambda b: b.store_import("source=" + b.arrays(nobody=(32,)), "unknown=skip"),
        "x.npz none_of_its_1_ids 'nobody' proteins.fasta",
    ),
    "import of an id without a sequence": (
        lambda b: b.store_import("source=" + b.arrays(P00=(32,), nobody=(32,))),
        "x.npz 1_of_2 'nobody' proteins.fasta unknown=skip",
    ),
    "import of the wrong length": (
        lambda b: b.store_import("source=" + b.arrays(P00=(3, 32))),
        "x.npz 'P00' 3_residues proteins FASTA",
    ),
    "import of another width": (lambda b: b.store_import("source=" + b.arrays(P00=(33,))), "x.npz 'P00' (33,) 32"),
    "import of a cube": (lambda b: b.store_import("source=" + b.arrays(P00=(3, 3, 3))), "x.npz 'P00' (3,_3,_3)"),
    "import of two kinds": (
        lambda b: b.store_import("source=" + b.arrays(P00=(32,), P01=(b.length("P01"), 32))),
        "x.npz 'P01' segment0 mean stores_of_their_own",
    ),
    "import of another encoder's": (
        lambda b: b.store_import("source=" + b.arrays(P00=(32,), P01=(32,))),
        "x.npz mean not_what encoder computes cosine",
    ),
    "import of residue states that are not there": (
        lambda b: b.store_import("residues=true", "source=" + b.arrays(P00=(32,))),
        "x.npz 'P00' no_states residues=false",
    ),
    "export what is not there": (
        lambda b: b.store("export", "output=x.npz", "fasta=" + b.write("x.fa", ">Z1\nWWWW\n")),
        "Z1 no_features extract",
    ),
}

MODELS: dict[str, Case] = {
    "resamples of predict": (lambda b: b.predict("report.resamples=-1"), "report.resamples -1"),
    "training pairs of predict": (lambda b: b.predict("train_pairs=none.tsv"), "none.tsv no_such_file"),
    "unlabelled training pairs of predict": (
        lambda b: b.predict("train_pairs=" + b.write("t.tsv", "P00\tP01\n")),
        "t.tsv line_1 P00 P01 no_label",
    ),
    "missing": (lambda b: b.predict("checkpoint=none"), "'none' not_exist checkpoint"),
    "a run": (lambda b: b.predict(f"checkpoint={b.run}"), "card.json RUN/model"),
    "a file": (lambda b: b.predict(f"checkpoint={b.world.fasta}"), "proteins.fasta checkpoint"),
    "card not JSON": (lambda b: b.predict(b.model(into_file("card.json", b"{"))), "card.json JSON"),
    "card of something else": (
        lambda b: b.predict(b.model(into_json("card.json", format="x"))),
        "card.json not_the_card",
    ),
    "card of the future": (lambda b: b.predict(b.model(into_json("card.json", version=2))), "card.json version_2"),
    "card with more": (lambda b: b.predict(b.model(into_json("card.json", run="rm"))), "card.json run"),
    "card with a text for a number": (
        lambda b: b.predict(b.model(into_json("card.json", threshold="high"))),
        "card.json high",
    ),
    "card without an encoder": (
        lambda b: b.predict(b.model(into_json("card.json", encoder={}))),
        "card.json malformed",
    ),
    "card with an odd source": (
        lambda b: b.predict(b.model(into_json("card.json", encoder_source={"x": 1}))),
        "card.json encoder_source",
    ),
    "calibration that turns the order round": (
        lambda b: b.predict(b.model(into_json("card.json", calibration={"method": "temperature", "slope": -1.0}))),
        "card.json calibration.slope -1.0",
    ),
    "calibration that is no number": (
        lambda b: b.predict(
            b.model(into_json("card.json", calibration={"method": "platt", "slope": float("nan"), "intercept": 0}))
        ),
        "card.json calibration.slope nan",
    ),
    "unknown calibration": (
        lambda b: b.predict(b.model(into_json("card.json", calibration={"method": "magic"}))),
        "card.json calibration.method 'magic' none temperature platt",
    ),
    "unknown network": (lambda b: b.predict(b.model(into_json("card.json", network="os.system"))), "'os.system' dpm"),
    "another network": (lambda b: b.predict(b.model(into_json("card.json", network="gru"))), "card.json tokens gru"),
    "another layout": (lambda b: b.predict(b.model(into_json("card.json", tokens=["cls"]))), "card.json cls mean"),
    "unknown hyperparameter": (
        lambda b: b.predict(b.model(into_json("card.json", hyper=lambda old: {**old, "x": 1}))),
        "card.json x",
    ),
    "another size": (
        lambda b: b.predict(b.model(into_json("card.json", hyper=lambda old: {**old, "hidden1": 99}))),
        "model.safetensors mlp.0. shape (25,)",
    ),
    "another width": (lambda b: b.predict(b.model(into_json("card.json", width=64))), "card.json 64 32"),
    "no weights": (lambda b: b.predict(b.model(without("model.safetensors"))), "model no_model.safetensors"),
    "weights cut short": (lambda b: b.predict(b.model(cut("model.safetensors"))), "model.safetensors damaged"),
    "weights of another shape": (
        lambda b: b.predict(b.model(into_weights(lambda t: t.update({"mlp.0.weight": torch.zeros(3, 3)})))),
        "model.safetensors mlp.0.weight (3,_3)",
    ),
    "weights without a tensor": (
        lambda b: b.predict(b.model(into_weights(lambda t: t.pop("mlp.0.weight")))),
        "model.safetensors mlp.0.weight",
    ),
    "weights that are not finite": (
        lambda b: b.predict(b.model(into_weights(lambda t: t["mlp.0.weight"].fill_(float("nan"))))),
        "model.safetensors mlp.0.weight finite",
    ),
    "no training sequences": (
        lambda b: b.predict(b.model(without("training_sequences.txt"))),
        "training_sequences.txt",
    ),
    "another encoder": (lambda b: b.predict(f"encoder.path={b.other}"), "trained other_encoder encoder.path"),
    "an encoder that is gone": (
        lambda b: b.predict(
            b.model(into_json("card.json", encoder_source=lambda old: {**old, "path": "gone"})), "features.folder=new"
        ),
        "'gone' encoder.path",
    ),
    "output a folder": (lambda b: b.predict(f"output={b.spoilt(b.run / 'model', 'x.tsv', nothing)}"), "'x.tsv' folder"),
    "output an input": (lambda b: [*b.predict_pairs(GOOD), "output=mine.tsv"], "'mine.tsv' input"),
    "output of another kind": (lambda b: b.predict("output=x.xlsx"), "'x.xlsx' .tsv .csv"),
    "output below a file": (lambda b: b.predict(f"output={b.write('x', '')}/y/z.tsv"), "x/y/z.tsv"),
}

PRETRAIN: dict[str, Case] = {
    "width of no multiple": (lambda b: b.pretrain("width=9"), "width 9 2 heads"),
    "odd heads": (lambda b: b.pretrain("width=6"), "width 6 2 heads"),
    "no layers": (lambda b: b.pretrain("layers=0"), "layers 0"),
    "everything held out": (lambda b: b.pretrain("held_out=2"), "held_out 2"),
    "held out all but none": (lambda b: b.pretrain("held_out=0.999"), "held_out 0.999"),
    "no learning": (lambda b: b.pretrain("learning_rate=0"), "learning_rate 0"),
    "tokens below the window": (lambda b: b.pretrain("tokens=32"), "tokens 32 66"),
    "no steps": (lambda b: b.pretrain("steps=0"), "steps 0"),
    "unknown precision": (lambda b: b.pretrain("precision=17"), "precision 17"),
    "one sequence": (lambda b: b.pretrain("fasta=" + b.write("x.fa", ">A\nACD\n>B\nACD\n")), "two x.fa"),
    "output a file": (lambda b: b.pretrain("output=" + b.write("x", "")), "x"),
    "output below a file": (lambda b: b.pretrain(f"output={b.write('x', '')}/y"), "x/y"),
    "trained already": (
        lambda b: b.pretrain(f"output={b.spoilt(b.world.folder, 'out', nothing)}"),
        "out trained_already",
    ),
    "other settings": (
        lambda b: b.pretrain(
            "output=" + b.spoilt(b.run / "model", "out", into_file("settings.json", b'{"layers": 7}'))
        ),
        "out layers",
    ),
}

SOURCES: dict[str, Case] = {
    "simulate without output": (lambda b: ["simulate"], "output"),
    "simulate over a folder": (
        lambda b: ["simulate", f"output={b.spoilt(b.world.folder, 'x', nothing)}"],
        "'x' exists",
    ),
    "simulate over a file": (lambda b: ["simulate", "output=" + b.write("x", "")], "'x' exists"),
    "simulate below a file": (lambda b: ["simulate", f"output={b.write('x', '')}/y"], "x/y"),
    "simulate with a negative seed": (lambda b: ["simulate", "output=x", "seed=-1"], "seed -1"),
    "simulate with no families": (lambda b: ["simulate", "output=x", "world.domain_families=0"], "domain_families 0"),
    "simulate with a text": (lambda b: ["simulate", "output=x", "world.train_pairs=many"], "train_pairs many"),
    "simulate with a share of 2": (lambda b: ["simulate", "output=x", "world.deletion_share=2"], "deletion_share 2"),
    "simulate with a range of 3": (lambda b: ["simulate", "output=x", "world.length_range=[1,2,3]"], "length_range"),
    "fetch without a name": (lambda b: ["fetch"], "dataset"),
    "fetch of an unknown name": (lambda b: ["fetch", "dataset=bernet"], "'bernet' bernett"),
    "fetch into a file": (lambda b: ["fetch", "dataset=bernett", "folder=" + b.write("x", "")], "x"),
    "fetch from no address": (lambda b: ["fetch", "dataset=bernett", "folder=x", "base_url=nonsense"], "nonsense"),
    "fetch from nobody": (
        lambda b: ["fetch", "dataset=bernett", "folder=x", "base_url=http://127.0.0.1:9"],
        "http://127.0.0.1:9",
    ),
}

TABLES = {
    "fasta": FASTA,
    "pairs": PAIRS,
    "words": WORDS,
    "values": VALUES,
    "encoder": ENCODERS,
    "store": STORES,
    "model": MODELS,
    "pretrain": PRETRAIN,
    "sources": SOURCES,
}
CASES = {f"{table}: {name}": case for table, cases in TABLES.items() for name, case in cases.items()}


@pytest.fixture
def bench(tmp_path: Path, world: Any, trained: Path, other_encoder: Path) -> Bench:
    return Bench(tmp_path, world, trained, other_encoder)


def tree(*folders: Path) -> dict[str, str]:
    """Every path below some folders, files with the hash of their content; the log of an old run may grow."""
    paths = (path for folder in folders for path in sorted(folder.rglob("*")) if path.name != "train.log")
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "" for path in paths}


def check_refused(argv: list[str], words: str, bench: Bench, cli: Callable[..., Any]) -> None:
    places = (bench.here, bench.world.folder, bench.run.parent, bench.other)
    before = tree(*places)
    outcome = cli(argv, bench.here)
    assert outcome.code == 2, outcome
    assert tree(*places) == before
    assert "Traceback" not in outcome.err
    assert len(re.findall(r"\berror: ", outcome.err)) == 1, outcome.err
    message = outcome.err.splitlines()[-1]
    assert message.startswith("error: "), outcome.err
    assert len(message) < 1000, message
    for word in words.split():
        assert word.replace("_", " ") in message or word in message, f"{word!r} is not in: {message}"


@pytest.mark.parametrize("name", CASES)
def test_a_mistake_ends_with_one_message_and_no_file(name: str, bench: Bench, cli: Callable[..., Any]) -> None:
    make, words = CASES[name]
    if "cuda" in words and torch.cuda.is_available():
        pytest.skip("there is a GPU")
    check_refused(make(bench), words, bench, cli)


@pytest.mark.parametrize("word", ["trainer=gpu", "trainer.accelerator=gpu", "trainer.accelerator=cuda"])
def test_training_on_a_gpu_that_is_not_there(word: str, bench: Bench, cli: Callable[..., Any]) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    argv = [argument for argument in bench.train(word) if argument != "trainer.accelerator=cpu"]
    check_refused(argv, "trainer", bench, cli)


@pytest.mark.parametrize("name", ["tensorboard", "wandb", "mlflow"])
def test_a_logger_that_is_not_installed(
    name: str, bench: Bench, cli: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("esm2_amp.tasks.train.find_spec", lambda package: None)
    check_refused(bench.train(f"logger={name}"), f"logger={name} pip_install_{name}", bench, cli)


def test_a_store_that_another_process_writes_to(bench: Bench, cli: Callable[..., Any]) -> None:
    import fcntl

    folder = bench.own_store(nothing)
    with (bench.here / folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        check_refused(bench.extract(f"store={folder}"), "store another_process", bench, cli)


def test_a_bug_is_not_taken_for_a_mistake(
    bench: Bench, cli: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: object) -> Iterator[None]:
        raise ZeroDivisionError("ours")

    monkeypatch.setattr("esm2_amp.tasks.extract.read_fasta", broken)
    with pytest.raises(ZeroDivisionError, match="ours"):
        cli(bench.extract(), bench.here)


def test_the_table_of_mistakes_is_long_enough() -> None:
    assert len(CASES) >= 70
