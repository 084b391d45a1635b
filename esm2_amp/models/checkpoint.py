"""A trained model as a folder: ``model.safetensors``, ``card.json`` and ``training_sequences.txt``.

Loading executes nothing from the files: weights are plain tensors, the network is chosen by name from our own list
and its hyperparameters are checked numbers.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from esm2_amp.errors import InputError
from esm2_amp.evaluation.calibration import Calibration
from esm2_amp.features.identity import EncoderIdentity, LongPolicy
from esm2_amp.io.atomic import atomic_path
from esm2_amp.models.network import Hyperparameters, PairNetwork
from esm2_amp.models.networks import network_class

FORMAT = "esm2-amp model"
VERSION = 1


@dataclass(frozen=True)
class ModelCard:
    """What one must know to use a model, as it stands in ``card.json``."""

    network: str
    hyper: dict[str, Any]
    width: int
    tokens: list[str]
    encoder: dict[str, Any]
    encoder_source: dict[str, Any]
    long: dict[str, Any]
    threshold: float
    calibration: dict[str, Any]
    training: dict[str, Any]
    metrics: dict[str, Any]
    versions: dict[str, str]

    @property
    def identity(self) -> EncoderIdentity:
        """The encoder whose features the model was trained on."""
        return EncoderIdentity(**self.encoder)

    @property
    def long_policy(self) -> LongPolicy:
        """How long proteins were encoded."""
        return LongPolicy(**self.long)

    @property
    def calibrator(self) -> Calibration:
        """From the network's logits to probabilities."""
        return Calibration.from_dict(self.calibration, "card.json")


def save_model(folder: Path, network: PairNetwork, card: ModelCard, training_sequences: list[str]) -> None:
    """Write a model folder; it appears whole or not at all.

    Args:
        folder: must not exist.
        network: its weights are stored in float32.
        card: goes to ``card.json``.
        training_sequences: keys of the sequences seen in training, to tell C1, C2 and C3 pairs later.
    """
    with atomic_path(folder) as path:
        path.mkdir()
        weights = {name: tensor.detach().cpu().float().contiguous() for name, tensor in network.state_dict().items()}
        save_file(weights, path / "model.safetensors")
        (path / "training_sequences.txt").write_text("".join(f"{key}\n" for key in sorted(training_sequences)))
        text = json.dumps({"format": FORMAT, "version": VERSION, **asdict(card)}, indent=2, allow_nan=False)
        (path / "card.json").write_text(text + "\n", encoding="utf-8")


def load_card(folder: Path) -> ModelCard:
    """Read and check ``card.json``.

    Raises:
        InputError: no model folder, or a card that is damaged, incomplete or of another version.
    """
    file = folder / "card.json"
    if not folder.is_dir():
        raise InputError(f"model folder {str(folder)!r} does not exist", remedy="Set checkpoint to a model folder.")
    try:
        raw = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError("no card.json: not a model folder", file=folder, remedy="Give RUN/model.") from None
    except (OSError, ValueError) as error:
        raise InputError(f"not readable as JSON ({error})", file=file) from error
    if not isinstance(raw, dict) or raw.pop("format", None) != FORMAT:
        raise InputError("not the card of an ESM2-AMP model", file=file)
    if (version := raw.pop("version", None)) != VERSION:
        raise InputError(f"card version {version!r}; this ESM2-AMP reads {VERSION}", file=file)
    _check_entries(raw, file)
    card = ModelCard(**raw)
    try:
        card.identity, card.long_policy  # noqa: B018 - both must be well-formed
    except TypeError as error:
        raise InputError(f"malformed card ({error})", file=file) from error
    Calibration.from_dict(card.calibration, file)
    if set(card.encoder_source) != {"name", "path", "hub", "revision"}:
        raise InputError(f"malformed card: encoder_source is {card.encoder_source!r}", file=file)
    return card


def load_network(folder: Path, card: ModelCard) -> PairNetwork:
    """Build the network the card names and load its weights, in evaluation mode.

    Raises:
        InputError: unknown network, wrong hyperparameters, layout, shapes or a damaged file, by name.
    """
    kind = network_class(card.network)
    if list(kind.layout) != card.tokens:
        raise InputError(
            f"the card's tokens {card.tokens} are not those of {card.network}: {list(kind.layout)}",
            file=folder / "card.json",
        )
    if card.identity.width != card.width:
        raise InputError(
            f"width {card.width} differs from the encoder's {card.identity.width}", file=folder / "card.json"
        )
    network = kind(card.width, hyper_from(kind, card.hyper, str(folder / "card.json")))
    load_weights(network, folder / "model.safetensors")
    return network.eval()


def load_weights(network: nn.Module, file: Path) -> None:
    """Give a module the weights of a safetensors file.

    Raises:
        InputError: no such file, damaged, or not the tensors of this module by name, shape and finite values.
    """
    try:
        weights = load_file(file)
    except FileNotFoundError:
        raise InputError(f"no {file.name} in the model folder", file=file.parent) from None
    except (SafetensorError, OSError) as error:
        raise InputError(f"damaged weights ({error})", file=file) from error
    _check_weights(network.state_dict(), weights, file)
    network.load_state_dict(weights)


def hyper_from(kind: type[PairNetwork], values: dict[str, Any], place: str) -> Hyperparameters:
    """Hyperparameters of a network from plain values, names and types checked; ``place`` is for messages."""
    expected = {field.name: str(field.type) for field in fields(kind.Hyper)}
    if set(values) != set(expected):
        wrong = ", ".join(sorted(set(values) ^ set(expected)))
        raise InputError(f"missing or unknown hyperparameters: {wrong}", file=place)
    for name, value in values.items():
        number = isinstance(value, int | float) and not isinstance(value, bool)
        whole = isinstance(value, int) or expected[name] == "float"
        if not (number and whole) and not (value is None and "None" in expected[name]):
            raise InputError(f"hyperparameter {name} is {value!r}, expected {expected[name]}", file=place)
    return kind.Hyper(**values)


def load_training_sequences(folder: Path) -> frozenset[str]:
    """Keys of the sequences the model has seen in training."""
    file = folder / "training_sequences.txt"
    try:
        return frozenset(file.read_text(encoding="ascii").split())
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot be read ({error})", file=file) from error


def _check_entries(raw: dict[str, Any], file: Path) -> None:
    expected = {field.name: str(field.type) for field in fields(ModelCard)}
    if wrong := sorted(set(expected) ^ set(raw)):
        raise InputError(f"missing or unknown entries in the card: {', '.join(wrong)}", file=file)
    kinds = {"str": str, "int": int, "float": int | float, "list": list, "dict": dict}
    for name, kind in expected.items():
        if not isinstance(raw[name], kinds[kind.split("[")[0]]):
            raise InputError(f"malformed card: {name} is {raw[name]!r}, expected {kind}", file=file)


def _check_weights(expected: dict[str, torch.Tensor], weights: dict[str, torch.Tensor], file: Path) -> None:
    if wrong := sorted(set(expected) ^ set(weights)):
        raise InputError(f"the weights do not fit the card: tensor {wrong[0]!r} is missing or unknown", file=file)
    for name, tensor in weights.items():
        if tensor.shape != expected[name].shape:
            raise InputError(
                f"tensor {name!r} has shape {tuple(tensor.shape)}, the card means {tuple(expected[name].shape)}",
                file=file,
            )
        if not torch.isfinite(tensor).all():
            raise InputError(f"tensor {name!r} holds values that are not finite", file=file)
