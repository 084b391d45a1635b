"""What an audit says: findings as plain records, and the pair lists that they are about."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from esm2_amp.io.resolve import PairTable

Severity = Literal["block", "show", "ok"]
"""``block``: wrong, training refuses; ``show``: doubtful, to be judged; ``ok``: looked for and not found."""
Role = Literal["train", "val", "test"]
SHOWN = 5
"""Examples of a finding, at most."""


class Example(NamedTuple):
    """A row, or a protein of a row, that a finding is about; ``line`` is counted from 1 in ``file``."""

    split: str
    file: str
    line: int
    what: str


@dataclass(frozen=True)
class Finding:
    """What one check found in one split, or between two.

    ``count`` is its main number (rows, pairs or proteins, as ``sentence`` says), 0 where there is nothing to find;
    ``figures`` are its further numbers by name.
    """

    check: str
    splits: tuple[str, ...]
    severity: Severity
    count: int
    sentence: str
    figures: dict[str, Any]
    examples: tuple[Example, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON and for pages."""
        plain = asdict(self)
        return {**plain, "splits": list(self.splits), "examples": [e._asdict() for e in self.examples]}


@dataclass(frozen=True, eq=False)
class AuditSplit:
    """One labelled pair list under audit.

    Args:
        name: of the split, each once: ``train``, ``val``, ``test`` or ``test: FILE`` where there are several.
        role: what it is used for.
        file: where its rows come from.
        table: its pairs, read with the policies "drop", so that ``table.issues`` tells what was wrong.
    """

    name: str
    role: Role
    file: str
    table: PairTable

    def example(self, row: int, note: str = "") -> Example:
        """A pair of the table as an example."""
        names = " - ".join(self.table.proteins[int(end[row])].id for end in (self.table.a, self.table.b))
        return Example(self.name, self.file, int(self.table.line[row]), names + (f" ({note})" if note else ""))

    def protein_example(self, position: int, note: str = "") -> Example:
        """A protein of the table as an example, on the first line that names it."""
        row = int(np.flatnonzero((self.table.a == position) | (self.table.b == position))[0])
        name = self.table.proteins[position].id
        return Example(self.name, self.file, int(self.table.line[row]), name + (f" ({note})" if note else ""))


@dataclass(frozen=True, eq=False)
class Numbered:
    """Splits whose proteins have numbers by sequence: the same number is the same sequence, whatever the id.

    ``sequences`` are all distinct ones; ``members[i]`` numbers the proteins of split i, ``a[i]`` and ``b[i]`` those
    of its pairs.
    """

    splits: Sequence[AuditSplit]
    sequences: list[str]
    members: list[NDArray[np.int64]]
    a: list[NDArray[np.int64]]
    b: list[NDArray[np.int64]]

    @classmethod
    def of(cls, splits: Sequence[AuditSplit]) -> Numbered:
        """Number the sequences by first use."""
        number: dict[str, int] = {}
        members = [
            np.array([number.setdefault(p.sequence, len(number)) for p in split.table.proteins], dtype=np.int64)
            for split in splits
        ]
        a = [own[split.table.a] for own, split in zip(members, splits, strict=True)]
        b = [own[split.table.b] for own, split in zip(members, splits, strict=True)]
        return cls(splits, list(number), members, a, b)

    def pairs(self, i: int) -> NDArray[np.int64]:
        """(n,) one number for each pair of split i, the same in either order."""
        low, high = np.minimum(self.a[i], self.b[i]), np.maximum(self.a[i], self.b[i])
        codes: NDArray[np.int64] = low << 32 | high
        return codes

    def trained(self) -> NDArray[np.bool_]:
        """Which of ``sequences`` stand in a training pair."""
        seen = np.zeros(len(self.sequences), dtype=bool)
        for i in self.of_role("train"):
            seen[self.members[i]] = True
        return seen

    def of_role(self, role: Role) -> list[int]:
        """Which splits have a role."""
        return [i for i, split in enumerate(self.splits) if split.role == role]


def finding(
    check: str,
    splits: Iterable[AuditSplit],
    severity: Severity,
    count: int,
    sentence: str,
    figures: dict[str, Any],
    examples: Iterable[Example] = (),
) -> Finding:
    """A :class:`Finding` whose severity is ``ok`` where the count is 0."""
    names = tuple(split.name for split in splits)
    return Finding(check, names, severity if count else "ok", int(count), sentence, figures, tuple(examples)[:SHOWN])
