"""The manifest of a feature store: what its files hold, and how many rows of them exist.

The number of rows stands last, followed by blanks, so that a commit overwrites a few bytes in place: replacing the
file for every batch costs a hundred times as much on a journaling file system. A reader takes the file when two
readings agree, so it never sees half a number.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from esm2_amp.errors import InputError
from esm2_amp.features.identity import EncoderIdentity, LongPolicy
from esm2_amp.io.atomic import atomic_text
from esm2_amp.layout import STORED_TOKENS

FORMAT = "esm2-amp feature store"
VERSION = 1
SHARD_ROWS = 16_384
INDEX = np.dtype([("key", "u1", (32,)), ("length", "<u4"), ("residues", "<u4"), ("crc", "<u4")])
"""One row of the index: SHA-256 of the sequence, its length, how many residues were encoded, CRC-32 (see below)."""
CRC_TOKENS = "tokens"
"""The CRC-32 of a row is that of its tokens; what stores have whose manifest does not say."""
CRC_ROW = "tokens, key, length, residues"
"""The CRC-32 of a row is that of its tokens followed by the first 40 bytes of its record in the index."""
HERE = "."

NAME = "manifest.json"
_DIGITS = 20


@dataclass(frozen=True)
class Manifest:
    """What ``manifest.json`` says.

    ``tokens`` are the held ones, in the order of :data:`~esm2_amp.layout.STORED_TOKENS`; ``residue_states`` says
    whether the last hidden state of every residue is kept too; ``crc`` is :data:`CRC_TOKENS` or :data:`CRC_ROW`;
    ``data`` is the folder of the other files, relative to the manifest's (a pruned store has a new one).
    """

    encoder: EncoderIdentity
    long: LongPolicy
    tokens: tuple[str, ...]
    residue_states: bool
    shard_rows: int
    crc: str
    data: str
    rows: int

    def __post_init__(self) -> None:
        in_order = tuple(name for name in STORED_TOKENS if name in self.tokens)
        if not self.tokens or self.tokens != in_order:
            raise ValueError(f"tokens {self.tokens}: not some of {STORED_TOKENS} in this order")

    @property
    def text(self) -> str:
        """The file's content."""
        values = {"format": FORMAT, "version": VERSION, **asdict(self), "dtype": "float16"}
        del values["rows"]
        lines = json.dumps(values, indent=2, allow_nan=False).removesuffix("\n}")
        return f'{lines},\n  "rows": {self.rows:<{_DIGITS}}\n}}\n'

    def write(self, folder: Path) -> None:
        """Put the manifest into a folder, whole or not at all; one that says the same is left alone."""
        try:
            if (folder / NAME).read_text(encoding="utf-8") == self.text:
                return
        except (FileNotFoundError, UnicodeDecodeError):
            pass
        with atomic_text(folder / NAME) as stream:
            stream.write(self.text)

    @property
    def rows_at(self) -> int:
        """Where in the file the number of rows stands."""
        return len(self.text.encode()) - _DIGITS - len("\n}\n")


def overwrite_rows(file: int, at: int, rows: int) -> None:
    """Commit: put the number of rows at its place (``rows_at``) in a manifest that is open as descriptor ``file``."""
    os.pwrite(file, f"{rows:<{_DIGITS}}".encode(), at)


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a store.

    Raises:
        InputError: the folder is no store, or the manifest is damaged or of another version.
    """
    file = folder / NAME
    values = _values(folder)
    tokens = values.get("tokens")
    known = isinstance(tokens, list) and tokens == [name for name in STORED_TOKENS if name in tokens] and tokens
    crc = values.get("crc", CRC_TOKENS)
    if values.get("version") != VERSION or not known or crc not in (CRC_TOKENS, CRC_ROW):
        raise InputError("made by another version of ESM2-AMP", file=file, remedy="Extract again into a new folder.")
    try:
        manifest = Manifest(
            EncoderIdentity(**values["encoder"]),
            LongPolicy(**values["long"]),
            tuple(values["tokens"]),
            bool(values.get("residue_states", False)),
            int(values["shard_rows"]),
            crc,
            str(values.get("data", HERE)),
            int(values["rows"]),
        )
        if manifest.shard_rows < 1 or manifest.rows < 0 or not is_data_folder(manifest.data):
            raise ValueError(f"{manifest.rows} rows, {manifest.shard_rows} a shard, in {manifest.data!r}")
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"the manifest is damaged ({error})", file=file, remedy="Delete the store folder and extract again."
        ) from error
    return manifest


def is_data_folder(name: str) -> bool:
    """Whether a store may keep its files in a folder of this name."""
    return name == HERE or (name.startswith("rows-") and name[5:].isdigit())


def part_name(rank: int) -> str:
    """Name of the folder, within a store, in which process number ``rank`` of a shared extraction writes."""
    return f"part-{rank:05d}"


def is_part_folder(name: str) -> bool:
    """Whether a folder of this name is a part of the store around it."""
    return name.startswith("part-") and name[5:].isdigit()


def _values(folder: Path) -> dict[str, Any]:
    file = folder / NAME
    try:
        text = file.read_bytes()
        while text != (again := file.read_bytes()):
            text = again
        values = json.loads(text.decode("utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise InputError("not a feature store (no manifest.json)", file=folder) from None
    except (OSError, ValueError) as error:
        raise InputError(f"the manifest cannot be read ({error})", file=file) from error
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        raise InputError("not the manifest of a feature store", file=file)
    return values
