"""How a figure for a paper is written: PNG and PDF of one drawing, the same bytes from the same numbers."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, get_font

from esm2_amp.explain.page_words import short
from esm2_amp.io.atomic import atomic_path

INK, MUTED, LINE, MODEL = "#1d2430", "#667085", "#c9cfd9", "#1f5fbf"
DIVERGING = LinearSegmentedColormap.from_list("sides", ["#143f8c", "#6aa3ea", "#eff1f5", "#f2924a", "#a03c00"])
SEQUENTIAL = LinearSegmentedColormap.from_list("share", ["#eff1f5", "#4fb08a", "#0c4a33"])
KINDS = ("#2c8a57", "#8a4fb0", "#a8801a", "#b0395f")
_RESOLUTION = 150
_SETTINGS: dict[Any, Any] = {
    "font.family": "DejaVu Sans", "font.size": 8.5, "pdf.fonttype": 42, "text.parse_math": False,
    "axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": MUTED, "axes.titlesize": 9,
    **dict.fromkeys(("text.color", "axes.labelcolor", "xtick.color", "ytick.color"), INK),
}  # fmt: skip


def save_figure(folder: Path, name: str, size: tuple[float, float], draw: Callable[[Figure], None]) -> None:
    """Write ``name.png`` (150 dots an inch) and ``name.pdf``.

    Args:
        folder: where to.
        name: of both files, without an ending.
        size: width and height in inches.
        draw: fills the figure.

    Raises:
        InputError: the folder cannot be written.
    """
    with mpl.rc_context(_SETTINGS):
        figure = Figure(figsize=size, layout="constrained")
        draw(figure)
        for ending, metadata in (("png", {"Software": None}), ("pdf", {"CreationDate": None, "Producer": None})):
            with atomic_path(folder / f"{name}.{ending}") as path:
                figure.savefig(path, dpi=_RESOLUTION, metadata=metadata)
            figure.set_layout_engine("none")  # laid out once is enough


def drawable(text: str, longest: int = 32) -> str:
    """The text cut to size, with a box for each letter that the figures' font lacks; tables have it whole."""
    return "".join(letter if ord(letter) in _letters() else "�" for letter in short(text, longest))


@lru_cache(maxsize=1)
def _letters() -> frozenset[int]:
    return frozenset(get_font(findfont("DejaVu Sans")).get_charmap())


def bare(axis: Axes) -> None:
    """Take frame and ticks away."""
    axis.set(xticks=[], yticks=[])
    for spine in axis.spines.values():
        spine.set_visible(False)
