"""Small inputs that several test files share. torch is imported only where a fixture is used: it takes seconds."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import yaml
from headless_browser import Browser, browser, find_browser
from hypothesis import settings

from esm2_amp.layout import STORED_TOKENS, TokenLayout
from esm2_amp.records import STANDARD_RESIDUES, Protein, sequence_key

if TYPE_CHECKING:
    from esm2_amp.data.dataset import PairDataset
    from esm2_amp.features.encoder import Esm2Encoder
    from esm2_amp.features.store import FeatureStore
    from esm2_amp.models.checkpoint import ModelCard
    from esm2_amp.models.network import PairNetwork

os.environ.setdefault("OMP_NUM_THREADS", "1")  # on tensors as small as these, threads only wait for one another
settings.register_profile("repeatable", derandomize=True, deadline=None, database=None)
settings.load_profile("repeatable")

ROOT = Path(__file__).parents[1]
WIDTH = 32


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Before the fixtures of a test: it does not inherit what another set, as faiss does for all that use OpenMP.

    Threads wait far longer than they work here, and sums in another order are other sums.
    """
    if "torch" in sys.modules:  # many tests do without
        sys.modules["torch"].set_num_threads(1)


@pytest.fixture(scope="session")
def proteins() -> tuple[Protein, ...]:
    """Random proteins: fewer residues than segments, as many, one more, and more than ESM-2 was trained on."""
    rng = np.random.default_rng(1)
    letters = list(STANDARD_RESIDUES)
    return tuple(Protein(f"P{n}", "".join(rng.choice(letters, n))) for n in (1, 9, 10, 11, 60, 1100))


@pytest.fixture(scope="session")
def encoder_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained ESM-2 of 2 layers, with weights so large that every residue matters to every other."""
    import torch

    from esm2_amp.features.pretrain import EncoderShape, build_encoder, save_encoder

    folder = tmp_path_factory.mktemp("encoder")
    torch.manual_seed(0)
    model = build_encoder(EncoderShape(layers=2, width=WIDTH, heads=4, feedforward=64))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.mul_(8)
    save_encoder(model, folder)
    return folder


@pytest.fixture(scope="session")
def encoder(encoder_folder: Path) -> Esm2Encoder:
    """That encoder, loaded."""
    import torch

    from esm2_amp.features.encoder import Esm2Encoder, identify

    return Esm2Encoder(encoder_folder, identify("tiny", encoder_folder), torch.device("cpu"), torch.float32)


@pytest.fixture(scope="session")
def small_store(tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    """24 proteins with random tokens, in three shards."""
    from esm2_amp.features.identity import EncoderIdentity, LongPolicy
    from esm2_amp.features.store import FeatureStore
    from esm2_amp.features.store_writer import StoreWriter

    folder = tmp_path_factory.mktemp("features") / "store"
    rng = np.random.default_rng(2)
    tokens = (rng.normal(size=(24, len(STORED_TOKENS), WIDTH)) * 2 + 0.5).astype(np.float16)
    identity = EncoderIdentity("random", "0" * 64, WIDTH)
    with StoreWriter(folder, identity, LongPolicy("full", 1022), shard_rows=10) as writer:
        writer.append([sequence_key("A" * (n + 1)) for n in range(24)], range(1, 25), range(1, 25), tokens)
    return FeatureStore(folder)


@pytest.fixture(scope="session")
def dataset(small_store: FeatureStore) -> Callable[[TokenLayout], PairDataset]:
    """64 different pairs of the small store with random labels, half of them 1."""
    from esm2_amp.data.dataset import PairDataset

    rng = np.random.default_rng(3)
    a, b = rng.permutation(list(combinations(range(24), 2)))[:64].T
    label = rng.permutation(np.repeat(np.array([0, 1], dtype=np.int8), 32))
    return lambda layout: PairDataset(small_store, layout, a, b, label)


@pytest.fixture(scope="session")
def make_network() -> Callable[..., PairNetwork]:
    """``make_network(name, seed)``: a fresh network as conf/model has it, with layers of a quarter of their sizes."""
    import torch

    from esm2_amp.models.checkpoint import hyper_from
    from esm2_amp.models.networks import network_class

    def make(name: str, seed: int | None = 0) -> PairNetwork:
        file = ROOT / "conf" / "model" / f"{name}.yaml"
        kind = network_class(name)
        values = {**yaml.safe_load(file.read_text())["network"], "scale_from": 4 * WIDTH}
        if seed is not None:
            torch.manual_seed(seed)
        return kind(WIDTH, hyper_from(kind, values, str(file)))

    return make


@pytest.fixture(scope="session")
def make_card(encoder: Esm2Encoder, encoder_folder: Path) -> Callable[[str, PairNetwork], ModelCard]:
    """``make_card(name, network)``: the card of a network trained on features of the small encoder."""
    from esm2_amp.models.checkpoint import ModelCard

    def make(name: str, network: PairNetwork) -> ModelCard:
        source: dict[str, Any] = {"name": "tiny", "path": str(encoder_folder), "hub": None, "revision": None}
        return ModelCard(
            network=name,
            hyper=asdict(network.hyper),
            width=network.width,
            tokens=list(network.layout),
            encoder=asdict(encoder.identity),
            encoder_source=source,
            long={"mode": "full", "max_residues": 1022},
            threshold=0.5,
            calibration={"method": "none"},
            training={},
            metrics={},
            versions={},
        )

    return make


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A browser without a window."""
    program = find_browser()
    if program is None:
        pytest.skip("Chromium is not installed")
    with browser(tmp_path_factory.mktemp("profile"), program) as found:
        yield found


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The address of a database on a server of its own, on this machine only."""
    pytest.importorskip("psycopg")
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    folder = Path(shutil.which("initdb") or (found[-1] if found else "none")).parent
    if not (folder / "initdb").exists():
        pytest.skip("no PostgreSQL server is installed")
    as_user = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []  # the server refuses to run as root
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch) / "server"
        home.mkdir()
        if as_user:
            Path(scratch).chmod(0o755)
            with suppress(LookupError):
                shutil.chown(home, "postgres")
            if home.owner() != "postgres":
                pytest.skip("there is no user who may run PostgreSQL")

        def call(*command: str) -> None:
            subprocess.run([*as_user, *command], cwd=home, check=True, capture_output=True, timeout=120)

        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        password = secrets.token_hex(8)
        (home / "password").write_text(password)
        (home / "password").chmod(0o644)
        data, options = str(home / "data"), f"-p {port} -c listen_addresses=127.0.0.1 -k {home} -c fsync=off"
        call(
            str(folder / "initdb"), "-D", data, "-U", "tuner", "-A", "scram-sha-256", "--pwfile", str(home / "password")
        )
        call(str(folder / "pg_ctl"), "-D", data, "-w", "-l", str(home / "log"), "-o", options, "start")
        try:
            yield f"postgresql://tuner:{password}@127.0.0.1:{port}/postgres"
        finally:
            call(str(folder / "pg_ctl"), "-D", data, "-m", "immediate", "stop")
