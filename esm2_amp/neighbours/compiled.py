"""Compilation of the inner loops by numba."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from numba import njit

P = ParamSpec("P")
R = TypeVar("R")

_REASSOCIATED = {"reassoc", "contract"}  # sums in vector registers; infinities keep their meaning


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """The function as machine code, kept on disk for the next process where there is a place to keep it.

    What is kept is compiled anew when the function's own file has changed, not when only a file has whose functions it
    calls; who edits one of those removes ``neighbours/__pycache__``, as the tests do.
    """
    try:
        return njit(cache=True, nogil=True, error_model="numpy", fastmath=_REASSOCIATED)(function)
    except RuntimeError:  # neither the package's folder nor the user's cache folder can be written
        return njit(nogil=True, error_model="numpy", fastmath=_REASSOCIATED)(function)
