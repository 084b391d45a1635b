"""Append to a feature store; see :mod:`esm2_amp.features.store` for what lies on disk."""

from __future__ import annotations

import fcntl
import os
import zlib
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import IO

import numpy as np
from numpy.typing import NDArray

from esm2_amp.errors import InputError
from esm2_amp.features.identity import EncoderIdentity, LongPolicy
from esm2_amp.features.store import FORMAT, INDEX, SHARD_ROWS, VERSION, FeatureStore, read_ids, shard_name
from esm2_amp.io.atomic import write_json
from esm2_amp.layout import STORED_TOKENS


class StoreWriter:
    """Append to a store, or begin one; a context manager that holds the store's lock.

    Args:
        folder: the store; made if absent.
        encoder: whose features it holds.
        long: policy for long proteins.
        shard_rows: rows a file, for a new store.

    Raises:
        InputError: another process is writing, or the store belongs to another encoder or policy.
    """

    def __init__(
        self, folder: str | os.PathLike[str], encoder: EncoderIdentity, long: LongPolicy, shard_rows: int = SHARD_ROWS
    ) -> None:
        self.folder, self.encoder, self.long, self.shard_rows = Path(folder), encoder, long, shard_rows
        self.rows = 0
        self._lock: IO[str] | None = None
        self._shape = (len(STORED_TOKENS), encoder.width)

    def __enter__(self) -> StoreWriter:
        if self.folder.exists() and not (self.folder / "manifest.json").exists() and _has_strangers(self.folder):
            raise InputError(
                "this is no feature store and no empty folder", file=self.folder, remedy="Name another folder."
            )
        with ExitStack() as refused:
            refused.callback(self._unlock)
            self._take_lock()
            if (self.folder / "manifest.json").exists():
                self._continue(FeatureStore(self.folder))
            else:
                self._commit()
            self._cut()
            refused.pop_all()
        return self

    def _take_lock(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = (self.folder / "lock").open("w")
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                "another process is writing to this feature store", file=self.folder, remedy="Wait until it is done."
            ) from None
        except OSError as error:
            raise InputError(f"cannot write here ({error.strerror})", file=self.folder) from error

    def _unlock(self) -> None:
        if self._lock is not None:
            self._lock.close()

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._unlock()

    def append(
        self, keys: Sequence[str], lengths: Sequence[int], residues: Sequence[int], tokens: NDArray[np.float16]
    ) -> None:
        """Add rows and commit them: after this call they survive the death of the process.

        Args:
            keys: sequence keys of n proteins that the store does not have yet.
            lengths: their lengths.
            residues: how many residues of each were encoded.
            tokens: (n, 13, D) float16.

        Raises:
            ValueError: wrong shape or a value that is not finite.
        """
        if tokens.shape != (len(keys), *self._shape) or tokens.dtype != np.float16:
            raise ValueError(f"tokens {tokens.dtype}{tokens.shape}, expected float16{(len(keys), *self._shape)}")
        if not np.isfinite(tokens).all():
            raise ValueError("tokens that are not finite cannot be stored")
        index = np.zeros(len(keys), INDEX)
        index["key"] = np.frombuffer(bytes.fromhex("".join(keys)), dtype=np.uint8).reshape(-1, 32)
        index["length"], index["residues"] = lengths, residues
        index["crc"] = [zlib.crc32(row.tobytes()) for row in tokens]
        done = 0
        while done < len(keys):
            shard, at = divmod(self.rows + done, self.shard_rows)
            stop = min(len(keys), done + self.shard_rows - at)
            _append(self.folder / shard_name(shard), tokens[done:stop].astype("<f2").tobytes())
            done = stop
        _append(self.folder / "index.bin", index.tobytes())
        self.rows += len(keys)
        self._commit()

    def add_ids(self, ids: Sequence[tuple[str, str]]) -> None:
        """Remember which id named which sequence; what is known already is not written again."""
        known = set(read_ids(self.folder))
        fresh = [pair for pair in dict.fromkeys(ids) if pair not in known]
        _append(self.folder / "ids.tsv", "".join(f"{name}\t{key}\n" for name, key in fresh).encode())

    def _continue(self, store: FeatureStore) -> None:
        store.check_encoder(self.encoder)
        store.check_long(self.long)
        self.rows, self.shard_rows = store.rows, store.shard_rows

    def _cut(self) -> None:
        """Drop what a killed writer left beyond the committed rows."""
        row = int(np.prod(self._shape)) * 2
        _truncate(self.folder / "index.bin", self.rows * INDEX.itemsize)
        for number, file in enumerate(sorted(self.folder.glob("shard-*.f16"))):
            _truncate(file, max(0, min(self.shard_rows, self.rows - number * self.shard_rows)) * row)
        ids = self.folder / "ids.tsv"
        if ids.exists():
            text = ids.read_bytes()
            _truncate(ids, text.rfind(b"\n") + 1)

    def _commit(self) -> None:
        write_json(
            self.folder / "manifest.json",
            {
                "format": FORMAT,
                "version": VERSION,
                "encoder": asdict(self.encoder),
                "long": asdict(self.long),
                "tokens": list(STORED_TOKENS),
                "dtype": "float16",
                "shard_rows": self.shard_rows,
                "rows": self.rows,
            },
        )


def _has_strangers(folder: Path) -> bool:
    """Whether a folder without a manifest holds more than a writer killed before its first commit leaves."""
    return not folder.is_dir() or any(
        file.name != "lock" and not file.name.startswith(".manifest.json.") for file in folder.iterdir()
    )


def _append(file: Path, data: bytes) -> None:
    with file.open("ab") as stream:
        stream.write(data)


def _truncate(file: Path, size: int) -> None:
    if file.exists() and file.stat().st_size > size:
        os.truncate(file, size)
