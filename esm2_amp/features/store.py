"""The feature store: 13 float16 vectors for every sequence, on disk, computed once.

A folder holds ``manifest.json`` (encoder, long-protein policy, number of rows), ``index.bin`` (one fixed record a
row), ``ids.tsv`` (which id named which sequence) and ``shard-00000.f16`` and so on (rows x 13 x D, little-endian).
Files only grow; the manifest is replaced last, so whatever lies beyond the rows it states does not exist yet and is
cut off by the next writer. Readers map the files and never lock; one writer at a time holds ``lock``.
"""

from __future__ import annotations

import fcntl
import json
import os
import zlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from esm2_amp.errors import InputError
from esm2_amp.features.identity import EncoderIdentity
from esm2_amp.io.atomic import write_json
from esm2_amp.layout import STORED_TOKENS

FORMAT = "esm2-amp feature store"
VERSION = 1
SHARD_ROWS = 16_384
INDEX = np.dtype([("key", "u1", (32,)), ("length", "<u4"), ("residues", "<u4"), ("crc", "<u4")])
"""One row of the index: SHA-256 of the sequence, its length, how many residues were encoded, CRC-32 of the tokens."""


@dataclass(frozen=True)
class LongPolicy:
    """What happens to a protein of more than ``max_residues`` residues.

    ``full`` encodes it whole (rotary positions go beyond the 1,022 residues of ESM-2's training); ``truncate``
    encodes its first ``max_residues`` residues between cls and eos.
    """

    mode: str
    max_residues: int

    def __post_init__(self) -> None:
        if self.mode not in ("full", "truncate"):
            raise InputError(f"long-protein policy {self.mode!r} is unknown", remedy="Use full or truncate.")
        if self.max_residues < 10:
            raise InputError(
                f"max_residues is {self.max_residues}", remedy="Use 10 or more; ESM-2 was trained on 1022."
            )

    def residues(self, length: int) -> int:
        """How many residues of a protein are encoded."""
        return length if self.mode == "full" else min(length, self.max_residues)

    def __str__(self) -> str:
        return "full" if self.mode == "full" else f"truncate at {self.max_residues}"

    @property
    def tag(self) -> str:
        """Short form for folder names."""
        return "full" if self.mode == "full" else f"first{self.max_residues}"


