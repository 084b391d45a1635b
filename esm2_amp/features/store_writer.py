"""Append to a feature store; see :mod:`esm2_amp.features.store` for what lies on disk."""

from __future__ import annotations

import os
import shutil
import zlib
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from esm2_amp.errors import InputError
from esm2_amp.features.identity import EncoderIdentity, LongPolicy
from esm2_amp.features.store import RESIDUE_CRCS, RESIDUE_STATES, FeatureStore, shard_name
from esm2_amp.features.store_lock import StoreLock
from esm2_amp.features.store_manifest import (
    CRC_ROW,
    CRC_TOKENS,
    HERE,
    INDEX,
    NAME,
    SHARD_ROWS,
    Manifest,
    is_part_folder,
    overwrite_rows,
)
from esm2_amp.layout import STORED_TOKENS


class StoreWriter:
    """Append to a store, or begin one; a context manager that holds the store's lock.

    Args:
        folder: the store; made if absent.
        encoder: whose features it holds.
        long: policy for long proteins.
        shard_rows: rows a file, for a new store.
        tokens: which tokens it holds, in the order of :data:`~esm2_amp.layout.STORED_TOKENS`.
        residue_states: whether it keeps the last hidden state of every residue too.

    Raises:
        InputError: another process is writing, or the store belongs to another encoder or policy, or holds other
            tokens, or the disk is full.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        encoder: EncoderIdentity,
        long: LongPolicy,
        shard_rows: int = SHARD_ROWS,
        tokens: Sequence[str] = STORED_TOKENS,
        residue_states: bool = False,
    ) -> None:
        self.folder, self.encoder, self.long = Path(folder), encoder, long
        self.manifest = Manifest(encoder, long, tuple(tokens), residue_states, shard_rows, CRC_ROW, HERE, 0)
        self.rows = 0
        """Committed rows."""
        self._lock = StoreLock(folder)
        self._files: dict[Path, int] = {}
        self._states_end = self._ids_end = 0

    def __enter__(self) -> StoreWriter:
        if self.folder.exists() and not (self.folder / NAME).exists() and _has_strangers(self.folder):
            raise InputError(
                "this is no feature store and no empty folder", file=self.folder, remedy="Name another folder."
            )
        with ExitStack() as refused:
            refused.enter_context(self._lock)
            if (self.folder / NAME).exists():
                self._continue(FeatureStore(self.folder))
            self._data = self.folder / self.manifest.data
            try:
                self.manifest.write(self.folder)
                self._rows_at = self.manifest.rows_at
                self._cut()
            except OSError as error:
                raise self._stopped(error, self.folder) from error
            refused.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            for file in list(self._files):
                self._close(file)
        finally:
            self._lock.__exit__(kind, value, trace)

    def append(
        self,
        keys: Sequence[str],
        lengths: Sequence[int],
        residues: Sequence[int],
        tokens: NDArray[np.float16],
        states: NDArray[np.float16] | None = None,
    ) -> None:
        """Add rows and commit them: after this call they survive the death of the process.

        Args:
            keys: sequence keys of n proteins that the store does not have yet.
            lengths: their lengths.
            residues: how many residues of each were encoded.
            tokens: (n, T, D) float16, T the tokens that the store holds.
            states: (sum of residues, D) float16, required exactly where the store keeps residue states.

        Raises:
            ValueError: wrong shape or a value that is not finite.
            InputError: the disk is full or fails; the store keeps the rows it had.
        """
        index = np.zeros(len(keys), INDEX)
        index["key"] = np.frombuffer(bytes.fromhex("".join(keys)), dtype=np.uint8).reshape(-1, 32)
        index["length"], index["residues"] = lengths, residues
        _check(tokens, (len(keys), len(self.manifest.tokens), self.encoder.width), "tokens")
        if (states is not None) != self.manifest.residue_states:
            raise ValueError("residue states are given exactly where the store keeps them")
        index["crc"] = row_crcs(index, tokens, self.manifest.crc)
        if states is not None:
            self._write_states(index["residues"], states)
        self._write_tokens(tokens)
        self._write("index.bin", self.rows * INDEX.itemsize, index.tobytes())
        self._commit(len(keys))
        self._states_end += 0 if states is None else len(states)

    def add_ids(self, ids: Iterable[tuple[str, str]]) -> None:
        """Remember which id named which sequence; what is known already is not written again."""
        file = self._data / "ids.tsv"
        known = set(file.read_bytes()[: self._ids_end].split(b"\n")) if self._ids_end else set()
        lines = dict.fromkeys(f"{name}\t{key}\n".encode() for name, key in ids)
        text = b"".join(line for line in lines if line[:-1] not in known)
        try:
            self._write("ids.tsv", self._ids_end, text)
        except InputError:
            _truncate(file, self._ids_end)
            raise
        self._ids_end += len(text)

    def _continue(self, store: FeatureStore) -> None:
        store.check_encoder(self.encoder)
        store.check_long(self.long)
        store.check_holdings(self.manifest.tokens, self.manifest.residue_states)
        self.manifest, self.rows = store.manifest, store.rows
        self._states_end = int(store.index["residues"].sum(dtype="i8")) if self.manifest.residue_states else 0

    def _cut(self) -> None:
        """Drop what a killed writer left beyond the committed rows."""
        sweep(self.folder, self.manifest.data)
        row, rows, size = len(self.manifest.tokens) * self.encoder.width * 2, self.rows, self.manifest.shard_rows
        _truncate(self._data / "index.bin", rows * INDEX.itemsize)
        _truncate(self._data / RESIDUE_STATES, self._states_end * self.encoder.width * 2)
        _truncate(self._data / RESIDUE_CRCS, rows * 4)
        for file in self._data.glob("shard-*.f16"):
            _truncate(file, max(0, min(size, rows - int(file.stem[6:]) * size)) * row)
        ids = self._data / "ids.tsv"
        if ids.exists():
            self._ids_end = ids.read_bytes().rfind(b"\n") + 1
            _truncate(ids, self._ids_end)

    def _write_tokens(self, tokens: NDArray[np.float16]) -> None:
        done, row = 0, tokens[:1].nbytes
        while done < len(tokens):
            shard, at = divmod(self.rows + done, self.manifest.shard_rows)
            stop = min(len(tokens), done + self.manifest.shard_rows - at)
            self._write(shard_name(shard), at * row, _bytes(tokens[done:stop]))
            if at + stop - done == self.manifest.shard_rows:
                self._close(self._data / shard_name(shard))
            done = stop

    def _write_states(self, residues: NDArray[np.uint32], states: NDArray[np.float16]) -> None:
        _check(states, (int(residues.sum(dtype="i8")), self.encoder.width), "residue states")
        crcs = state_crcs(np.split(states, np.cumsum(residues, dtype=np.int64)[:-1])) if len(residues) else []
        self._write(RESIDUE_STATES, self._states_end * self.encoder.width * 2, _bytes(states))
        self._write(RESIDUE_CRCS, self.rows * 4, np.array(crcs, "<u4").tobytes())

    def _write(self, name: str, offset: int, data: bytes | memoryview) -> None:
        """Write at an offset, not at the end: what an earlier attempt left there is overwritten."""
        file, left = self._data / name, memoryview(data)
        try:
            handle = self._handle(file)
            while left:
                written = os.pwrite(handle, left, offset)
                left, offset = left[written:], offset + written
        except OSError as error:
            raise self._stopped(error, file) from error

    def _handle(self, file: Path) -> int:
        handle = self._files.get(file)
        if handle is None:
            handle = self._files[file] = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        return handle

    def _close(self, file: Path) -> None:
        """Close a file once its content is on the disk itself (a commit alone outlives the process, not the power)."""
        handle = self._files.pop(file, None)
        if handle is not None:
            try:
                os.fsync(handle)
            except OSError as error:
                raise self._stopped(error, file) from error
            finally:
                os.close(handle)

    def _commit(self, rows: int) -> None:
        file = self.folder / NAME
        try:
            overwrite_rows(self._handle(file), self._rows_at, self.rows + rows)
        except OSError as error:
            raise self._stopped(error, file) from error
        self.rows += rows

    def _stopped(self, error: OSError, file: Path) -> InputError:
        return InputError(
            f"the feature store cannot be written ({error.strerror}); its {self.rows:,} finished rows are kept",
            file=file,
            remedy="Free space, then run the same command again.",
        )


def row_crcs(index: NDArray[np.void], tokens: NDArray[np.float16], kind: str) -> list[int]:
    """CRC-32 of each of n rows of tokens (n, T, D), which for most stores goes over the record (n,) as well."""
    crcs = [zlib.crc32(_bytes(row)) for row in tokens]
    if kind == CRC_TOKENS:
        return crcs
    size = INDEX.itemsize - 4  # the crc itself is the last field
    records = np.ascontiguousarray(index).tobytes()
    starts = range(0, len(records), INDEX.itemsize)
    return [zlib.crc32(records[at : at + size], crc) for at, crc in zip(starts, crcs, strict=True)]


def state_crcs(states: Iterable[NDArray[np.float16]]) -> list[int]:
    """CRC-32 of the residue states (residues, D) of each protein."""
    return [zlib.crc32(_bytes(part)) for part in states]


def _bytes(values: NDArray[np.float16]) -> memoryview:
    """Little-endian bytes, copied only where they lie otherwise."""
    return np.ascontiguousarray(values, "<f2").reshape(-1).view(np.uint8).data


def sweep(folder: Path, data: str) -> None:
    """Remove what a killed process left: manifests half written, and rows that a pruning replaced or did not finish.

    Args:
        folder: a store whose lock is held.
        data: its data folder, the only one that the manifest names.
    """
    for stale in (*folder.glob("rows-*"), *folder.glob(f".{NAME}.*")):
        if stale.name != data:
            shutil.rmtree(stale)
    if data != HERE:
        for pattern in ("index.bin", "ids.tsv", "residues.*", "shard-*.f16", f"{data}/{NAME}", f"{data}/lock"):
            for file in folder.glob(pattern):
                file.unlink()


def _check(values: NDArray[np.float16], shape: tuple[int, ...], what: str) -> None:
    if values.shape != shape or values.dtype != np.float16:
        raise ValueError(f"{what} {values.dtype}{values.shape}, expected float16{shape}")
    if not np.isfinite(values).all():
        raise ValueError(f"{what} that are not finite cannot be stored")


def _has_strangers(folder: Path) -> bool:
    """Whether a folder without a manifest holds more than a writer killed before its first commit leaves."""
    return not folder.is_dir() or any(
        file.name != "lock" and not file.name.startswith(f".{NAME}.") and not is_part_folder(file.name)
        for file in folder.iterdir()
    )


def _truncate(file: Path, size: int) -> None:
    if file.exists() and file.stat().st_size > size:
        os.truncate(file, size)
