"""What training, validation and test pairs share that they should not."""

from __future__ import annotations

from collections.abc import Iterable

from esm2_amp.io.resolve import PairTable


def pair_keys(table: PairTable) -> set[tuple[str, str]]:
    """The pairs as sequences, whatever their ids and order."""
    keys = [protein.key for protein in table.proteins]
    pairs = ((keys[a], keys[b]) for a, b in zip(table.a.tolist(), table.b.tolist(), strict=True))
    return {(a, b) if a <= b else (b, a) for a, b in pairs}


def shared_pairs(one: PairTable, others: Iterable[PairTable]) -> int:
    """How many pairs of sequences of ``one`` stand in any of ``others`` too, in either order."""
    keys = pair_keys(one)
    return len(keys & set().union(*map(pair_keys, others)))


def shared_sequences(one: PairTable, other: PairTable) -> int:
    """How many distinct sequences both pair lists use."""
    return len({protein.key for protein in one.proteins} & {protein.key for protein in other.proteins})
