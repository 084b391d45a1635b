"""The feature store: 13 float16 vectors for every sequence, on disk, computed once.

A folder holds ``manifest.json`` (encoder, long-protein policy, held tokens, number of rows), ``index.bin`` (one fixed
record a row), ``ids.tsv`` (which id named which sequence) and ``shard-00000.f16`` and so on (rows x tokens x D,
little-endian). A store that keeps residue states has ``residues.f16`` (all residues of all rows, one after the other,
x D) and ``residues.crc`` (CRC-32 of each row's) beside them. Files only grow; the number of rows in the manifest is
written last, so whatever lies beyond those rows does not exist yet and is cut off by the next writer. Readers map the
files and never lock; one writer at a time holds ``lock``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from functools import cached_property
from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from esm2_amp.errors import InputError
from esm2_amp.features.identity import EncoderIdentity, LongPolicy
from esm2_amp.features.store_manifest import INDEX, Manifest, read_manifest
from esm2_amp.layout import STORED_TOKENS

RESIDUE_STATES = "residues.f16"
RESIDUE_CRCS = "residues.crc"
_F2 = np.dtype("<f2")


class FeatureStore:
    """Read a store: rows by sequence key, tokens by row. Memory does not grow with the number of pairs.

    Args:
        folder: the store.
        partial: open a store whose files are too short as well, to see what can be saved; :meth:`block` then gives
            fewer rows than asked for, and missing records of the index are zeros.

    Raises:
        InputError: the folder is no store, or is damaged.
    """

    def __init__(self, folder: str | os.PathLike[str], *, partial: bool = False) -> None:
        self.folder, self.partial = Path(folder), partial
        manifest = read_manifest(self.folder)
        while True:
            try:
                self._open(manifest)
            except (InputError, FileNotFoundError):
                if manifest == (manifest := read_manifest(self.folder)):
                    raise
            else:
                break  # otherwise the store was pruned while it was opened
        # the first 8 bytes of a SHA-256 find a row among millions by bisection; the rest confirms it
        prefix = np.ascontiguousarray(self.index["key"][:, :8]).view(">u8").ravel().astype(np.uint64)
        self._order = np.argsort(prefix, kind="stable")
        self._prefix = prefix[self._order]

    def _open(self, manifest: Manifest) -> None:
        self.manifest = manifest
        self.encoder: EncoderIdentity = manifest.encoder
        self.long: LongPolicy = manifest.long
        self.tokens, self.rows, self.shard_rows = manifest.tokens, manifest.rows, manifest.shard_rows
        self.width = self.encoder.width
        self.data = self.folder / manifest.data
        self.index = self._map("index.bin", INDEX, (self.rows,))
        if len(self.index) < self.rows:
            self.index = np.concatenate([self.index, np.zeros(self.rows - len(self.index), INDEX)])
        shape = (len(self.tokens), self.width)
        counts = [min(self.shard_rows, self.rows - i) for i in range(0, self.rows, self.shard_rows)]
        self.shards = [self._map(shard_name(i), _F2, (n, *shape)) for i, n in enumerate(counts)]
        self._held = np.array([self.tokens.index(name) if name in self.tokens else -1 for name in STORED_TOKENS])
        self._states: NDArray[np.float16] | None = None
        if manifest.residue_states:
            self._states = self._map(RESIDUE_STATES, _F2, (int(self.index["residues"].sum(dtype="i8")), self.width))
            self.state_crcs = self._map(RESIDUE_CRCS, np.dtype("<u4"), (self.rows,))

    def __len__(self) -> int:
        return self.rows

    def find(self, keys: Sequence[str]) -> NDArray[np.int64]:
        """Row of each hexadecimal sequence key, -1 where the store has none; (len(keys),) int64."""
        return self.find_digests(np.frombuffer(bytes.fromhex("".join(keys)), dtype=np.uint8).reshape(-1, 32))

    def find_digests(self, wanted: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Row of each of n SHA-256 digests (n, 32), -1 where the store has none; the first one if there are two."""
        found = np.full(len(wanted), -1, dtype=np.int64)
        if not len(wanted) or not self.rows:
            return found
        prefix = np.ascontiguousarray(wanted[:, :8]).view(">u8").ravel().astype(np.uint64)
        place = np.searchsorted(self._prefix, prefix)
        open_ = np.arange(len(wanted))
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

    def keys(self, rows: NDArray[np.int64]) -> list[str]:
        """Hexadecimal sequence keys of some rows."""
        text = np.ascontiguousarray(self.index["key"][rows]).tobytes().hex()
        return [text[i : i + 64] for i in range(0, len(text), 64)]

    def gather(self, rows: NDArray[np.int64], tokens: Sequence[int]) -> NDArray[np.float16]:
        """Copy some tokens of some rows.

        Args:
            rows: (n,) row numbers.
            tokens: T positions among :data:`~esm2_amp.layout.STORED_TOKENS`.

        Returns:
            (n, T, D) float16.

        Raises:
            InputError: the store does not hold one of the tokens.
        """
        if len(rows) and not (rows.min() >= 0 and rows.max() < self.rows):
            raise IndexError(f"rows {rows.min()}..{rows.max()} of a store of {self.rows}")
        self.check_tokens(tokens)
        held = self._held[np.asarray(tokens, dtype=np.int64)]
        out = np.empty((len(rows), len(tokens), self.width), dtype=np.float16)
        shard = rows // self.shard_rows
        for number in np.unique(shard):
            here = shard == number
            out[here] = self.shards[number][(rows[here] % self.shard_rows)[:, None], held]
        return out

    def check_tokens(self, tokens: Sequence[int]) -> None:
        """Refuse by name if one of these positions among the stored tokens is not held (an import may lack some)."""
        lacking = [STORED_TOKENS[position] for position in tokens if self._held[position] < 0]
        if lacking:
            raise InputError(
                f"the store has no token {', '.join(lacking)}; it holds {', '.join(self.tokens)}",
                file=self.folder,
                remedy="Run esm2-amp extract into another store, or use a model that does not read this token.",
            )

    def block(self, start: int, stop: int) -> NDArray[np.float16]:
        """Read rows ``start`` to ``stop - 1``, all of one shard, without mapping them; (rows, tokens, D) float16."""
        number, at = divmod(start, self.shard_rows)
        file, row = self.data / shard_name(number), len(self.tokens) * self.width
        count = min(stop - start, max(0, len(self.shards[number]) - at))
        if not count:
            return np.empty((0, len(self.tokens), self.width), np.float16)
        try:
            values = np.fromfile(file, _F2, count * row, offset=at * row * _F2.itemsize)
        except FileNotFoundError:  # pruned meanwhile; the mapped file lives on
            return np.array(self.shards[number][at : at + count])
        return values.reshape(-1, len(self.tokens), self.width)

    def residue_states(self, row: int) -> NDArray[np.float16]:
        """Last hidden states (residues, D) of a row's encoded residues, mapped.

        Raises:
            InputError: the store keeps none.
        """
        if self._states is None:
            raise InputError(
                "the store keeps no residue states", file=self.folder, remedy="Extract with residues=true elsewhere."
            )
        return self._states[self.state_offsets[row] : self.state_offsets[row + 1]]

    def state_block(self, start: int, stop: int) -> NDArray[np.float16]:
        """Residue states of rows ``start`` to ``stop - 1``, one after the other, read without mapping; (n, D)."""
        first, last = int(self.state_offsets[start]), int(self.state_offsets[stop])
        count = 0 if self._states is None else max(0, min(last, len(self._states)) - first)
        if self._states is None or not count:
            return np.empty((0, self.width), np.float16)
        try:
            values = np.fromfile(self.data / RESIDUE_STATES, _F2, count * self.width, offset=first * self.width * 2)
        except FileNotFoundError:
            return np.array(self._states[first : first + count])
        return values.reshape(-1, self.width)

    @cached_property
    def state_offsets(self) -> NDArray[np.int64]:
        """(rows + 1,) where each row's residues begin among the residue states of all rows, and where they end."""
        return np.concatenate([[0], np.cumsum(self.index["residues"], dtype=np.int64)])

    @property
    def positions(self) -> tuple[int, ...]:
        """Positions of the held tokens among :data:`~esm2_amp.layout.STORED_TOKENS`: what :meth:`gather` can take."""
        return tuple(STORED_TOKENS.index(name) for name in self.tokens)

    def files(self) -> dict[Path, int]:
        """Every file of vectors and records, and how many bytes of it the manifest promises."""
        sizes = {self.data / "index.bin": self.rows * INDEX.itemsize}
        row = len(self.tokens) * self.width * 2
        for number, start in enumerate(range(0, self.rows, self.shard_rows)):
            sizes[self.data / shard_name(number)] = min(self.shard_rows, self.rows - start) * row
        if self.manifest.residue_states:
            sizes[self.data / RESIDUE_STATES] = int(self.state_offsets[-1]) * self.width * 2
            sizes[self.data / RESIDUE_CRCS] = self.rows * 4
        return sizes

    def lengths(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Residues of each row's protein; fewer than ten leave empty segments, which are zero vectors."""
        return self.index["length"][rows].astype(np.int64)

    def ids(self) -> Iterator[tuple[str, str]]:
        """Every (id, sequence key) that was extracted into this store, in the order first met.

        Raises:
            InputError: a line is damaged.
        """
        data, asked = self.data, Path()
        while data != asked:
            try:
                stream = (data / "ids.tsv").open("rb")
            except FileNotFoundError:  # no id yet, or the store was pruned since it was opened
                asked, data = data, self.folder / read_manifest(self.folder).data
                continue
            with stream:
                yield from _id_lines(stream)
            return

    def check_encoder(self, identity: EncoderIdentity) -> None:
        """Refuse another encoder by name."""
        if not self.encoder.same_weights(identity):
            raise InputError(
                f"the store holds features of {self.encoder}, not of {identity}",
                file=self.folder,
                remedy="Name another store folder, or use the encoder that made this one.",
            )

    def check_long(self, long: LongPolicy) -> None:
        """Refuse another long-protein policy by name; what a policy does not use makes no difference."""
        if str(self.long) != str(long):
            raise InputError(
                f"the store was made with long={self.long}, not {long}",
                file=self.folder,
                remedy="Name another store folder, or use the same policy.",
            )

    def check_holdings(self, tokens: Sequence[str], residue_states: bool) -> None:
        """Refuse rows of other tokens, or with residue states where the store keeps none, or the reverse."""
        if self.tokens != tuple(tokens):
            what = f"the store holds the tokens {', '.join(self.tokens)}, not {', '.join(tokens)}"
        elif self.manifest.residue_states != residue_states:
            what = "the store keeps " + ("residue states too" if self.manifest.residue_states else "no residue states")
        else:
            return
        raise InputError(what, file=self.folder, remedy="Name another store folder.")

    def _map(self, name: str, dtype: np.dtype[Any], shape: tuple[int, ...]) -> NDArray[Any]:
        file = self.data / name
        need = int(np.prod(shape)) * dtype.itemsize
        if need == 0:
            return np.empty(shape, dtype)
        try:
            have = file.stat().st_size
        except FileNotFoundError:
            have = 0
        if have < need and self.partial:
            whole = have // (need // shape[0])
            return self._map(name, dtype, (whole, *shape[1:]))
        if have < need:
            raise InputError(
                f"damaged store: {have} bytes where the manifest promises {need}",
                file=file,
                remedy="Run esm2-amp store prune damaged=true on the store, then extract again.",
            )
        return np.memmap(file, dtype=dtype, mode="r", shape=shape)


def shard_name(number: int) -> str:
    """File name of a shard."""
    return f"shard-{number:05d}.f16"


def _id_lines(stream: BufferedReader) -> Iterator[tuple[str, str]]:
    """(id, sequence key) of each line; a last line that a killed writer left unfinished is no line."""
    for number, line in enumerate(stream, start=1):
        if line.endswith(b"\n"):
            try:
                name, _, key = line[:-1].decode("utf-8").rpartition("\t")
            except UnicodeDecodeError:
                raise InputError(
                    "damaged: not text", file=stream.name, line=number, remedy="Remove this line from the file."
                ) from None
            yield name, key
