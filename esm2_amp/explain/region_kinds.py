"""Which kinds of annotations count as functional regions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from esm2_amp.errors import InputError

FIRST = ("Domain", "Region", "Compositional bias", "Repeat", "Motif")
"""Kinds that the published tool (Sun et al. 2025) counts, in its order; others stand behind them."""
NOT_FUNCTIONAL = frozenset({
    "initiator methionine", "signal peptide", "transit peptide", "propeptide", "chain", "peptide",
    "topological domain", "alternative sequence", "natural variant", "mutagenesis", "sequence uncertainty",
    "sequence conflict", "non-adjacent residues", "non-terminal residue", "helix", "beta strand", "turn",
    "family", "homologous superfamily",
})  # fmt: skip
"""Kinds, in lower case, that do not count unless they are asked for: they say how a protein is cut out, where it lies
in a membrane, how it varies or folds, or name it as a whole, and would cover nearly every segment."""


def choose_kinds(found: Mapping[str, int], asked: Sequence[str]) -> tuple[str, ...]:
    """The kinds that count, in the order of their columns.

    Args:
        found: how many regions there are of each kind.
        asked: the kinds to count, whatever their case; none: all that are functional, :data:`FIRST` first.

    Raises:
        InputError: a kind that was asked for has no region, or no kind is left.
    """
    listed = ", ".join(f"{kind} ({count:,})" for kind, count in found.items()) or "none"
    if asked:
        by_name = {kind.lower(): kind for kind in found}
        missing = [kind for kind in asked if kind.lower() not in by_name]
        if missing:
            raise InputError(f"no region of the kind '{missing[0]}'", remedy=f"The kinds here are {listed}.")
        return tuple(dict.fromkeys(by_name[kind.lower()] for kind in asked))
    functional = [kind for kind in found if kind.lower() not in NOT_FUNCTIONAL]
    if not functional:
        what = f"no functional region of any protein in the segments; kinds of annotations: {listed}"
        raise InputError(what, remedy="Check the ids of the proteins, or choose what counts with kinds=[...].")
    return tuple(sorted(functional, key=lambda kind: FIRST.index(kind) if kind in FIRST else len(FIRST)))
