"""A fitted surrogate as a folder: ``surrogate.json`` and safetensors; loading executes nothing from it."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file
from safetensors.numpy import save_file as save_arrays
from safetensors.torch import save_file as save_tensors

from esm2_amp.errors import InputError
from esm2_amp.explain.autoencoder import Autoencoder
from esm2_amp.explain.dnn import CodeMlp
from esm2_amp.explain.forest import load_forest
from esm2_amp.explain.surrogate import Surrogate
from esm2_amp.features.identity import EncoderIdentity, LongPolicy
from esm2_amp.io.atomic import atomic_path
from esm2_amp.layout import TokenLayout
from esm2_amp.models.checkpoint import load_weights

FORMAT = "esm2-amp surrogate 1"
_CARD = "surrogate.json"
_REMEDY = "Fit the surrogate again into another folder."
_KINDS = {
    "tokens": list, "encoder": dict, "long": dict, "autoencoder_sizes": list, "dnn_sizes": list, "ig_steps": int,
    "settings": dict, "quality": dict, "fingerprint": str,
}  # fmt: skip
_LARGEST = 1 << 16
"""No layer of ours is wider; a larger number in a card would only fill the memory."""


def save_surrogate(surrogate: Surrogate, folder: Path) -> None:
    """Write a folder; it appears whole or not at all.

    Args:
        surrogate: what to keep.
        folder: must not exist.
    """
    linear = [layer for layer in surrogate.dnn.layers if hasattr(layer, "in_features")]
    about = {
        "format": FORMAT,
        "tokens": list(surrogate.layout),
        "encoder": asdict(surrogate.encoder),
        "long": asdict(surrogate.long),
        "autoencoder_sizes": list(surrogate.autoencoder.sizes),
        "dnn_sizes": [layer.out_features for layer in linear[:-1]],
        "ig_steps": surrogate.ig_steps,
        "settings": surrogate.settings,
        "quality": surrogate.quality,
        "fingerprint": surrogate.fingerprint,
    }
    with atomic_path(folder) as path:
        path.mkdir()
        surrogate.forest.save(path / "forest.safetensors")
        for name, network in (("autoencoder", surrogate.autoencoder), ("dnn", surrogate.dnn)):
            weights = {key: tensor.contiguous() for key, tensor in network.state_dict().items()}
            save_tensors(weights, path / f"{name}.safetensors")
        arrays = {"keys": surrogate.keys, "pairs": surrogate.pairs, "background": surrogate.background}
        save_arrays(arrays, path / "training.safetensors")
        (path / _CARD).write_text(json.dumps(about, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def load_surrogate(folder: Path) -> Surrogate:
    """Read what :func:`save_surrogate` wrote.

    Raises:
        InputError: no such folder, or one that is damaged; the file and what is wrong with it.
    """
    about = _card(folder / _CARD)
    try:
        layout = TokenLayout(tuple(about["tokens"]))
        encoder, long = EncoderIdentity(**about["encoder"]), LongPolicy(**about["long"])
    except (TypeError, ValueError) as error:
        raise InputError(f"damaged card ({error})", file=folder / _CARD, remedy=_REMEDY) from error
    _check_sizes([encoder.width, *about["autoencoder_sizes"], *about["dnn_sizes"]], folder / _CARD)
    tokens, code = len(layout), about["autoencoder_sizes"][-1]
    autoencoder = Autoencoder(tokens, encoder.width, tuple(about["autoencoder_sizes"]))
    dnn = CodeMlp(2 * tokens, code, tuple(about["dnn_sizes"]))
    load_weights(autoencoder, folder / "autoencoder.safetensors")
    load_weights(dnn, folder / "dnn.safetensors")
    forest = load_forest(folder / "forest.safetensors")
    if forest.features != 2 * tokens * code:
        found = f"the forest reads {forest.features} numbers, the codes of a pair have {2 * tokens * code}"
        raise InputError(found, file=folder / "forest.safetensors", remedy=_REMEDY)
    keys, pairs, background = _training(folder / "training.safetensors", 2 * tokens * code)
    return Surrogate(
        layout=layout,
        encoder=encoder,
        long=long,
        autoencoder=autoencoder.eval(),
        forest=forest,
        dnn=dnn.eval(),
        background=background,
        ig_steps=about["ig_steps"],
        keys=keys,
        pairs=pairs,
        settings=about["settings"],
        quality=about["quality"],
        fingerprint=about["fingerprint"],
    )


def _card(file: Path) -> dict[str, Any]:
    try:
        about = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"no {_CARD}: not the folder of a surrogate", file=file.parent) from None
    except (OSError, ValueError) as error:
        raise InputError(f"not readable as JSON ({error})", file=file, remedy=_REMEDY) from error
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        raise InputError("not a surrogate of this version of ESM2-AMP", file=file, remedy=_REMEDY)
    for name, kind in _KINDS.items():
        if not isinstance(about.get(name), kind):
            raise InputError(f"damaged card: {name} is {about.get(name)!r}", file=file, remedy=_REMEDY)
    if not about["autoencoder_sizes"] or about["ig_steps"] < 1:
        raise InputError("damaged card: no code, or no steps", file=file, remedy=_REMEDY)
    return about


def _check_sizes(sizes: list[Any], file: Path) -> None:
    for size in sizes:
        if isinstance(size, bool) or not isinstance(size, int) or not 1 <= size <= _LARGEST:
            raise InputError(f"damaged card: a layer of {size!r}", file=file, remedy=_REMEDY)


def _training(file: Path, features: int) -> tuple[NDArray[np.uint8], NDArray[np.int32], NDArray[np.float32]]:
    """Keys and pairs of the training proteins, and the background, their shapes and ranges checked."""
    try:
        arrays: dict[str, NDArray[Any]] = load_file(file)
    except FileNotFoundError:
        raise InputError(f"no {file.name} in the folder of the surrogate", file=file.parent, remedy=_REMEDY) from None
    except (SafetensorError, OSError) as error:
        raise InputError(f"damaged ({error})", file=file, remedy=_REMEDY) from error
    expected = {"keys": (np.uint8, 32), "pairs": (np.int32, 2), "background": (np.float32, features)}
    for name, (kind, width) in expected.items():
        array = arrays.get(name, np.empty(0))
        if array.dtype != kind or array.ndim != 2 or array.shape[1] != width or not len(array):
            raise InputError(f"damaged: {name!r} is no table of {width} columns", file=file, remedy=_REMEDY)
    pairs = arrays["pairs"]
    if pairs.min() < 0 or pairs.max() >= len(arrays["keys"]) or not np.isfinite(arrays["background"]).all():
        raise InputError("damaged: values out of range", file=file, remedy=_REMEDY)
    return arrays["keys"], pairs, arrays["background"]
