"""What an index says about itself: of which vectors it is, how it was made, and how well it was measured to find."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from esm2_amp.errors import InputError
from esm2_amp.io.atomic import write_json

CARD = "card.json"
FORMAT = "esm2-amp index"
VERSION = 1


@dataclass(frozen=True)
class Measured:
    """The setting chosen on the user's own data: ``recall`` of the true ``k`` nearest by ``metric`` of ``queries``
    sampled vectors, when ``nprobe`` lists are looked through and ``candidates`` scored again; ``wanted`` was asked for,
    and a query took ``milliseconds``.
    """

    metric: str
    k: int
    nprobe: int
    candidates: int
    recall: float
    wanted: float
    milliseconds: float
    queries: int
    seed: int


@dataclass(frozen=True)
class IndexSettings:
    """What the content of an index depends on.

    Attributes:
        vectors: digest of the vectors it was built of.
        rows: n.
        dim: d.
        factory: faiss's description, or "exact": then there is no index and every vector is looked at.
        lists: inverted lists.
        training_rows: vectors the lists and codes were trained on.
        transform_rows: vectors the transform was trained on.
        part_rows: vectors added at a time.
        seed: of the sample and of k-means.
        faiss: its version.
    """

    vectors: str
    rows: int
    dim: int
    factory: str
    lists: int
    training_rows: int
    transform_rows: int
    part_rows: int
    seed: int
    faiss: str


@dataclass(frozen=True)
class IndexCard(IndexSettings):
    """What ``card.json`` says: the settings, and what came of them.

    Attributes:
        vector_bytes: of the index for one vector.
        file_bytes: size of the index's file.
        mapped: whether its file is mapped into memory rather than read.
        seconds: what training, adding and merging took, by name; those of the last process, if it was resumed.
        measured: the setting found by measuring recall; None before.
    """

    vector_bytes: int
    file_bytes: int
    mapped: bool
    seconds: dict[str, float]
    measured: Measured | None

    @property
    def nprobe(self) -> int:
        """Lists that a query looks through, unless the caller says otherwise: as measured, or 2 sqrt(lists)."""
        return self.measured.nprobe if self.measured else min(self.lists, math.ceil(2 * math.sqrt(self.lists)))

    def candidates(self, k: int) -> int | None:
        """Rows that are scored again for k hits, as measured; None before recall was measured."""
        if self.measured is None:
            return None
        return math.ceil(self.measured.candidates * max(1.0, k / self.measured.k))

    def with_measured(self, measured: Measured) -> IndexCard:
        """The same, and what was measured."""
        return replace(self, measured=measured)

    def write(self, folder: Path) -> None:
        """Put it into the folder of the index."""
        write_json(folder / CARD, {"format": FORMAT, "version": VERSION, **asdict(self)})


def read_card(folder: Path) -> IndexCard:
    """The card of a folder with an index.

    Raises:
        InputError: there is no finished index, or the card is damaged or of another version.
    """
    file = folder / CARD
    try:
        values: Any = json.loads(file.read_bytes().decode("utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(
            "no finished index here (no card.json)", file=folder, remedy="Build it: esm2-amp neighbours index."
        ) from None
    except (OSError, ValueError) as error:
        raise InputError(f"the card cannot be read ({error})", file=file) from error
    if not isinstance(values, dict) or (values.get("format"), values.get("version")) != (FORMAT, VERSION):
        raise InputError(
            "not the card of an index, or one of another version", file=file, remedy="Build the index again elsewhere."
        )
    try:
        measured = values["measured"] and Measured(**values["measured"])
        return IndexCard(**{field.name: values[field.name] for field in fields(IndexCard)} | {"measured": measured})
    except (KeyError, TypeError) as error:
        raise InputError(f"the card is damaged ({error})", file=file, remedy="Build the index again.") from error
