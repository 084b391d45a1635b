"""Points in few dimensions, from which a safe bound on the score of an analogy is cheap.

The score of (c, d) for the unit direction q is S = num / |v| with v = x_c - x_d (or x_c + x_d) and num = q.v. For any
orthonormal directions e_1 .. e_m, |v|² is at least the sum of (e_i.v)², so S is at most num over its root: a matrix
product of width m instead of d bounds all scores, and only what passes is scored in float64. The directions are the
leading principal ones, which hold most of |v|², and the part of q outside them, so num itself is always in the sum.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np

from esm2_amp.neighbours.best import Doubles, Floats

Operation = Literal["difference", "sum"]
SIGNS: dict[Operation, float] = {"difference": -1.0, "sum": 1.0}

LOWEST_BOUND = 0.05
"""Up to this score nothing is bounded: every pair is scored."""
UNIT = 2.0**-24
"""Rounding of float32."""
TINY = 1e-30
"""More than float32 loses by underflow in a product of vectors of length 1 or less."""

_SAMPLE = 4096
_ROWS = 4096


class Frame(NamedTuple):
    """A shift, a scale and directions.

    Attributes:
        centre: (d,) what is subtracted: the mean for differences, which it leaves as they are, and 0 for sums.
        scale: a power of two that brings the longest shifted vector to a length in [0.5, 1].
        basis: (d, m) orthonormal directions.
        squares: (n,) squared lengths of the vectors shifted and scaled.
    """

    centre: Doubles
    scale: float
    basis: Doubles
    squares: Doubles


class Projection(NamedTuple):
    """What bounds the scores of a direction.

    Attributes:
        points: (n, m) coordinates of the vectors.
        along: (n,) their products with the direction.
        room: (n,) such that room_c + room_d -+ 2 points_c.points_d is at most |v|², whatever was rounded.
    """

    points: Floats
    along: Floats
    room: Floats


def frame(vectors: Floats, sign: float, width: int) -> Frame:
    """The frame of ``vectors`` (n, d) with ``width`` directions, 0 to d."""
    rows = np.unique(np.linspace(0, len(vectors) - 1, min(len(vectors), _SAMPLE)).astype(np.int64))
    sample = vectors[rows].astype(np.float64)
    centre = sample.mean(axis=0) if sign < 0 else np.zeros(vectors.shape[1])
    squares = np.empty(len(vectors))
    for some in blocks(len(vectors)):
        moved = vectors[some] - centre
        squares[some] = np.einsum("ij,ij->i", moved, moved)
    largest = float(np.sqrt(squares.max(initial=0.0)))
    scale = 1.0 if largest == 0 else float(2.0 ** -np.ceil(np.log2(largest)))
    return Frame(centre, scale, _principal((sample - centre) * scale, width), squares * scale**2)


def project(vectors: Floats, direction: Doubles, within: Frame) -> Projection:
    """Coordinates of all vectors for one unit direction (d,)."""
    outside = direction - within.basis @ (within.basis.T @ direction)
    rest = float(np.linalg.norm(outside))
    further = [outside / rest] if rest > 1e-6 else []
    axes = np.column_stack([within.basis, *further, direction])
    points, along = np.empty((len(vectors), axes.shape[1] - 1), np.float32), np.empty(len(vectors), np.float32)
    for some in blocks(len(vectors)):
        found = shifted(vectors, some, within) @ axes
        points[some], along[some] = found[:, :-1], found[:, -1]
    return Projection(points, along, room(points, within))


def whole(vectors: Floats, direction: Doubles, within: Frame) -> Projection:
    """All d coordinates as they are: |v|² itself, but for rounding."""
    points, along = np.empty(vectors.shape, np.float32), np.empty(len(vectors), np.float32)
    for some in blocks(len(vectors)):
        moved = shifted(vectors, some, within)
        points[some], along[some] = moved, moved @ direction
    return Projection(points, along, room(points, within))


def room(points: Floats, within: Frame) -> Floats:
    """(n,) squared lengths of the points (n, m), less what rounding may have added to the length of a sum of two.

    A product of m terms is off by at most m u |x_c||x_d|, u = 2**-24; num by 2 u (|x_c| + |x_d|), which in
    num² >= t²|v|² is worth (8 u / t)(|x_c|² + |x_d|²); the few other roundings are below 32 u together.
    """
    lost = (points.shape[1] + 8 / LOWEST_BOUND + 32) * UNIT
    squares = np.einsum("ij,ij->i", points, points, dtype=np.float64)
    return (squares - lost * within.squares - TINY).astype(np.float32)


def shifted(vectors: Floats, some: slice, within: Frame) -> Doubles:
    """Some rows, shifted and scaled, in float64."""
    return (vectors[some] - within.centre) * within.scale


def blocks(n: int) -> list[slice]:
    """Slices that cover n rows, few enough to be copied in float64."""
    return [slice(start, min(start + _ROWS, n)) for start in range(0, n, _ROWS)]


def _principal(sample: Doubles, width: int) -> Doubles:
    """(d, width) orthonormal directions near the leading principal ones: three rounds of subspace iteration."""
    basis = np.linalg.qr(np.random.default_rng(0).normal(size=(sample.shape[1], width)))[0]
    for _ in range(3):
        basis = np.linalg.qr(sample.T @ (sample @ basis))[0]
    return basis
