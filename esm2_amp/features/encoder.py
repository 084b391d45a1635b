"""ESM-2 encoders: which one a name or folder means, who it is, and amino acids to residue states."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
from safetensors import SafetensorError
from torch import Tensor
from transformers import EsmModel
from transformers import logging as transformers_logging

from esm2_amp.errors import InputError
from esm2_amp.features.alphabet import VOCABULARY
from esm2_amp.features.esm2 import PackedEsm2
from esm2_amp.features.identity import EncoderIdentity

log = logging.getLogger(__name__)

_FILES = ("config.json", "vocab.txt", "*.safetensors", "model.safetensors.index.json")
_NOT_NEEDED = ("contact_head.", "pooler.", "inv_freq", "position_ids")


class Encoder(Protocol):
    """What extraction needs of an encoder."""

    identity: EncoderIdentity
    device: torch.device

    def states(self, tokens: Tensor, lengths: Sequence[int]) -> Tensor:
        """Last hidden states (N, D) of token numbers (N,), protein behind protein, each as if it were alone.

        ``lengths`` are the tokens of each protein, cls and eos among them; they sum to N.
        """
        ...


def locate(name: str, path: str | None, hub: str | None, revision: str | None) -> Path:
    """The local folder of an encoder, fetched from the Hugging Face hub where only a hub name is known.

    Args:
        name: what the user calls it, for messages.
        path: a local folder; wins over ``hub``.
        hub: repository on the hub, such as ``facebook/esm2_t33_650M_UR50D``.
        revision: branch, tag or commit on the hub.

    Raises:
        InputError: no such folder, or the hub cannot be reached and holds nothing in its cache.
    """
    if path is not None:
        if not Path(path).is_dir():
            raise InputError(f"encoder folder {path!r} does not exist", remedy="Set encoder.path to a model folder.")
        return Path(path)
    if hub is None:
        raise InputError(f"encoder {name!r} has neither a path nor a hub name", remedy="Set encoder.path=FOLDER.")
    try:
        return Path(snapshot_download(hub, revision=revision, allow_patterns=list(_FILES), local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError):
        log.info("Fetching %s from the Hugging Face hub (once; it is cached).", hub)
    try:
        return Path(snapshot_download(hub, revision=revision, allow_patterns=list(_FILES)))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise InputError(
            f"encoder {hub!r} is not in the local cache and could not be fetched from the Hugging Face hub",
            remedy="Check the name and the connection, or download the model elsewhere and set encoder.path=FOLDER.",
        ) from error


def identify(name: str, folder: Path) -> EncoderIdentity:
    """Check that ``folder`` holds an ESM-2 encoder and hash its weights, without loading it.

    Raises:
        InputError: a file is missing or is not what it should be.
    """
    config = _config(folder)
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        raise InputError(
            "no weights in safetensors format", file=folder, remedy="Save the model with safe serialization first."
        )
    digest = hashlib.sha256()
    for file in weights:
        with file.open("rb") as stream:
            while chunk := stream.read(1 << 22):
                digest.update(chunk)
    return EncoderIdentity(name, digest.hexdigest(), int(config["hidden_size"]))


class Esm2Encoder:
    """An ESM-2 model: loaded and checked by transformers, computed by :class:`~esm2_amp.features.esm2.PackedEsm2`.

    Args:
        folder: configuration and safetensors weights in Hugging Face layout.
        identity: from :func:`identify`.
        device: where to compute.
        dtype: of weights and computation.

    Raises:
        InputError: the weights are damaged or do not fit the configuration.
    """

    def __init__(self, folder: Path, identity: EncoderIdentity, device: torch.device, dtype: torch.dtype) -> None:
        self.identity, self.device = identity, device
        verbosity = transformers_logging.get_verbosity()
        transformers_logging.set_verbosity_error()
        transformers_logging.disable_progress_bar()
        try:
            model, loading = EsmModel.from_pretrained(
                folder,
                add_pooling_layer=False,
                dtype=torch.float32,
                use_safetensors=True,
                local_files_only=True,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # reported below, by name
            )
        except (OSError, ValueError, RuntimeError, SafetensorError) as error:
            raise InputError(f"the weights cannot be loaded ({error})", file=folder) from error
        finally:
            transformers_logging.set_verbosity(verbosity)
            transformers_logging.enable_progress_bar()
        _check_loaded(loading, folder)
        self.network = PackedEsm2(model.requires_grad_(False), device, dtype)

    def states(self, tokens: Tensor, lengths: Sequence[int]) -> Tensor:
        """Last hidden states (N, D) float32 of token numbers (N,), protein behind protein."""
        if self.device.type == "cuda":
            tokens = tokens.pin_memory()
        return self.network(tokens.to(self.device, non_blocking=True), lengths)


def _check_loaded(loading: dict[str, Any], folder: Path) -> None:
    """Refuse weights of another shape, or of more or fewer layers, than the configuration says."""
    wrong = {
        "lack": loading["missing_keys"],
        "have in another shape": [key for key, *_ in loading["mismatched_keys"]],
        "have beyond the configuration": [key for key in loading["unexpected_keys"] if "encoder.layer." in key],
    }
    for what, keys in wrong.items():
        named = sorted(key for key in keys if not any(part in key for part in _NOT_NEEDED))
        if named:
            raise InputError(f"the weights {what} {len(named)} tensors of the encoder, first {named[0]!r}", file=folder)


def _config(folder: Path) -> dict[str, Any]:
    file = folder / "config.json"
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError("no config.json: not a model folder", file=folder) from None
    except (OSError, ValueError) as error:
        raise InputError(f"not readable as JSON ({error})", file=file) from error
    if not isinstance(config, dict) or config.get("model_type") != "esm":
        kind = config.get("model_type") if isinstance(config, dict) else type(config).__name__
        raise InputError(f"model type {kind!r} is not ESM-2", file=file, remedy="Give the folder of an ESM-2 model.")
    if config.get("position_embedding_type") != "rotary" or config.get("is_folding_model"):
        raise InputError("not an ESM-2 encoder (no rotary positions, or a folding model)", file=file)
    if config.get("vocab_size") != len(VOCABULARY):
        raise InputError(f"vocabulary of {config.get('vocab_size')} tokens; ESM-2's has {len(VOCABULARY)}", file=file)
    if not isinstance(config.get("hidden_size"), int):
        raise InputError(f"hidden_size is {config.get('hidden_size')!r}", file=file)
    vocabulary = folder / "vocab.txt"
    if vocabulary.exists() and tuple(vocabulary.read_text(encoding="utf-8").split()) != VOCABULARY:
        raise InputError("the vocabulary is not ESM-2's", file=vocabulary)
    return config
