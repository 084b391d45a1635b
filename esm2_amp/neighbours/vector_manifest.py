"""The manifest of a folder of vectors: how many, of what, from where, and what was done about duplicates."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from esm2_amp.errors import InputError
from esm2_amp.io.atomic import write_json

FORMAT = "esm2-amp vectors"
VERSION = 1
NAME = "manifest.json"
PROGRESS = "unfinished"
"""Folder that lies beside the data while an ingest is under way."""


@dataclass(frozen=True)
class VectorManifest:
    """What ``manifest.json`` says.

    ``n`` vectors of ``dim`` dimensions; SHA-256 of the ids and of the vectors; ``zeros`` of them are zero vectors;
    ``source`` says where they come from: ``form``, ``name``, what tells it from other sources (``fingerprint``), and
    for a feature store its ``tokens``, ``encoder`` and ``long`` policy; ``duplicates`` is the policy, ``repeated`` how
    many vectors it left out because their id came again, ``differing`` how many of these were other vectors.
    """

    n: int
    dim: int
    ids_digest: str
    vectors_digest: str
    zeros: int
    source: dict[str, Any]
    duplicates: str
    repeated: int
    differing: int

    @property
    def digest(self) -> str:
        """Of ids and vectors together."""
        return hashlib.sha256(f"{self.n} {self.dim} {self.ids_digest} {self.vectors_digest}".encode()).hexdigest()

    def write(self, folder: Path) -> None:
        """Put it into the folder: from then on the vectors are there."""
        head = {"format": FORMAT, "version": VERSION, "dtype": "float16", "digest": self.digest}
        write_json(folder / NAME, {**head, **asdict(self)})


def read_vector_manifest(folder: Path) -> VectorManifest:
    """The manifest of a folder of vectors.

    Raises:
        InputError: no vectors there, an unfinished ingest, a damaged manifest, or one of another version.
    """
    file = folder / NAME
    try:
        values = json.loads(file.read_bytes().decode("utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise _missing(folder) from None
    except (OSError, ValueError) as error:
        raise InputError(f"the manifest cannot be read ({error})", file=file) from error
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        raise InputError("not the manifest of a folder of vectors", file=file, remedy="Name what ingest made.")
    if values.get("version") != VERSION:
        raise InputError("made by another version of ESM2-AMP", file=file, remedy="Ingest again into a new folder.")
    try:
        manifest = VectorManifest(**{field.name: values[field.name] for field in fields(VectorManifest)})
        if manifest.n < 1 or manifest.dim < 1 or manifest.digest != values["digest"]:
            raise ValueError("its digest does not fit")
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"the manifest is damaged ({error})", file=file, remedy="Ingest again elsewhere.") from error
    return manifest


def _missing(folder: Path) -> InputError:
    if (folder / PROGRESS).is_dir():
        return InputError(
            "the ingest into this folder is not finished", file=folder, remedy="Run the same ingest again: it goes on."
        )
    return InputError(
        "no vectors here (no manifest.json)",
        file=folder,
        remedy=f"Make them: esm2-amp neighbours ingest source=... vectors={folder}",
    )
