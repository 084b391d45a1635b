"""A feature store as a file that numpy alone can read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from esm2_amp.errors import InputError
from esm2_amp.features.export import export_npz
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
