"""A model folder is written whole, read without executing anything, and each kind of damage is named."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from esm2_amp.errors import InputError
from esm2_amp.models.amps import AMPS, AMPSHyper
from esm2_amp.models.checkpoint import (
    ModelCard,
    hyper_from,
    load_card,
    load_network,
    load_training_sequences,
    save_model,
)
from esm2_amp.models.network import PairNetwork

Make = Callable[..., PairNetwork]
MakeCard = Callable[[str, PairNetwork], ModelCard]


@pytest.fixture
def folder(make_network: Make, make_card: MakeCard, tmp_path: Path) -> Path:
    network = make_network("dpm")
    save_model(tmp_path / "runs" / "model", network, make_card("dpm", network), ["b" * 64, "a" * 64])
    return tmp_path / "runs" / "model"


def edit_card(**values: Any) -> Callable[[Path], None]:
    """Change entries of the card; None removes one."""

    def edit(folder: Path) -> None:
        file = folder / "card.json"
        card = {**json.loads(file.read_text()), **values}
        file.write_text(json.dumps({key: value for key, value in card.items() if value is not None}))

    return edit


def write(name: str, content: bytes) -> Callable[[Path], Any]:
    return lambda folder: (folder / name).write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "card.json").unlink(), "no card.json: not a model folder"),
        (write("card.json", b"{"), r"card\.json: not readable as JSON"),
        (write("card.json", b"\xff\xfe{}"), r"card\.json: not readable as JSON"),
        (write("card.json", b"[]"), "not the card of an ESM2-AMP model"),
        (edit_card(format="something"), "not the card of an ESM2-AMP model"),
        (edit_card(version=99), "card version 99; this ESM2-AMP reads 1"),
        (edit_card(threshold=None, extra=1), "missing or unknown entries in the card: extra, threshold"),
        (edit_card(threshold="half"), "malformed card: threshold is 'half', expected float"),
        (edit_card(width=[32]), r"malformed card: width is \[32\], expected int"),
        (edit_card(hyper=3), "malformed card: hyper is 3, expected dict"),
        (edit_card(encoder={"name": "x"}), "malformed card .*sha256"),
        (edit_card(long={"mode": "full", "most": 9}), "malformed card .*most"),
        (edit_card(long={"mode": "crop", "max_residues": 1022}), "policy 'crop' is unknown"),
        (edit_card(encoder_source={"path": "x"}), "malformed card: encoder_source"),
        (edit_card(calibration={"method": "oracle"}), r"card\.json: calibration\.method is 'oracle', expected none"),
        (edit_card(calibration={"method": "platt", "slope": 0, "intercept": 1}), r"calibration\.slope is 0, expected"),
        (edit_card(calibration={"method": "temperature", "slope": float("nan")}), r"calibration\.slope is nan, expec"),
    ],
)
def test_a_damaged_card_is_named(folder: Path, damage: Callable[[Path], Any], message: str) -> None:
    damage(folder)
    with pytest.raises(InputError, match=message):
        load_card(folder)


@pytest.mark.parametrize("content", [b"", b"\x80\x04pickle", b"\x10\x00\x00\x00\x00\x00\x00\x00{}"])
def test_damaged_weights_are_named(folder: Path, content: bytes) -> None:
    write("model.safetensors", content)(folder)
    with pytest.raises(InputError, match=r"model\.safetensors: damaged weights"):
        load_network(folder, load_card(folder))


def test_weights_cut_short_or_missing_are_named(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(InputError, match="damaged weights"):
        load_network(folder, load_card(folder))
    file.unlink()
    with pytest.raises(InputError, match=r"no model\.safetensors in the model folder"):
        load_network(folder, load_card(folder))


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"absent' does not exist\. Set checkpoint"):
        load_card(tmp_path / "absent")


def test_a_pickle_is_never_loaded(folder: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (folder / "executed",))

    torch.save({"weight": Trap()}, folder / "model.safetensors")
    with pytest.raises(InputError, match="damaged weights"):
        load_network(folder, load_card(folder))
    assert not (folder / "executed").exists()


HYPER: dict[str, Any] = {
    "scale_from": 1280, "layers": 6, "heads": 8, "dropout": 0.3, "feedforward": 2048, "hidden1": 640, "hidden2": 240,
}  # fmt: skip


def test_hyperparameters_are_taken_as_they_are() -> None:
    assert hyper_from(AMPS, HYPER, "here") == AMPSHyper(**HYPER)
    plain = {**HYPER, "scale_from": None, "dropout": 0}
    assert hyper_from(AMPS, plain, "here") == AMPSHyper(**plain)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"depth": 3}, "here: missing or unknown hyperparameters: depth"),
        ({"layers": "6"}, "layers is '6', expected int"),
        ({"layers": 6.0}, "layers is 6.0, expected int"),
        ({"layers": True}, "layers is True, expected int"),
        ({"layers": None}, "layers is None, expected int"),
        ({"dropout": "a lot"}, "dropout is 'a lot', expected float"),
        ({"dropout": [0.3]}, r"dropout is \[0.3\], expected float"),
        ({"scale_from": 1280.5}, "scale_from is 1280.5, expected int | None"),
        ({"heads": 0}, "heads is 0"),
    ],
)
def test_a_wrong_hyperparameter_is_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        hyper_from(AMPS, {**HYPER, **change}, "here")
    with pytest.raises(InputError, match="missing or unknown hyperparameters: heads"):
        hyper_from(AMPS, {key: value for key, value in HYPER.items() if key != "heads"}, "here")


def test_sequences_of_training_come_back(folder: Path) -> None:
    assert load_training_sequences(folder) == {"a" * 64, "b" * 64}
    (folder / "training_sequences.txt").write_bytes(b"\xff")
    with pytest.raises(InputError, match=r"training_sequences\.txt: cannot be read"):
        load_training_sequences(folder)
    (folder / "training_sequences.txt").unlink()
    with pytest.raises(InputError, match=r"training_sequences\.txt: cannot be read"):
        load_training_sequences(folder)


def test_a_model_is_written_whole_or_not_at_all(folder: Path, make_network: Make, make_card: MakeCard) -> None:
    network = make_network("dpm", seed=9)
    card = make_card("dpm", network)
    with pytest.raises(ValueError, match="not JSON compliant"):
        save_model(folder.parent / "other", network, replace(card, metrics={"auroc": float("nan")}), [])
    assert list(folder.parent.iterdir()) == [folder]
    before = (folder / "model.safetensors").read_bytes()
    with pytest.raises(OSError, match="not empty"):
        save_model(folder, network, card, [])
    assert (folder / "model.safetensors").read_bytes() == before
    assert list(folder.parent.iterdir()) == [folder]


def test_weights_are_kept_in_float32(tmp_path: Path, make_network: Make, make_card: MakeCard) -> None:
    network = make_network("dpm").bfloat16()
    save_model(tmp_path / "model", network, make_card("dpm", network), [])
    loaded = load_network(tmp_path / "model", load_card(tmp_path / "model"))
    for (name, ours), theirs in zip(loaded.state_dict().items(), network.state_dict().values(), strict=True):
        assert ours.dtype == torch.float32, name
        assert torch.equal(ours, theirs.float()), name


def test_a_card_is_plain_json(folder: Path) -> None:
    card = json.loads((folder / "card.json").read_text())
    assert card.pop("format") == "esm2-amp model"
    assert card.pop("version") == 1
    assert card == asdict(load_card(folder))
