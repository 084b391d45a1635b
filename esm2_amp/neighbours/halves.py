"""Vectors as float16, refusing what float16 cannot hold."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from esm2_amp.errors import InputError

_LARGEST = 65_504
_INFINITE = 0x7C00
"""Bits of an infinite float16; those of NaN are greater."""

Name = Callable[[int], tuple[str, str]]


def to_halves(block: NDArray[np.floating[Any]], name: Name) -> NDArray[np.float16]:
    """Round to float16, the nearest one; float16 stays as it is, bit by bit.

    Args:
        block: (m, d) floating-point numbers.
        name: id and place of a row, for messages.

    Returns:
        (m, d) little-endian, contiguous.

    Raises:
        InputError: a value that is not finite or beyond 65,504, or a vector all of whose values round to zero.
    """
    with np.errstate(over="ignore", under="ignore"):
        halves = np.ascontiguousarray(block, "<f2")
    largest = (halves.view("<u2") & 0x7FFF).max(axis=1)
    if (largest >= _INFINITE).any():
        row = int(np.argmax(largest >= _INFINITE))
        column = int(np.argmax(~np.isfinite(halves[row])))
        value = block[row, column]
        why = f"is beyond float16 (at most {_LARGEST})" if np.isfinite(value) else "is not a finite number"
        raise _refused(name(row), f"value {column + 1} of its vector, {value:g}, {why}")
    if block.dtype.itemsize > 2 and (lost := (largest == 0) & block.any(axis=1)).any():
        raise _refused(name(int(np.argmax(lost))), "all values of its vector are zero in float16")
    return halves


def _refused(name: tuple[str, str], what: str) -> InputError:
    id_, place = name
    remedy = "Take it out of the source." if "finite" in what else "Scale all vectors by one factor."
    return InputError(f"{id_!r}: {what}", file=place, remedy=remedy)
