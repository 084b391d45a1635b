"""Surrogates."""

from __future__ import annotations

from typing import Any


class Taught:
    quality: Any = ()

    def explain(self, *args: Any) -> Any:
        raise TypeError


def teach(*args: Any) -> Taught:
    return Taught()
