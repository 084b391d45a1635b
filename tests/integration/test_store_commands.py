"""Feature stores from the command line: what extraction made is checked, joined, cut down, exported and imported."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from esm2_amp.features.alphabet import encode
from esm2_amp.features.encoder import Esm2Encoder, identify
from esm2_amp.features.store import FeatureStore
from esm2_amp.io.fasta import ProteinSet, read_fasta, write_fasta


def store_of(trained: Path) -> Path:
    (folder,) = (trained.parent / "features").iterdir()
    return folder


def done(outcome: Any) -> Any:
    assert outcome.code == 0, outcome.err
    return outcome


def content(folder: Path) -> dict[str, bytes]:
    """Record and tokens of every sequence."""
    store = FeatureStore(folder)
    keys = store.keys(np.arange(len(store)))
    assert len(set(keys)) == len(keys)
    return {key: store.index[i].tobytes() + store.block(i, i + 1).tobytes() for i, key in enumerate(keys)}


def flip(file: Path, at: int) -> None:
    values = bytearray(file.read_bytes())
    values[at] ^= 1
    file.write_bytes(values)


@pytest.fixture
def extract(world: Any, cli: Any, tmp_path: Path) -> Any:
    """``extract(name, proteins)``: a new store of these proteins in the working folder."""

    def run(name: str, proteins: Any) -> Path:
        write_fasta(tmp_path / "some.fasta", proteins)
        words = ["fasta=some.fasta", f"encoder.path={world.encoder}", f"store={name}", "features.device=cpu"]
        done(cli(["extract", *words], tmp_path))
        return tmp_path / name

    return run


@pytest.fixture
def proteins(world: Any) -> ProteinSet:
    return read_fasta(world.fasta)


def test_info_says_what_is_held_and_how_large_it_is(trained: Path, cli: Any, tmp_path: Path) -> None:
    folder = store_of(trained)
    said = done(cli(["store", "info", f"store={folder}"], tmp_path)).out
    for word in ("13: cls, segment0 to segment9, eos, mean", "not kept", "40"):
        assert word in said
    files = [file for file in folder.iterdir() if file.name != "lock"]
    assert f"{sum(file.stat().st_size for file in files):,}" in said
    assert f"{(folder / 'shard-00000.f16').stat().st_size:,}" in said
    assert re.search(r"all but tokens and states +\d+\.\d\d %", said)


def test_verify_names_what_is_damaged_and_prune_and_extract_repair_it(
    trained: Path, world: Any, cli: Any, extract: Any, proteins: ProteinSet, tmp_path: Path
) -> None:
    folder = extract("store", proteins)
    before = content(folder)
    assert "40 sequences, all as they were written" in done(cli(["store", "verify", "store=store"], tmp_path)).out
    for row in (3, 30):
        flip(folder / "shard-00000.f16", row * 13 * 32 * 2 + 9)
    keys = FeatureStore(folder).keys(np.array([3, 30]))
    names = [next(protein.id for protein in proteins if protein.key == key) for key in keys]
    outcome = cli(["store", "verify", "store=store"], tmp_path)
    assert outcome.code == 2
    assert "2 of 40 sequences are damaged" in outcome.err
    for row, name, key in zip((3, 30), names, keys, strict=True):
        assert re.search(rf"{name} +{key} +{row} +shard-00000\.f16 ", outcome.out), outcome.out
    said = done(cli(["store", "prune", "store=store", "damaged=true"], tmp_path)).out
    assert "2 of 40 sequences are dropped" in said
    assert all(name in said and key in said for name, key in zip(names, keys, strict=True))
    assert "2 ids have no features" in done(cli(["store", "verify", "store=store"], tmp_path)).out
    extract("store", proteins)
    assert content(folder) == before


def test_merged_halves_are_the_whole(
    cli: Any, extract: Any, proteins: ProteinSet, trained: Path, tmp_path: Path
) -> None:
    every = list(proteins)
    for name, part in (("a", every[:25]), ("b", every[15:])):
        extract(name, part)
    said = done(cli(["store", "merge", "sources=[a,b]", "store=c"], tmp_path)).out
    assert re.search(r"^ *a +25 +25 +0 +0", said, re.MULTILINE)
    assert re.search(r"^ *b +25 +15 +10 +0", said, re.MULTILINE)
    whole = extract("whole", every)
    assert content(tmp_path / "c").keys() == content(whole).keys()
    assert sorted(FeatureStore(tmp_path / "c").ids()) == sorted(FeatureStore(whole).ids())
    before = content(tmp_path / "c")
    done(cli(["store", "merge", "sources=[a,b]", "store=c"], tmp_path))
    assert content(tmp_path / "c") == before
    assert "all as they were written" in done(cli(["store", "verify", "store=c"], tmp_path)).out


@pytest.mark.parametrize("place", ["new", None])
def test_pruned_to_a_fasta_file(
    place: str | None, cli: Any, extract: Any, proteins: ProteinSet, tmp_path: Path
) -> None:
    folder, kept = extract("store", proteins), list(proteins)[:7]
    before = content(folder)
    write_fasta(tmp_path / "keep.fasta", kept)
    words = [] if place is None else [f"output={place}"]
    said = done(cli(["store", "prune", "store=store", "fasta=keep.fasta", *words], tmp_path)).out
    assert "33 of 40 sequences are dropped" in said
    assert "and 13 more" in said
    after = content(tmp_path / (place or "store"))
    assert after == {protein.key: before[protein.key] for protein in kept}
    assert [name for name, _ in FeatureStore(tmp_path / (place or "store")).ids()] == [p.id for p in kept]
    assert place is None or content(folder) == before
    extract("store", proteins)  # a pruned store is gone on with like any other
    assert content(folder).keys() == before.keys()


@pytest.mark.parametrize("ending", ["npz", "h5"])
@pytest.mark.parametrize("form", ["store", "atlas"])
def test_exported_and_imported_again(
    form: str, ending: str, world: Any, trained: Path, cli: Any, tmp_path: Path
) -> None:
    words = [f"store={store_of(trained)}", f"output=x.{ending}", f"form={form}"]
    assert "40 proteins" in done(cli(["store", "export", *words], tmp_path)).out
    words = [f"source=x.{ending}", "store=new", f"fasta={world.fasta}", f"encoder.path={world.encoder}"]
    outcome = done(cli(["store", "import", *words], tmp_path))
    assert "40 sequences imported into new, 0 were there already" in outcome.out
    assert re.search(r"3 computed again .*least cosine (1\.0|0\.999)", outcome.err)
    old, new = FeatureStore(store_of(trained)), FeatureStore(tmp_path / "new")
    assert new.tokens == (old.tokens if form == "store" else ("mean",))
    rows = old.find(new.keys(np.arange(40)))
    assert np.array_equal(old.gather(rows, new.positions), new.gather(np.arange(40), new.positions))


def test_files_of_fair_esm_are_imported_with_their_residue_states(
    world: Any, proteins: ProteinSet, trained: Path, cli: Any, tmp_path: Path
) -> None:
    encoder = Esm2Encoder(world.encoder, identify("e", world.encoder), torch.device("cpu"), torch.float32)
    (tmp_path / "pt").mkdir()
    for protein in [*list(proteins)[:30]]:
        states = encoder.states(torch.from_numpy(encode(protein.sequence)), [len(protein.sequence) + 2]).clone()
        parts = {"representations": {2: states[1:-1].clone()}, "bos_representations": {2: states[0].clone()}}
        torch.save({"label": protein.id, **parts}, tmp_path / "pt" / f"{protein.id}.pt")
    torch.save({"label": "NOBODY", **parts}, tmp_path / "pt" / "NOBODY.pt")
    words = ["source=pt", "store=new", f"fasta={world.fasta}", f"encoder.path={world.encoder}", "residues=true"]
    outcome = done(cli(["store", "import", *words, "unknown=skip", "check=30"], tmp_path))
    assert "1 embeddings have no sequence and are skipped, first 'NOBODY'" in outcome.err
    assert "10 proteins of the FASTA file have no embedding, first 'P30'" in outcome.err
    assert "30 sequences imported" in outcome.out
    old, new = FeatureStore(store_of(trained)), FeatureStore(tmp_path / "new")
    assert new.tokens == tuple(name for name in old.tokens if name != "eos")
    rows = old.find(new.keys(np.arange(30)))
    ours, theirs = new.gather(np.arange(30), new.positions), old.gather(rows, new.positions)
    np.testing.assert_allclose(ours.astype("f4"), theirs.astype("f4"), rtol=2**-9, atol=2e-3)
    said = done(cli(["store", "info", "store=new"], tmp_path)).out
    assert "12: cls, segment0 to segment9, mean" in said
    assert re.search("residue states +kept", said)
    assert "all as they were written" in done(cli(["store", "verify", "store=new"], tmp_path)).out
    done(cli(["store", "export", "store=new", "output=r.h5", "form=atlas", "token=residues"], tmp_path))
    with h5py.File(tmp_path / "r.h5") as file:
        assert {name: len(rows) for name, rows in file.items()} == {p.id: len(p.sequence) for p in list(proteins)[:30]}


@pytest.mark.parametrize("action", ["info", "verify", "merge", "prune", "export", "import"])
def test_help_tells_of_every_action(action: str, cli: Any, tmp_path: Path) -> None:
    said = done(cli(["store", action, "--help"], tmp_path)).out
    assert re.search(rf"^  {action} +\w", said, re.MULTILINE)
    assert f"esm2-amp store {action} " in said


@pytest.mark.slow
def test_a_full_disk_ends_with_one_message_and_the_merge_goes_on_later(
    extract: Any, proteins: ProteinSet, trained: Path, tmp_path: Path
) -> None:
    extract("a", proteins)
    program = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); n = int(sys.argv.pop(1));"
        "n and resource.setrlimit(resource.RLIMIT_FSIZE, (n, n)); from esm2_amp.tasks.cli import main; main()"
    )

    def merge(limit: int) -> Any:
        words = [sys.executable, "-c", program, str(limit), "store", "merge", "sources=[a]", "store=b"]
        return subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)

    stopped = merge(20_000)
    assert stopped.returncode == 2, stopped.stderr
    assert re.search(r"error: b/shard-00000\.f16: the feature store cannot be written", stopped.stderr)
    assert "Traceback" not in stopped.stderr
    assert merge(0).returncode == 0
    assert content(tmp_path / "a") == content(tmp_path / "b")
