"""Residue states of packed proteins, whole or in overlapping pieces, to the 13 stored tokens of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from esm2_amp.layout import N_SEGMENTS, segment_bounds

_RUNS = N_SEGMENTS + 2
"""Every position of a protein lies in one of these runs: cls, ten segments, eos. The mean follows from them."""


@dataclass(frozen=True)
class Piece:
    """Residues ``start`` to ``stop - 1`` of protein number ``protein`` of a batch, encoded between cls and eos."""

    protein: int
    start: int
    stop: int

    def __len__(self) -> int:
        """Positions in the encoder."""
        return self.stop - self.start + 2


class BatchPool:
    """Adds up the states of a batch of proteins as their pieces come, in any order, and turns the sums into tokens.

    A residue in several pieces gets the mean of its states; cls is the first piece's, eos the last piece's.

    Args:
        lengths: encoded residues of each of B proteins.
        pieces: every piece that will be added; together they cover every residue.
        width: D.
        device: where the states are.
        residue_states: also keep the states of all residues.
    """

    def __init__(
        self, lengths: Sequence[int], pieces: Sequence[Piece], width: int, device: torch.device, *, residue_states: bool
    ) -> None:
        self.lengths = list(lengths)
        self._sums = torch.zeros(len(lengths) * _RUNS, width, device=device)
        self._bounds = [segment_bounds(length) for length in lengths]
        self._share = [1 / np.bincount(_covered(pieces, protein), minlength=n) for protein, n in enumerate(lengths)]
        self._offset = np.concatenate(([0], np.cumsum(lengths)))
        total = int(self._offset[-1]) if residue_states else 0
        self._states = torch.zeros(total + 2, width, device=device) if residue_states else None  # 2: cls and eos

    def add(self, pieces: Sequence[Piece], states: Tensor) -> None:
        """Add the states (N, D) of pieces that lie packed one behind another; N is the sum of their lengths.

        All tensors are made before the first sum changes: where memory runs out, the same call may be made again.
        """
        onto = partial(self._onto, states.device)
        weighted = states.float() * onto([self._weights(piece) for piece in pieces]).float()[:, None]
        runs = onto([self._runs(piece) for piece in pieces])
        places = None if self._states is None else onto([self._places(piece) for piece in pieces])
        self._sums.index_add_(0, runs, weighted)
        if self._states is not None and places is not None:
            self._states.index_add_(0, places, weighted)

    def tokens(self) -> Tensor:
        """(B, 13, D) float32 in the order of :data:`~esm2_amp.layout.STORED_TOKENS`; an empty segment is zero."""
        sums = self._sums.view(len(self.lengths), _RUNS, -1)
        sizes = torch.tensor([[1, *(stop - start for start, stop in bounds), 1] for bounds in self._bounds])
        residues = torch.tensor(self.lengths, device=sums.device)[:, None, None]
        mean = sums[:, 1:-1].sum(1, keepdim=True) / residues
        return torch.cat([sums / sizes.clamp(min=1).to(sums.device)[..., None], mean], dim=1)

    def residue_states(self) -> Tensor:
        """(sum of lengths, D) float32: the states of all residues, protein behind protein."""
        if self._states is None:
            raise ValueError("residue states were not asked for")
        return self._states[:-2]

    def _weights(self, piece: Piece) -> NDArray[np.float64]:
        """Share of each position's state in its sum."""
        first, last = piece.start == 0, piece.stop == self.lengths[piece.protein]
        return np.concatenate(([first], self._share[piece.protein][piece.start : piece.stop], [last]))

    def _runs(self, piece: Piece) -> NDArray[np.int64]:
        """Number of the run that each position belongs to."""
        starts = [start for start, stop in self._bounds[piece.protein] if stop > start]
        segments = np.searchsorted(starts, np.arange(piece.start, piece.stop), side="right")
        return piece.protein * _RUNS + np.concatenate(([0], segments, [_RUNS - 1]))

    def _places(self, piece: Piece) -> NDArray[np.int64]:
        """Row of each position among the residue states; cls and eos fall behind them all."""
        first, total = int(self._offset[piece.protein]), int(self._offset[-1])
        return np.concatenate(([total], np.arange(first + piece.start, first + piece.stop), [total + 1]))

    @staticmethod
    def _onto(device: torch.device, parts: Sequence[NDArray[np.generic]]) -> Tensor:
        return torch.from_numpy(np.concatenate(parts)).to(device, non_blocking=True)


def _covered(pieces: Sequence[Piece], protein: int) -> NDArray[np.int64]:
    """The residues of a protein, each as often as a piece covers it."""
    runs = [np.arange(piece.start, piece.stop) for piece in pieces if piece.protein == protein]
    return np.concatenate(runs) if runs else np.empty(0, np.int64)
