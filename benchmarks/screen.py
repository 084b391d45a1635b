"""How fast are pairs scored? Our scorers against ``esm2-amp predict`` and against D-SCRIPT's own predict.

    python benchmarks/screen.py
    python benchmarks/screen.py --dscript ENVIRONMENT/bin/python
    python benchmarks/screen.py --seconds 3 --networks dpm,amps --output somewhere.json

Simulated proteins (random tokens of width 320) and untrained networks: neither changes the time. Layer sizes are the
published ones in proportion to the width; dpm-full keeps DPM's sizes as conf/model/dpm.yaml has them. Every contender
runs in a process of its own with the same number of threads and ready features:

predict            what ``esm2-amp predict`` does with the rows of a pair list, in batches of 256
predict_command    ``python predict.py`` as a whole: start, pair list, features, table, report
float32, bf16      our scorer, block after block of the matrix of all pairs
bf16-compiled ...  the same through torch.compile
dscript            ``dscript predict`` with random embeddings of its 6,165 dimensions; the time for one pair taken off

``error`` is the largest difference of logits from those of ``predict``, whose ``spread`` is their standard deviation.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from machine import measured, where_and_when

from esm2_amp.features.encoder import identify
from esm2_amp.features.identity import EncoderIdentity, LongPolicy
from esm2_amp.features.pretrain import EncoderShape, build_encoder, save_encoder
from esm2_amp.features.store_writer import StoreWriter
from esm2_amp.io.atomic import write_json
from esm2_amp.layout import STORED_TOKENS
from esm2_amp.models.checkpoint import ModelCard, hyper_from, save_model
from esm2_amp.models.networks import network_class
from esm2_amp.records import Protein

ROOT = Path(__file__).parent.parent
WIDTH = 320
NETWORKS = ("dpm", "dpm-full", "amps", "amp_cse", "gru", "ampx")
CONTENDERS = ("predict", "float32", "bf16", "float32-compiled", "bf16-compiled")
POLICY = LongPolicy("full", 1022)


def write_encoder(folder: Path) -> EncoderIdentity:
    """An untrained encoder, which predict asks for; it never runs, as all features are ready."""
    save_encoder(build_encoder(EncoderShape(layers=1, width=WIDTH, heads=4, feedforward=WIDTH)), folder / "encoder")
    return identify("simulated", folder / "encoder")


def write_proteins(folder: Path, identity: EncoderIdentity, count: int) -> None:
    """Random sequences, and a store that holds random tokens for them, where predict looks for it."""
    rng = np.random.default_rng(0)
    letters = np.frombuffer(b"ACDEFGHIKLMNPQRSTVWY", np.uint8)
    proteins = [Protein(f"P{n}", letters[rng.integers(20, size=60)].tobytes().decode()) for n in range(count)]
    (folder / "proteins.fasta").write_text("".join(f">{p.id}\n{p.sequence}\n" for p in proteins))
    tokens = rng.normal(size=(count, len(STORED_TOKENS), WIDTH)).astype(np.float16)
    store = folder / "features" / f"{identity.name}-{identity.sha256[:12]}-{POLICY.tag}"
    with StoreWriter(store, identity, POLICY) as writer:
        writer.append([protein.key for protein in proteins], [60] * count, [60] * count, tokens)


def write_model(folder: Path, identity: EncoderIdentity, name: str) -> None:
    """A model folder with an untrained network."""
    published, _, full = name.partition("-")
    kind = network_class(published)
    values: dict[str, Any] = yaml.safe_load((ROOT / "conf" / "model" / f"{published}.yaml").read_text())["network"]
    if published != "ampx" and not full:
        values["scale_from"] = 1280
    torch.manual_seed(0)
    network = kind(WIDTH, hyper_from(kind, values, name))
    network.standardise.fit(*torch.rand(2, len(network.layout), WIDTH) + 0.5)
    source = {"name": identity.name, "path": str(folder / "encoder"), "hub": None, "revision": None}
    card = ModelCard(
        network=published, hyper=asdict(network.hyper), width=WIDTH, tokens=list(network.layout),
        encoder=asdict(identity), encoder_source=source, long=asdict(POLICY), threshold=0.5,
        calibration={"method": "none"}, training={"simulated": True}, metrics={}, versions={},
    )  # fmt: skip
    save_model(folder / name, network, card, [])


def contend(folder: Path, network: str, contender: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """What a contender measures of itself."""
    command = [sys.executable, str(Path(__file__).with_name("screen_contenders.py")), str(folder), network, contender]
    command += [str(arguments.seconds), str(arguments.threads)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    if done.returncode:
        return {"failed": (done.stderr.strip().splitlines() or ["no message"])[-1]}
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    logits, right = (np.load(folder / f"{network}-{name}.npy") for name in (contender, "predict"))
    result["error"] = float(np.abs(logits - right).max())
    if contender == "predict":
        result["spread"] = float(right.std())
    return result


def predict_command(folder: Path, network: str, pairs: int, count: int) -> dict[str, Any]:
    """``python predict.py`` on so many pairs."""
    rows = zip(range(pairs), product(range(count), range(count)), strict=False)
    (folder / "pairs.tsv").write_text("".join(f"P{a}\tP{b}\n" for _, (a, b) in rows))
    command = [sys.executable, "predict.py", f"pairs={folder / 'pairs.tsv'}", f"fasta={folder / 'proteins.fasta'}"]
    command += [f"checkpoint={folder / network}", f"features.folder={folder / 'features'}", "features.long=full"]
    cost = measured([*command, f"output={folder / 'out.tsv'}"], ROOT)
    return {"pairs": pairs, "pairs_per_second": round(pairs / max(1, cost["seconds"]), 1), **cost}


def dscript(folder: Path, python: str, threads: int, proteins: int) -> dict[str, Any]:
    """``dscript predict`` on all pairs of some proteins, and on one pair."""
    place = folder / "dscript"
    place.mkdir()
    subprocess.run([python, str(Path(__file__).with_name("screen_dscript.py")), str(place), str(proteins)], check=True)
    lines = (place / "pairs.tsv").read_text().splitlines(keepends=True)
    (place / "one.tsv").write_text(lines[0])
    costs = {}
    for name in ("one", "pairs"):
        command = [str(Path(python).with_name("dscript")), "predict", "--pairs", str(place / f"{name}.tsv")]
        command += ["--model", str(place / "model.sav"), "--embeddings", str(place / "embeddings.h5"), "-d", "cpu"]
        began = time.monotonic()
        costs[name] = measured([*command, "--load_proc", str(threads), "-o", str(place / name)], place)
        costs[name]["wall"] = time.monotonic() - began
    scored = len((place / "pairs.tsv").read_text().splitlines())
    seconds = costs["pairs"]["wall"] - costs["one"]["wall"]
    return {
        "pairs": scored, "pairs_per_second": round((scored - 1) / seconds, 2), "mb_peak": costs["pairs"]["peak_mb"],
        "seconds_for_one_pair": round(costs["one"]["wall"], 1),
    }  # fmt: skip


def ours(folder: Path, network: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """A network's contenders."""
    rows = {"predict": contend(folder, network, "predict", arguments)}
    rate = rows["predict"]["pairs_per_second"]
    pairs = min(arguments.proteins**2, max(1000, round(rate * arguments.seconds)))
    rows["predict_command"] = predict_command(folder, network, pairs, arguments.proteins)
    for contender in (name for name in arguments.contenders.split(",") if name != "predict"):
        row = rows[contender] = contend(folder, network, contender, arguments)
        if "pairs_per_second" in row:
            row["times_predict"] = round(row["pairs_per_second"] / rate, 2)
    return rows


