"""Append vectors to the flat map, chunk by chunk; what a chunk committed survives the death of the process."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from esm2_amp.errors import InputError

_CHUNK_BYTES = 1 << 26
_COMMIT = np.dtype([("sha256", "u1", (32,)), ("rows", "<u8"), ("zeros", "<u8"), ("position", "<u8")])
"""One chunk: digest of its bytes; then, from the first chunk to the end of this one, rows, zero vectors, and how many
vectors of the source have been dealt with."""


def chunk_rows(dim: int) -> int:
    """Rows of a chunk, 64 MiB of them: a commit's size, and the unit of the digest."""
    return max(1, _CHUNK_BYTES // (2 * dim))


class VectorWriter:
    """Write ``vectors.f16``, going on after the last commit of an earlier process; a context manager.

    The digest of all vectors is the SHA-256 of the SHA-256 of every chunk, so that it need not begin anew.

    Args:
        file: the map.
        commits: file with a record for each chunk.
        dim: d.

    Attributes:
        rows: rows written.
        zeros: zero vectors among them.
        position: how many vectors of the source are dealt with: where to read on.

    Raises:
        InputError: the disk is full or fails; what was committed is kept.
    """

    def __init__(self, file: Path, commits: Path, dim: int) -> None:
        self._file, self._commit_file, self._row_bytes, self._chunk = file, commits, 2 * dim, chunk_rows(dim)
        self._commits = np.zeros(0, _COMMIT)
        if commits.exists():
            whole = commits.stat().st_size // _COMMIT.itemsize
            self._commits = np.fromfile(commits, _COMMIT, whole)
        self.rows, self.zeros, self.position = (
            int(self._commits[name][-1]) if len(self._commits) else 0 for name in ("rows", "zeros", "position")
        )
        self._hash = hashlib.sha256()

    def __enter__(self) -> VectorWriter:
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
            self._data = os.open(self._file, flags, 0o666)
            self._log = os.open(self._commit_file, flags, 0o666)
            os.ftruncate(self._data, self.rows * self._row_bytes)
            os.ftruncate(self._log, self._commits.nbytes)
        except OSError as error:
            raise self._stopped(error) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._data)
        os.close(self._log)

    def append(self, vectors: NDArray[np.float16], positions: NDArray[np.int64]) -> None:
        """Write m rows; a chunk that becomes full is committed.

        Args:
            vectors: (m, d) little-endian float16, contiguous.
            positions: (m,) their places in the source, ascending.
        """
        zero = (vectors.view(np.uint16) & 0x7FFF).max(axis=1) == 0
        while len(vectors):
            room = self._chunk - self.rows % self._chunk
            part = vectors[:room].reshape(-1).view(np.uint8).data
            self._write(self._data, part, self.rows * self._row_bytes)
            self._hash.update(part)
            self.rows += len(vectors[:room])
            self.zeros += int(zero[:room].sum())
            if self.rows % self._chunk == 0:
                self._commit(int(positions[:room][-1]) + 1)
            vectors, positions, zero = vectors[room:], positions[room:], zero[room:]

    def finish(self, position: int) -> str:
        """Commit what is left and give the digest of all vectors; ``position`` is the number of the source's."""
        if not len(self._commits) or self.rows > int(self._commits["rows"][-1]):
            self._commit(position)
        return hashlib.sha256(self._commits["sha256"].tobytes()).hexdigest()

    def _commit(self, position: int) -> None:
        record = np.zeros(1, _COMMIT)
        record["sha256"] = np.frombuffer(self._hash.digest(), np.uint8)
        record["rows"], record["zeros"], record["position"] = self.rows, self.zeros, position
        try:
            os.fsync(self._data)  # first the data, then its record: a commit outlives the power too
            self._write(self._log, memoryview(record.tobytes()), self._commits.nbytes)
            os.fsync(self._log)
        except OSError as error:
            raise self._stopped(error) from error
        self._commits = np.concatenate([self._commits, record])
        self.position, self._hash = position, hashlib.sha256()

    def _write(self, handle: int, left: memoryview, offset: int) -> None:
        try:
            while left:
                written = os.pwrite(handle, left, offset)
                left, offset = left[written:], offset + written
        except OSError as error:
            raise self._stopped(error) from error

    def _stopped(self, error: OSError) -> InputError:
        rows = int(self._commits["rows"][-1]) if len(self._commits) else 0
        return InputError(
            f"the vectors cannot be written ({error.strerror}); the first {rows:,} are kept",
            file=self._file,
            remedy="Free space, then run the same command again.",
        )
