"""What a screen will do and cost, said before it begins: from counts, and from a sample that is timed."""

from __future__ import annotations

import math
import resource
import sys
import time
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from esm2_amp.screening.background import BINS
from esm2_amp.screening.engine import CACHE_BYTES
from esm2_amp.screening.scorer import Prepared, Scorer, of_block
from esm2_amp.screening.scorer_cost import PrecisionError, flops_per_pair, precision_error
from esm2_amp.screening.scorers import scorer_for
from esm2_amp.tasks.console import show_table
from esm2_amp.tasks.screen_input import ScreenInputs

_SECONDS = 1.0
"""The timed sample lasts about so long."""
_PART_BYTES, _RESULT_BYTES = 14, 30
"""Of a kept pair, compressed, in the parts and in the result."""
_TILE_BYTES = 60
"""Of a pair while its tile is worked on: its logit, its places, its bins."""
_TILE_OPERATIONS = 1e12
"""Floating-point operations of a tile, about: some seconds of a processor's core, so that little is ever lost."""
_TILES = (8, 512)
_TRIED = 64
"""Proteins of each side that the error of bf16 is measured on."""
PILOT_PAIRS = 4096
"""Pairs that are scored beforehand to lay out the histograms."""
_MB, _GB = 10**6, 10**9


@dataclass(frozen=True)
class Plan:
    """A screen before it begins.

    Attributes:
        tile: proteins along a tile.
        proteins: on both sides together.
        pairs: all that exist.
        scored: how many of them the model will score.
        operations: floating-point operations of a pair.
        pairs_per_second: of one process, in the timed sample.
        processes: that share the work.
        disk_bytes: of the parts and the result, at most.
        memory_bytes: of each process.
        error: of the logits against float32, on a sample; None for float32.
    """

    tile: int
    proteins: int
    pairs: int
    scored: int
    operations: float
    pairs_per_second: float
    processes: int
    disk_bytes: float
    memory_bytes: float
    error: PrecisionError | None

    @property
    def seconds(self) -> float:
        """That scoring takes."""
        return self.scored / self.pairs_per_second / self.processes

    def rows(self) -> list[tuple[str, str]]:
        """For people."""
        shared = "" if self.processes == 1 else f" with {self.processes} processes"
        scored = f"{self.scored:,}" + ("" if self.scored == self.pairs else f" ({self.scored / self.pairs:.2%})")
        rows = [
            ("proteins", f"{self.proteins:,}"),
            ("pairs", f"{self.pairs:,}"),
            ("pairs the model scores", scored),
            ("operations", f"{self.operations / 1e6:,.2f} million a pair, {self.operations * self.scored:.2g} in all"),
            ("speed, of a timed sample", f"{self.pairs_per_second:,.0f} pairs a second and process"),
            ("time", f"about {duration(self.seconds)}{shared}"),
            ("disk", f"at most {_size(self.disk_bytes)}"),
            ("memory", f"about {_size(self.memory_bytes)} a process"),
        ]
        if self.error is not None:
            largest, mean, spread = self.error
            told = f"{mean:.2g} on average, {largest:.2g} at most; the logits' deviation is {spread:.2g}"
            rows.append(("error of bf16, of a sample", told))
        return rows


def make_plan(inputs: ScreenInputs, scorer: Scorer, scored: int, processes: int) -> Plan:
    """Count, and time a sample.

    Args:
        inputs: with open features.
        scorer: that will score.
        scored: pairs the model will score.
        processes: that share them.
    """
    options = inputs.config.screen
    (_, first, second), n = inputs.sides, len(inputs.proteins)
    a, b = inputs.tokens(_spread(0, first)), inputs.tokens(_spread(second, n))
    network, device = inputs.model.network, scorer.device
    operations = flops_per_pair(scorer_for(network, device, options.precision, compiled=False), a[:8], b[:8])
    tile = options.tile or tile_for(operations)
    with torch.inference_mode():
        speed = _speed(scorer, scorer.prepare(a), scorer.prepare(b))
    kept = scored if options.top is None else min(scored, options.top * n)
    tables = n * (2 * 4 * (BINS + 2) + 12 * (options.top or 0))
    return Plan(
        tile=tile,
        proteins=n,
        pairs=inputs.pairs,
        scored=scored,
        operations=operations,
        pairs_per_second=speed,
        processes=processes,
        disk_bytes=kept * (_PART_BYTES + _RESULT_BYTES) + tables,
        error=_error(inputs, scorer, a[:_TRIED], b[:_TRIED]),
        memory_bytes=_used() + tables + _TILE_BYTES * tile**2 + min(CACHE_BYTES, n * _prepared(scorer, a)),
    )


def show_plan(plan: Plan, more: list[tuple[str, str]]) -> None:
    """Print it."""
    show_table("Plan", ("what", "how much"), [*plan.rows(), *more], names=2)


def duration(seconds: float) -> str:
    """A time in the two units that say most, as ``3 h 20 min``."""
    whole = max(1, round(seconds))
    days, hours, minutes = whole // 86400, whole // 3600 % 24, whole // 60 % 60
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {whole % 60} s" if minutes else f"{whole} s"


def tile_for(operations: float) -> int:
    """Proteins along a tile, from the operations of a pair: the same for a model whatever the machine."""
    return int(min(max(math.sqrt(_TILE_OPERATIONS / operations), _TILES[0]), _TILES[1]))


def _error(inputs: ScreenInputs, scorer: Scorer, a: torch.Tensor, b: torch.Tensor) -> PrecisionError | None:
    if inputs.config.screen.precision == "float32":
        return None
    exact = scorer_for(inputs.model.network, scorer.device, "float32", compiled=False)
    return precision_error(scorer, exact, a, b)


def _spread(start: int, stop: int) -> NDArray[np.int64]:
    """At most 256 protein numbers from start on and before stop."""
    return np.unique(np.linspace(start, stop - 1, min(256, stop - start)).round().astype(np.int64))


def _speed(scorer: Scorer, a: Prepared, b: Prepared) -> float:
    """Pairs a second, after a first time that does not count; on few pairs again and again."""
    of_block(scorer, tuple(tensor[:8] for tensor in a), b)
    pairs, rows, began = 0, 8, time.monotonic()
    while (passed := time.monotonic() - began) < _SECONDS:
        some = tuple(tensor[:rows] for tensor in a)
        of_block(scorer, some, b).cpu()
        pairs += len(some[0]) * len(b[0])
        rows = rows * 2 if passed < _SECONDS / 4 else rows
    return pairs / passed if passed else float("inf")


def _prepared(scorer: Scorer, tokens: torch.Tensor) -> int:
    """Bytes of a prepared protein."""
    with torch.inference_mode():
        return sum(tensor.nbytes for tensor in scorer.prepare(tokens[:1]))


def _used() -> int:
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _size(count: float) -> str:
    return f"{count / _GB:,.1f} GB" if count >= _GB else f"{count / _MB:,.0f} MB"
