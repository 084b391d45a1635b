"""The feature store: 13 float16 vectors for every sequence, on disk, computed once.

A folder holds ``manifest.json`` (encoder, long-protein policy, number of rows), ``index.bin`` (one fixed record a
row), ``ids.tsv`` (which id named which sequence) and ``shard-00000.f16`` and so on (rows x 13 x D, little-endian).
Files only grow; the manifest is replaced last, so whatever lies beyond the rows it states does not exist yet and is
cut off by the next writer. Readers map the files and never lock; one writer at a time holds ``lock``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from esm2_amp.errors import InputError
from esm2_amp.features.identity import EncoderIdentity, LongPolicy
from esm2_amp.layout import STORED_TOKENS

FORMAT = "esm2-amp feature store"
VERSION = 1
SHARD_ROWS = 16_384
INDEX = np.dtype([("key", "u1", (32,)), ("length", "<u4"), ("residues", "<u4"), ("crc", "<u4")])
"""One row of the index: SHA-256 of the sequence, its length, how many residues were encoded, CRC-32 of the tokens."""


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
        yield from read_ids(self.folder)

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


def read_ids(folder: Path) -> Iterator[tuple[str, str]]:
    """Every (id, sequence key) of a store's folder; a last line that a killed writer left unfinished is no line."""
    file = folder / "ids.tsv"
    if file.exists():
        with file.open(encoding="utf-8", newline="\n") as stream:
            for line in stream:
                if line.endswith("\n"):
                    name, _, key = line[:-1].rpartition("\t")
                    yield name, key
