"""A feature store as a file that numpy or HDF5 alone can read."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

import h5py
import numpy as np
import pytest

from esm2_amp.errors import InputError
from esm2_amp.features.export import export_atlas, export_store, select
from esm2_amp.features.identity import EncoderIdentity, LongPolicy
from esm2_amp.features.store import FeatureStore
from esm2_amp.features.store_writer import StoreWriter
from esm2_amp.layout import STORED_TOKENS
from esm2_amp.records import Protein

PROTEINS = [Protein(f"P{i}", "MKV"[: i % 3 + 1] + "A" * i) for i in range(2500)]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    folder = tmp_path_factory.mktemp("export") / "store"
    tokens = np.random.default_rng(0).normal(size=(len(PROTEINS), 13, 2)).astype(np.float16)
    lengths = [len(protein.sequence) for protein in PROTEINS]
    with StoreWriter(folder, EncoderIdentity("x", "0" * 64, 2), LongPolicy("truncate", 100), 1000) as writer:
        writer.add_ids([(protein.id, protein.key) for protein in PROTEINS])
        writer.append([protein.key for protein in PROTEINS], lengths, [min(n, 100) for n in lengths], tokens)
    return FeatureStore(folder)


def silent(amount: int) -> None:
    """No progress bar."""


def export_npz(store: FeatureStore, path: Path, proteins: list[Protein] | None) -> int:
    chosen = select(store, proteins)
    export_store(chosen, path, silent)
    return len(chosen.rows)


def exported(path: Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def test_everything_is_exported_as_it_is_stored(store: FeatureStore, tmp_path: Path) -> None:
    assert export_npz(store, tmp_path / "all.npz", None) == 2500
    arrays = exported(tmp_path / "all.npz")
    assert arrays["ids"].tolist() == [protein.id for protein in PROTEINS]
    assert tuple(arrays["layout"]) == STORED_TOKENS
    assert arrays["tokens"].dtype == np.float16
    assert np.array_equal(arrays["tokens"], store.gather(np.arange(2500), range(13)))
    assert arrays["lengths"].tolist() == [len(protein.sequence) for protein in PROTEINS]
    assert arrays["residues"].max() == 100


def test_chosen_proteins_come_under_their_ids_in_their_order(store: FeatureStore, tmp_path: Path) -> None:
    chosen = [Protein("β one", PROTEINS[7].sequence), PROTEINS[3], Protein("again", PROTEINS[7].sequence)]
    assert export_npz(store, tmp_path / "some.npz", chosen) == 3
    arrays = exported(tmp_path / "some.npz")
    assert arrays["ids"].tolist() == ["β one", "P3", "again"]
    assert np.array_equal(arrays["tokens"], store.gather(np.array([7, 3, 7]), range(13)))


def test_a_protein_without_features_is_named_and_no_file_is_left(store: FeatureStore, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no features of 1 of 2 proteins, first 'lost'"):
        export_npz(store, tmp_path / "some.npz", [PROTEINS[0], Protein("lost", "WWWW")])
    assert not list(tmp_path.iterdir())


def test_ids_not_yet_computed_are_left_out(store: FeatureStore, tmp_path: Path) -> None:
    folder = tmp_path / "s"
    with StoreWriter(folder, store.encoder, store.long) as writer:
        writer.add_ids([(protein.id, protein.key) for protein in PROTEINS[:3]])
        writer.append([PROTEINS[1].key], [1], [1], np.ones((1, 13, 2), np.float16))
    assert export_npz(FeatureStore(folder), tmp_path / "x.npz", None) == 1
    assert exported(tmp_path / "x.npz")["ids"].tolist() == ["P1"]


def test_an_empty_store_makes_empty_arrays(store: FeatureStore, tmp_path: Path) -> None:
    with StoreWriter(tmp_path / "s", store.encoder, store.long):
        pass
    assert export_npz(FeatureStore(tmp_path / "s"), tmp_path / "x.npz", None) == 0
    assert exported(tmp_path / "x.npz")["tokens"].shape == (0, 13, 2)


def test_an_id_of_two_sequences_must_be_told_apart(store: FeatureStore, tmp_path: Path) -> None:
    folder = tmp_path / "s"
    proteins = [Protein("P", "AAA"), Protein("P", "GGG"), Protein("Q", "AAA")]
    with StoreWriter(folder, store.encoder, store.long) as writer:
        writer.add_ids([(protein.id, protein.key) for protein in proteins])
        tokens = np.arange(2 * 13 * 2, dtype=np.float16).reshape(2, 13, 2)
        writer.append([proteins[0].key, proteins[1].key], [3, 3], [3, 3], tokens)
    with pytest.raises(InputError, match=r"'P' named two sequences.*fasta=FILE"):
        export_npz(FeatureStore(folder), tmp_path / "x.npz", None)
    assert not (tmp_path / "x.npz").exists()
    export_npz(FeatureStore(folder), tmp_path / "x.npz", [proteins[1], proteins[2]])
    assert np.array_equal(exported(tmp_path / "x.npz")["tokens"], tokens[[1, 0]])


@pytest.fixture(scope="module")
def rich(tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    """A store of two tokens, with residue states, whose ids are awkward as keys."""
    folder = tmp_path_factory.mktemp("rich") / "store"
    rng = np.random.default_rng(1)
    chosen = [Protein(name, "MKV" + "A" * i) for i, name in enumerate(AWKWARD)]
    lengths = [len(protein.sequence) for protein in chosen]
    kind = (EncoderIdentity("x", "0" * 64, 2), LongPolicy("full", 100), 4, ("segment0", "mean"), True)
    with StoreWriter(folder, *kind) as writer:
        writer.add_ids([(protein.id, protein.key) for protein in chosen])
        tokens = rng.normal(size=(len(chosen), 2, 2)).astype(np.float16)
        states = rng.normal(size=(sum(lengths), 2)).astype(np.float16)
        writer.append([protein.key for protein in chosen], lengths, lengths, tokens, states)
    return FeatureStore(folder)


AWKWARD = ["plain", "a/b", "/a//b/", "100%", "a%2Fb", ".", "..", "ids", "x.npy", "sp|P1|N", "β"]


@pytest.mark.parametrize("ending", ["npz", "h5"])
@pytest.mark.parametrize("token", ["mean", "segment0", "residues"])
def test_atlas_has_one_array_for_each_id_whatever_its_letters(
    rich: FeatureStore, tmp_path: Path, ending: str, token: str
) -> None:
    path, steps = tmp_path / f"x.{ending}", list[int]()
    export_atlas(select(rich, None), path, token, steps.append)
    assert sum(steps) == len(AWKWARD)
    if ending == "npz":
        arrays = exported(path)
    else:
        with h5py.File(path) as file:
            assert file.attrs["token"] == token
            arrays = {unquote(name): data[:] for name, data in file.items()}
    assert set(arrays) == set(AWKWARD)
    for row, name in enumerate(AWKWARD):
        held = rich.gather(np.array([row]), [1, 12])[0]
        wanted = rich.residue_states(row) if token == "residues" else held[["segment0", "mean"].index(token)]
        assert arrays[name].dtype == np.float16
        assert np.array_equal(arrays[name], wanted)


def test_hdf5_holds_the_same_as_npz(rich: FeatureStore, tmp_path: Path) -> None:
    export_store(select(rich, None), tmp_path / "x.npz", silent)
    export_store(select(rich, None), tmp_path / "x.h5", silent)
    with h5py.File(tmp_path / "x.h5") as file:
        arrays = exported(tmp_path / "x.npz")
        assert set(file) == set(arrays)
        for name in ("tokens", "lengths", "residues"):
            assert file[name].dtype == arrays[name].dtype
            assert np.array_equal(file[name][:], arrays[name])
        for name in ("ids", "layout"):
            assert list(file[name].asstr()[:]) == arrays[name].tolist()
    assert arrays["layout"].tolist() == ["segment0", "mean"]
    assert arrays["ids"].tolist() == AWKWARD


@pytest.mark.parametrize("ending", ["npz", "h5"])
def test_the_same_store_gives_the_same_bytes(rich: FeatureStore, tmp_path: Path, ending: str) -> None:
    for name in ("a", "b"):
        export_store(select(rich, None), tmp_path / f"{name}.{ending}", silent)
        export_atlas(select(rich, None), tmp_path / f"{name}-atlas.{ending}", "mean", silent)
    for kind in ("", "-atlas"):
        first, second = ((tmp_path / f"{name}{kind}.{ending}").read_bytes() for name in "ab")
        assert first == second


@pytest.mark.parametrize(("token", "message"), [("cls", "no token cls"), ("CLS", "'CLS' is unknown")])
def test_a_token_that_is_not_held_is_named(rich: FeatureStore, tmp_path: Path, token: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        export_atlas(select(rich, None), tmp_path / "x.npz", token, silent)
    assert not list(tmp_path.iterdir())


def test_residue_states_that_are_not_held_are_not_exported(store: FeatureStore, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="keeps no residue states"):
        export_atlas(select(store, None), tmp_path / "x.npz", "residues", silent)


FULL_DISK = """
import resource, signal, sys
from esm2_amp.errors import InputError
from esm2_amp.features.export import export_store, select
from esm2_amp.features.store import FeatureStore
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
try:
    export_store(select(FeatureStore(sys.argv[1]), None), sys.argv[2], lambda done: None)
except InputError as error:
    print(error)
"""


@pytest.mark.parametrize("ending", ["npz", "h5"])
def test_a_full_disk_ends_with_a_message_and_no_file(store: FeatureStore, tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"x.{ending}"
    command = [sys.executable, "-c", FULL_DISK, str(store.folder), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"{path}: cannot be written" in done.stdout
    assert not list(tmp_path.iterdir())
