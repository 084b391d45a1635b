"""Which encoder a folder or name means, and every way in which it can be the wrong one."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pytest
import torch
from safetensors.torch import load_file, save_file

from esm2_amp.errors import InputError
from esm2_amp.features.encoder import Esm2Encoder, identify, locate
from esm2_amp.features.identity import EncoderIdentity


@pytest.fixture
def folder(encoder_folder: Path, tmp_path: Path) -> Path:
    """A copy of the small encoder that a test may damage."""
    return Path(shutil.copytree(encoder_folder, tmp_path / "copy"))


def load(folder: Path) -> Esm2Encoder:
    return Esm2Encoder(folder, identify("copy", folder), torch.device("cpu"), torch.float32)


def change_weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], Any]) -> None:
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def change_config(**values: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        file = folder / "config.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), **values}))

    return change


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "config.json").unlink(), "no config.json"),
        (lambda folder: (folder / "config.json").write_text("{"), "config.json: not readable as JSON"),
        (lambda folder: (folder / "config.json").write_bytes(b"\xff\xfe"), "config.json: not readable as JSON"),
        (lambda folder: (folder / "config.json").write_text("[1]"), "model type 'list' is not ESM-2"),
        (change_config(model_type="bert"), "model type 'bert' is not ESM-2"),
        (change_config(position_embedding_type="absolute"), "no rotary positions"),
        (change_config(is_folding_model=True), "a folding model"),
        (change_config(vocab_size=30), "vocabulary of 30 tokens; ESM-2's has 33"),
        (lambda folder: (folder / "vocab.txt").write_text("A\nC\n"), "vocab.txt: the vocabulary is not ESM-2's"),
        (lambda folder: (folder / "model.safetensors").rename(folder / "model.bin"), "no weights in safetensors"),
    ],
)
def test_a_folder_that_is_no_esm2_is_refused(folder: Path, damage: Callable[[Path], Any], message: str) -> None:
    damage(folder)
    with pytest.raises(InputError, match=message):
        identify("broken", folder)


def test_identity_is_the_weights_and_not_the_name(encoder_folder: Path, folder: Path) -> None:
    one, other = identify("tiny", encoder_folder), identify("copy", folder)
    assert one.same_weights(other)
    assert one.width == 32
    (folder / "vocab.txt").unlink()  # the hub's copies may lack it
    assert identify("copy", folder) == other

    def nudge(weights: dict[str, torch.Tensor]) -> None:
        weights[min(weights)].view(-1)[0] += 1e-3

    change_weights(folder, nudge)
    assert not identify("copy", folder).same_weights(one)


def test_weights_of_another_width_are_not_the_same() -> None:
    assert not EncoderIdentity("a", "0", 32).same_weights(EncoderIdentity("a", "0", 64))


@pytest.mark.parametrize("keep", [0, 5, 1000, -1])
def test_weights_cut_short_are_refused(folder: Path, keep: int) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(InputError, match="the weights cannot be loaded"):
        load(folder)


def test_a_missing_tensor_is_named(folder: Path) -> None:
    change_weights(folder, lambda weights: weights.pop("esm.encoder.layer.1.attention.self.query.weight"))
    with pytest.raises(InputError, match=r"lack 1 tensors .*layer\.1\.attention\.self\.query\.weight"):
        load(folder)


def test_weights_of_another_shape_are_refused(folder: Path) -> None:
    change_config(intermediate_size=48)(folder)
    with pytest.raises(InputError, match="in another shape 6 tensors"):
        load(folder)


def test_the_language_model_head_is_not_needed(folder: Path, encoder: Esm2Encoder) -> None:
    change_weights(folder, lambda weights: [weights.pop(name) for name in list(weights) if "lm_head" in name])
    tokens = torch.tensor([0, 5, 6, 2])
    assert torch.equal(load(folder).states(tokens, [4]), encoder.states(tokens, [4]))


def test_a_local_folder_wins_over_the_hub(encoder_folder: Path) -> None:
    assert locate("tiny", str(encoder_folder), "facebook/esm2_t6_8M_UR50D", None) == encoder_folder


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"absent' does not exist.*encoder\.path"):
        locate("tiny", str(tmp_path / "absent"), None, None)


def test_an_encoder_without_a_place_is_refused() -> None:
    with pytest.raises(InputError, match="'mine' has neither a path nor a hub name"):
        locate("mine", None, None, None)


@pytest.mark.parametrize("hub", ["nobody/no_such_encoder", "not a name!", "too/many/parts"])
def test_a_hub_name_that_cannot_be_fetched_is_named(hub: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(InputError, match=rf"'{hub}' is not in the local cache .*encoder\.path=FOLDER"):
        locate("absent", None, hub, None)