class FeatureStore:
    """Read a store: rows by sequence key, tokens by row. Memory does not grow with the number of pairs.

    Raises:
        InputError: the folder is no store, is damaged, or belongs to another encoder.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        manifest = _read_manifest(self.folder)
        try:
            self.encoder = EncoderIdentity(**manifest["encoder"])
            self.long = LongPolicy(**manifest["long"])
            self.rows, self.shard_rows = int(manifest["rows"]), int(manifest["shard_rows"])
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"the manifest is damaged ({error})",
                file=self.folder / "manifest.json",
                remedy="Delete the store folder and extract again.",
            ) from error
        self.width = self.encoder.width
        self.index = self._map("index.bin", INDEX, (self.rows,))
        shape = (len(STORED_TOKENS), self.width)
        counts = [min(self.shard_rows, self.rows - i) for i in range(0, self.rows, self.shard_rows)]
        self.shards = [self._map(shard_name(i), np.dtype("<f2"), (n, *shape)) for i, n in enumerate(counts)]
        # the first 8 bytes of a SHA-256 find a row among millions by bisection; the rest confirms it
        self._prefix = np.ascontiguousarray(self.index["key"][:, :8]).view(">u8").ravel().astype(np.uint64)
        self._order = np.argsort(self._prefix, kind="stable")
        self._prefix = self._prefix[self._order]

    def __len__(self) -> int:
        return self.rows

    def find(self, keys: Sequence[str]) -> NDArray[np.int64]:
        """Row of each hexadecimal sequence key, -1 where the store has none; (len(keys),) int64."""
        found = np.full(len(keys), -1, dtype=np.int64)
        if not keys or not self.rows:
            return found
        wanted = np.frombuffer(bytes.fromhex("".join(keys)), dtype=np.uint8).reshape(-1, 32)
        prefix = np.ascontiguousarray(wanted[:, :8]).view(">u8").ravel().astype(np.uint64)
        place = np.searchsorted(self._prefix, prefix)
        open_ = np.arange(len(keys))
        while True:
            open_ = open_[place[open_] < self.rows]
            open_ = open_[self._prefix[place[open_]] == prefix[open_]]
            if not len(open_):
                return found
            row = self._order[place[open_]]
            same = (self.index["key"][row] == wanted[open_]).all(axis=1)
            found[open_[same]] = row[same]
            open_ = open_[~same]
            place[open_] += 1

    def gather(self, rows: NDArray[np.int64], tokens: Sequence[int]) -> NDArray[np.float16]:
        """Copy some tokens of some rows.

        Args:
            rows: (n,) row numbers.
            tokens: T positions among :data:`~esm2_amp.layout.STORED_TOKENS`.

        Returns:
            (n, T, D) float16.
        """
        if len(rows) and not (rows.min() >= 0 and rows.max() < self.rows):
            raise IndexError(f"rows {rows.min()}..{rows.max()} of a store of {self.rows}")
        out = np.empty((len(rows), len(tokens), self.width), dtype=np.float16)
        shard = rows // self.shard_rows
        for number in np.unique(shard):
            here = shard == number
            out[here] = self.shards[number][(rows[here] % self.shard_rows)[:, None], np.asarray(tokens)]
        return out

    def lengths(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Residues of each row's protein; fewer than ten leave empty segments, which are zero vectors."""
        return self.index["length"][rows].astype(np.int64)

    def ids(self) -> Iterator[tuple[str, str]]:
        """Every (id, sequence key) that was extracted into this store, in the order first met."""
        yield from _read_ids(self.folder)

    def check_encoder(self, identity: EncoderIdentity) -> None:
        """Refuse another encoder by name."""
        if not self.encoder.same_weights(identity):
            raise InputError(
                f"the store holds features of {self.encoder}, not of {identity}",
                file=self.folder,
                remedy="Name another store folder, or use the encoder that made this one.",
            )

    def check_long(self, long: LongPolicy) -> None:
        """Refuse another long-protein policy by name."""
        if self.long != long:
            raise InputError(
                f"the store was made with long={self.long}, not {long}",
                file=self.folder,
                remedy="Name another store folder, or use the same policy.",
            )

    def _map(self, name: str, dtype: np.dtype[Any], shape: tuple[int, ...]) -> NDArray[Any]:
        file = self.folder / name
        need = int(np.prod(shape)) * dtype.itemsize
        if need == 0:
            return np.empty(shape, dtype)
        try:
            have = file.stat().st_size
        except FileNotFoundError:
            have = 0
        if have < need:
            raise InputError(
                f"damaged store: {have} bytes where the manifest promises {need}",
                file=file,
                remedy="Delete the store folder and extract again.",
            )
        return np.memmap(file, dtype=dtype, mode="r", shape=shape)


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
        known = set(_read_ids(self.folder))
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


def shard_name(number: int) -> str:
    """File name of a shard."""
    return f"shard-{number:05d}.f16"


def _read_manifest(folder: Path) -> dict[str, Any]:
    file = folder / "manifest.json"
    try:
        manifest = json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise InputError("not a feature store (no manifest.json)", file=folder) from None
    except (OSError, ValueError) as error:
        raise InputError(f"the manifest cannot be read ({error})", file=file) from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise InputError("not the manifest of a feature store", file=file)
    if manifest.get("version") != VERSION or manifest.get("tokens") != list(STORED_TOKENS):
        raise InputError("made by another version of ESM2-AMP", file=file, remedy="Extract again into a new folder.")
    return manifest


def _read_ids(folder: Path) -> Iterator[tuple[str, str]]:
    file = folder / "ids.tsv"
    if file.exists():
        with file.open(encoding="utf-8", newline="\n") as stream:
            for line in stream:
                if line.endswith("\n"):
                    name, _, key = line[:-1].rpartition("\t")
                    yield name, key


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
