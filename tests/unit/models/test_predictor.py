"""A trained model at work: as many rows out as in, in order, each with a probability or a reason."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from esm2_amp import load_model
from esm2_amp.data.dataset import PairDataset
from esm2_amp.errors import InputError
from esm2_amp.features.identity import EncoderIdentity
from esm2_amp.features.store import FeatureStore
from esm2_amp.io.fasta import ProteinSet, write_fasta
from esm2_amp.layout import TokenLayout
from esm2_amp.models.checkpoint import ModelCard, save_model
from esm2_amp.models.network import PairNetwork
from esm2_amp.models.predictor import TrainedModel, as_pairs, needed_proteins, score
from esm2_amp.records import Protein

Make = Callable[..., PairNetwork]
MakeCard = Callable[[str, PairNetwork], ModelCard]

PAIRS = [
    ("P60", "P11"),
    ("P11", "P60"),
    ("P60", "lost"),
    ("gone", "lost"),
    ("P1", "P1100"),
    ("P60", "P11"),
    ("P9", "P9"),
]
UNKNOWN = [2, 3]


@pytest.fixture
def model(make_network: Make, make_card: MakeCard, tmp_path: Path) -> TrainedModel:
    network = make_network("amps")
    save_model(tmp_path / "model", network, make_card("amps", network), ["a" * 64])
    return load_model(tmp_path / "model")


@pytest.fixture
def sequences(proteins: tuple[Protein, ...]) -> dict[str, str]:
    return {protein.id: protein.sequence for protein in proteins}


def test_every_row_keeps_its_place_with_a_probability_or_a_reason(
    model: TrainedModel, sequences: dict[str, str]
) -> None:
    table = model.predict(PAIRS, sequences)
    assert list(table.columns) == ["protein_a", "protein_b", "probability", "status"]
    assert list(zip(table["protein_a"], table["protein_b"], strict=True)) == PAIRS
    assert table.index[table["probability"].isna()].tolist() == UNKNOWN
    assert table["status"].tolist() == [
        "ok", "ok", "no sequence for lost", "no sequence for gone and lost", "ok", "ok", "ok",
    ]  # fmt: skip
    assert table["probability"].dropna().between(0, 1).all()
    assert table["probability"][0] == pytest.approx(table["probability"][1], abs=1e-6)
    assert table["probability"][0] == pytest.approx(table["probability"][5], abs=1e-6)


def test_probabilities_are_the_networks(model: TrainedModel, sequences: dict[str, str], tmp_path: Path) -> None:
    table = model.predict(PAIRS, sequences, store=tmp_path / "store")
    store = FeatureStore(tmp_path / "store")
    proteins = {name: Protein(name, sequence) for name, sequence in sequences.items()}
    for row in table[table["status"] == "ok"].itertuples():
        places = store.find([proteins[row.protein_a].key, proteins[row.protein_b].key])
        a, b = torch.from_numpy(store.gather(places, model.network.layout.stored)).float()[:, None]
        expected = torch.sigmoid(model.network.cpu()(a, b)).item()
        assert row.probability == pytest.approx(expected, abs=1e-6)


def test_probabilities_are_calibrated_as_the_card_says(model: TrainedModel, sequences: dict[str, str]) -> None:
    own = model.predict(PAIRS, sequences)["probability"].to_numpy()
    model.card = replace(model.card, calibration={"method": "platt", "slope": 0.5, "intercept": -1.0})
    expected = 1 / (1 + np.exp(1) * ((1 - own) / own) ** 0.5)
    np.testing.assert_allclose(model.predict(PAIRS, sequences)["probability"], expected, rtol=1e-9)


def test_files_and_objects_give_the_same(
    model: TrainedModel, proteins: tuple[Protein, ...], sequences: dict[str, str], tmp_path: Path
) -> None:
    write_fasta(tmp_path / "proteins.fasta.gz", proteins)
    (tmp_path / "pairs.tsv").write_text("protein_a\tprotein_b\n" + "".join(f"{a}\t{b}\n" for a, b in PAIRS))
    expected = model.predict(PAIRS, sequences)
    for pairs in (PAIRS, iter(PAIRS), tmp_path / "pairs.tsv", str(tmp_path / "pairs.tsv")):
        assert model.predict(pairs, tmp_path / "proteins.fasta.gz").equals(expected)
    lower = {name: sequence.lower() for name, sequence in sequences.items()}
    assert model.predict(PAIRS, lower).equals(expected)


def test_no_pairs_and_only_unknown_pairs(model: TrainedModel, sequences: dict[str, str]) -> None:
    table = model.predict([], sequences)
    assert list(table.columns) == ["protein_a", "protein_b", "probability", "status"]
    assert len(table) == 0
    assert model.predict([("x", "y")], sequences)["status"].tolist() == ["no sequence for x and y"]


def test_a_store_saves_the_encoder(model: TrainedModel, sequences: dict[str, str], tmp_path: Path) -> None:
    first = model.predict(PAIRS, sequences, store=tmp_path / "store")
    again = model.predict(PAIRS, sequences, store=tmp_path / "store", encoder=tmp_path / "nowhere")
    assert again.equals(first)
    with pytest.raises(InputError, match="nowhere' does not exist"):
        model.predict([("P1", "new")], {**sequences, "new": "MKV"}, store=tmp_path / "store", encoder="nowhere")


@pytest.mark.parametrize("batch_size", [1, 2, 100])
def test_probabilities_do_not_depend_on_the_batch(
    model: TrainedModel, sequences: dict[str, str], tmp_path: Path, batch_size: int
) -> None:
    expected = model.predict(PAIRS, sequences, store=tmp_path / "store")["probability"]
    proteins = ProteinSet(Protein(name, sequence) for name, sequence in sequences.items())
    rows = list(model.score_rows(as_pairs(PAIRS), proteins, FeatureStore(tmp_path / "store"), batch_size))
    assert [row.probability is None for row in rows] == expected.isna().tolist()
    found = [row.probability for row in rows if row.probability is not None]
    assert found == pytest.approx(expected.dropna().tolist(), abs=1e-6)
    assert [row.pair.line for row in rows] == [1, 2, 3, 4, 5, 6, 7]


def test_the_wrong_encoder_is_refused_by_name(
    model: TrainedModel, sequences: dict[str, str], encoder_folder: Path, tmp_path: Path
) -> None:
    other = replace(model.card, encoder={"name": "large", "sha256": "e" * 64, "width": 32})
    model.predict(PAIRS, sequences, store=tmp_path / "store")
    model.card = other
    with pytest.raises(InputError, match=r"trained on features of large .* encoder given is tiny"):
        model.predict(PAIRS, sequences, encoder=encoder_folder)
    with pytest.raises(InputError, match=r"store holds features of tiny .*, not of large"):
        model.predict(PAIRS, sequences, store=tmp_path / "store")


def test_a_store_made_with_another_policy_is_refused(
    model: TrainedModel, sequences: dict[str, str], tmp_path: Path
) -> None:
    model.predict(PAIRS, sequences, store=tmp_path / "store")
    model.card = replace(model.card, long={"mode": "truncate", "max_residues": 100})
    with pytest.raises(InputError, match="made with long=full, not truncate at 100"):
        model.predict(PAIRS, sequences, store=tmp_path / "store")
    with pytest.raises(InputError, match="made with long=full, not truncate at 100"):
        next(model.score_rows(as_pairs(PAIRS), ProteinSet(()), FeatureStore(tmp_path / "store"), 10))


@pytest.mark.parametrize(
    ("pairs", "sequences", "message"),
    [
        ([("A", "B")], {"A": "MKV1"}, r"'?1'?"),
        ([("A", "B")], {"A": ""}, "A"),
        ("absent.tsv", {"A": "MKV"}, "absent.tsv: no such file"),
        ([("A", "B")], "absent.fasta", "absent.fasta: no such file"),
    ],
)
def test_unreadable_input_is_named(model: TrainedModel, pairs: Any, sequences: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        model.predict(pairs, sequences)


def test_a_model_knows_the_sequences_it_was_trained_on(model: TrainedModel) -> None:
    assert model.training_sequences() == {"a" * 64}


def test_only_what_pairs_need_is_embedded(proteins: tuple[Protein, ...]) -> None:
    chosen = needed_proteins(as_pairs([("P9", "lost"), ("P1", "P9")]), ProteinSet(proteins))
    assert [protein.id for protein in chosen] == ["P9", "P1"]


@pytest.mark.parametrize("batch_size", [1, 10, 1000])
def test_scores_come_in_the_order_of_the_pairs(
    dataset: Callable[[TokenLayout], PairDataset], make_network: Make, batch_size: int
) -> None:
    network = make_network("amps").train()
    pairs = dataset(network.layout)
    done: list[int] = []
    scores = score(network, pairs, batch_size, torch.device("cpu"), done.append)
    assert sum(done) == 64
    batch = pairs.__getitems__(range(64))
    with torch.no_grad():
        expected = network.eval()(batch.a, batch.b).double().numpy()
    np.testing.assert_allclose(scores, expected, atol=1e-6)
    none = PairDataset(pairs.store, pairs.layout, pairs.a[:0], pairs.b[:0], pairs.label[:0])
    assert score(network, none, batch_size, torch.device("cpu"), done.append).shape == (0,)


def test_an_identity_reads_well() -> None:
    assert str(EncoderIdentity("small", "0123456789abcdef" * 4, 128)) == "small (128 dimensions, weights 0123456789ab)"
