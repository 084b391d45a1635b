"""Colours as classes of the page's style sheet: how strong a value is, and to which side."""

from __future__ import annotations

import math

SIDE_STEPS = 8
"""Steps of the diverging scale to each side: ``p1`` to ``p8`` above zero, ``n1`` to ``n8`` below."""
SHARE_STEPS = 12
"""Steps of the scale from nothing to most: ``s0`` to ``s12``."""
NEUTRAL, UNKNOWN = "z", "x"


def diverging(value: float, most: float) -> str:
    """Class of a signed value where ``most`` is the largest absolute value of its kind."""
    if not math.isfinite(value):
        return UNKNOWN
    step = round(SIDE_STEPS * min(1.0, abs(value) / most)) if most > 0 else 0
    return NEUTRAL if step == 0 else f"{'p' if value > 0 else 'n'}{step}"


def sequential(value: float, most: float) -> str:
    """Class of a value that has no sign, from 0 to ``most``."""
    if not math.isfinite(value):
        return UNKNOWN
    return f"s{round(SHARE_STEPS * min(1.0, max(0.0, value) / most))}" if most > 0 else "s0"


def strong(style: str) -> bool:
    """Whether a cell of this class is coloured enough for its sign to be written on it."""
    return style[0] in "pn" and int(style[1:]) >= SIDE_STEPS // 4
