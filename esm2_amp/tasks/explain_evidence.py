"""Training pairs like an explained pair."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from esm2_amp.tasks.explain_input import Scored


class Near(NamedTuple):
    rows: Any
    notes: Any


@dataclass
class Nearest:
    @classmethod
    def of(cls, scored: Scored) -> Nearest | None:
        return None

    def evidence(self, a: Any, b: Any) -> list[Near]:
        return []
