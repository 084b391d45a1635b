"""A batch of sequences to tokens: cut into pieces, packed, encoded within the memory there is, pooled."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from esm2_amp.errors import InputError
from esm2_amp.features.alphabet import encode
from esm2_amp.features.encoder import Encoder
from esm2_amp.features.identity import LongPolicy
from esm2_amp.features.pooling import BatchPool, Piece
from esm2_amp.records import Protein

log = logging.getLogger(__name__)

_BYTES = 24 * 4
"""What a layer holds at a time of each position, for each dimension: some 24 float32 values."""
_SIGNS = ("can't allocate memory", "CUDA error: out of memory", "_STATUS_ALLOC_FAILED")
"""What torch's CPU allocator, CUDA, and cuBLAS or cuDNN say when memory runs out."""


@dataclass(frozen=True)
class Embedding:
    """What is stored of B proteins.

    Attributes:
        tokens: (B, 13, D) float16.
        residue_states: (sum of encoded residues, D) float16, or None where they were not asked for.
    """

    tokens: NDArray[np.float16]
    residue_states: NDArray[np.float16] | None


class Embedder:
    """Turns batches of proteins into tokens; halves its token budget for good when the device's memory runs out.

    Args:
        encoder: any.
        long: policy for long proteins.
        token_budget: most positions encoded at a time; a piece that is longer goes alone.
        residue_states: keep the states of all residues too.
    """

    def __init__(self, encoder: Encoder, long: LongPolicy, token_budget: int, *, residue_states: bool) -> None:
        self.encoder, self.long, self.token_budget = encoder, long, token_budget
        self.residue_states = residue_states

    def __call__(self, proteins: Sequence[Protein]) -> Embedding:
        """Tokens of the proteins, in their order.

        Raises:
            InputError: a protein does not fit into memory, or the encoder gives values that are not finite.
        """
        cuts = [self.long.pieces(len(protein.sequence)) for protein in proteins]
        pieces = [Piece(number, start, stop) for number, cut in enumerate(cuts) for start, stop in cut]
        lengths = [self.long.residues(len(protein.sequence)) for protein in proteins]
        pool = BatchPool(
            lengths, pieces, self.encoder.identity.width, self.encoder.device, residue_states=self.residue_states
        )
        todo = pieces
        while todo:
            now = todo[: fitting(todo, self.token_budget)]
            try:
                pool.add(now, self._states(proteins, now))
                todo = todo[len(now) :]
            except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
                self._shrink(error, now, proteins)
            else:
                continue
            if self.encoder.device.type == "cuda":  # only now: the error held on to what had been allocated
                torch.cuda.empty_cache()
        return self._finished(pool, proteins)

    def _states(self, proteins: Sequence[Protein], pieces: Sequence[Piece]) -> torch.Tensor:
        rows = [encode(proteins[piece.protein].sequence[piece.start : piece.stop]) for piece in pieces]
        return self.encoder.states(torch.from_numpy(np.concatenate(rows)), [len(row) for row in rows])

    def _shrink(self, error: BaseException, pieces: Sequence[Piece], proteins: Sequence[Protein]) -> None:
        """Halve the budget where memory ran out; any other error goes on its way."""
        if not is_out_of_memory(error):
            raise error
        used = sum(map(len, pieces))
        if len(pieces) == 1:
            raise InputError(
                f"protein {proteins[pieces[0].protein].id} does not fit into the memory of {self.encoder.device}: "
                f"{used - 2} residues at once",
                remedy="Use features.long=chunk, a smaller features.max_residues, or features.precision=bfloat16.",
            ) from error
        self.token_budget = max(used // 2, 1)
        log.warning("Memory of %s ran out: going on with token_budget=%d.", self.encoder.device, self.token_budget)

    def _finished(self, pool: BatchPool, proteins: Sequence[Protein]) -> Embedding:
        tokens = pool.tokens().half().cpu().numpy()
        states = pool.residue_states().half().cpu().numpy() if self.residue_states else None
        bad = ~np.isfinite(tokens).all(axis=(1, 2))
        if states is not None:
            rows = np.split(np.isfinite(states).all(axis=1), np.cumsum(pool.lengths)[:-1])
            bad |= np.array([not row.all() for row in rows])
        if bad.any():
            raise InputError(
                f"the encoder {self.encoder.identity} gives values that are not finite for protein "
                f"{proteins[int(bad.argmax())].id}",
                remedy="Use features.precision=float32, or check the weights.",
            )
        return Embedding(tokens, states)


def default_budget(device: torch.device, width: int) -> int:
    """Positions to encode at a time: what stays in a CPU's cache; what fits a GPU's free memory with room to spare.

    Args:
        device: where to compute.
        width: D.
    """
    if device.type != "cuda":
        return 2048
    free, _ = torch.cuda.mem_get_info(device)
    return budget_for(free, width)


def budget_for(free: int, width: int) -> int:
    """Positions that take half of ``free`` bytes, 2,048 to 65,536: beyond, a GPU is busy anyway."""
    return min(max(free // 2 // (width * _BYTES), 2048), 65_536)


def workers_for(memory: int, threads: int, token_budget: int, width: int) -> int:
    """How many batches to have in work: one a thread, as long as they take no more than a quarter of ``memory``."""
    return max(1, min(threads, memory // 4 // (token_budget * width * _BYTES)))


def fitting(pieces: Sequence[Piece], token_budget: int) -> int:
    """How many of the first pieces fit into the budget together; at least one."""
    count, total = 0, 0
    while count < len(pieces) and (not count or total + len(pieces[count]) <= token_budget):
        total += len(pieces[count])
        count += 1
    return count


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out on a GPU or on a CPU; torch's own libraries and its CPU raise plain RuntimeErrors."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(sign in str(error) for sign in _SIGNS)
