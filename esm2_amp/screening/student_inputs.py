"""What a student reads of each protein: principal components of what the trained network's scorer prepares of it.

That is where the network itself begins to compare; a student of it finds more than one of the tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from esm2_amp.errors import InputError
from esm2_amp.io.atomic import atomic_path
from esm2_amp.models.components import PrincipalComponents
from esm2_amp.screening.scorer import Prepared, Scorer
from esm2_amp.screening.work import Rows

_WHITENING = 0.5
"""Between the components' own spread and none: what tells proteins apart is not only in the first ones."""
_FITTED = 4096
"""Proteins that the components are found from, at most."""
_BLOCK = 256
_MOST = 8192
"""Values of a protein in one tensor: components of more take long to find."""

Features = Callable[[Rows], Tensor]
"""Tokens (m, T, D) of proteins by number."""


def described(prepared: Prepared) -> Tensor:
    """What a scorer prepares of n proteins as vectors (n, F) float32.

    Tensors with few values a protein are taken as they are. Of many tokens (n, T, D) there are mean, deviation, largest
    and smallest value, (n, 4 D).
    """
    parts = [part.float() for part in prepared]
    return torch.cat([x.flatten(1) if x[0].numel() <= _MOST else _pooled(x.flatten(1, -2)) for x in parts], dim=1)


def _pooled(tokens: Tensor) -> Tensor:
    mean = tokens.mean(dim=1)
    deviation = (tokens - mean[:, None]).square().mean(dim=1).sqrt()
    return torch.cat((mean, deviation, tokens.amax(dim=1), tokens.amin(dim=1)), dim=1)


def student_inputs(features: Features, scorer: Scorer, n: int, components: int, seed: int, file: Path) -> Tensor:
    """Principal components of what a scorer prepares of all proteins; (n, K) float32.

    They are kept in a file, and taken from there the next time: weights of a student mean nothing without them.

    Args:
        features: tokens of some proteins.
        scorer: of the full model.
        n: proteins.
        components: K.
        seed: of the choice of proteins the components are found from, where there are many.
        file: ``.safetensors``.

    Raises:
        InputError: the file is damaged, or of other numbers of proteins or components.
    """
    if file.exists():
        return _read(file, n, components)

    def blocks(rows: Rows) -> Iterator[Tensor]:
        with torch.inference_mode():
            for start in range(0, len(rows), _BLOCK):
                yield described(scorer.prepare(features(rows[start : start + _BLOCK]))).cpu()

    some = np.sort(np.random.default_rng(seed).permutation(n)[:_FITTED])
    width = next(blocks(some[:1])).shape[1]
    found = PrincipalComponents(width, components)
    found.fit(lambda: blocks(some), _WHITENING)
    with torch.inference_mode():
        inputs = torch.cat([found(block) for block in blocks(np.arange(n))])
    with atomic_path(file) as path:
        save_file({"inputs": inputs.contiguous()}, path)
    return inputs


def _read(file: Path, n: int, components: int) -> Tensor:
    try:
        inputs = load_file(file)["inputs"]
    except (SafetensorError, OSError, KeyError) as error:
        raise InputError(f"damaged ({error})", file=file, remedy="Delete it.") from error
    if inputs.shape != (n, components):
        raise InputError(
            f"of {tuple(inputs.shape)} proteins and components, not {(n, components)}",
            file=file,
            remedy="Give the same proteins and settings, or another folder.",
        )
    return inputs