def measure(folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """All networks, then D-SCRIPT."""
    identity = write_encoder(folder)
    write_proteins(folder, identity, arguments.proteins)
    result: dict[str, Any] = {
        **where_and_when(), "versions": {name: version(name) for name in ("torch", "numpy")}, "width": WIDTH,
        "threads": arguments.threads, "proteins": arguments.proteins, "seconds": arguments.seconds, "networks": {},
    }  # fmt: skip
    for network in arguments.networks.split(","):
        write_model(folder, identity, network)
        result["networks"][network] = ours(folder, network, arguments)
        print(network, json.dumps(result["networks"][network], indent=1), flush=True)
    if arguments.dscript:
        result["dscript"] = dscript(folder, arguments.dscript, arguments.threads, arguments.dscript_proteins)
        print("dscript", result["dscript"])
    return result


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", default=",".join(NETWORKS), help="which networks")
    parser.add_argument("--contenders", default=",".join(CONTENDERS), help="which of ours; predict always runs")
    parser.add_argument("--seconds", type=float, default=20.0, help="for each contender")
    parser.add_argument("--threads", type=int, default=2, help="of each contender")
    parser.add_argument("--proteins", type=int, default=3000, help="how many")
    parser.add_argument("--dscript", help="Python of an environment with requirements-screen.txt; left out without")
    parser.add_argument("--dscript-proteins", type=int, default=24, help="all pairs of so many for D-SCRIPT")
    parser.add_argument("--output", default=str(ROOT / "benchmarks" / "results" / "screen.json"), help="JSON file")
    arguments = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(arguments.threads)
    with tempfile.TemporaryDirectory() as scratch:
        result = measure(Path(scratch), arguments)
    write_json(arguments.output, result)


if __name__ == "__main__":
    main()
