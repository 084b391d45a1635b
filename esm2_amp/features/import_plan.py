"""What an import of existing embeddings will write, decided and checked before anything is written."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from esm2_amp.errors import InputError
from esm2_amp.features.archives import Array, Foreign, Source, spellings
from esm2_amp.features.identity import EncoderIdentity, LongPolicy
from esm2_amp.io.fasta import ProteinSet
from esm2_amp.layout import SEGMENT_NAMES, STORED_TOKENS
from esm2_amp.records import Protein


@dataclass(frozen=True)
class Matching:
    """Which protein each name of a source is.

    ``chosen`` has one name for each sequence; ``repeated`` are further names of these sequences, ``unknown`` names
    without a sequence, ``missing`` ids of proteins without an embedding, ``ids`` the (id, key) of all that is found.
    """

    chosen: dict[str, Protein]
    repeated: list[str]
    unknown: list[str]
    missing: list[str]
    ids: list[tuple[str, str]]


@dataclass(frozen=True)
class Plan:
    """What an import will write: these tokens of these proteins, under this policy, with or without their states."""

    source: Source
    chosen: Mapping[str, Protein]
    encoder: EncoderIdentity
    long: LongPolicy
    tokens: tuple[str, ...]
    residue_states: bool


def match(source: Source, proteins: ProteinSet) -> Matching:
    """Find the sequence of every name of a source; see :func:`~esm2_amp.features.archives.spellings`."""
    found = Matching({}, [], [], [], [])
    keys: set[str] = set()
    for name in source.names:
        protein = _meant(name, proteins)
        if protein is None:
            found.unknown.append(name)
            continue
        found.ids.append((protein.id, protein.key))
        if protein.key in keys:
            found.repeated.append(name)
        else:
            keys.add(protein.key)
            found.chosen[name] = protein
    found.missing.extend(protein.id for protein in proteins if protein.key not in keys)
    return found


def plan(
    source: Source,
    chosen: Mapping[str, Protein],
    encoder: EncoderIdentity,
    layers: int,
    long: LongPolicy,
    residue_states: bool,
) -> Plan:
    """Check the shape of every embedding before anything is written.

    Args:
        source: the embeddings.
        chosen: protein of each name to import, one at least.
        encoder: who is said to have made them.
        layers: of that encoder; the states must be of the last one.
        long: policy for long proteins: how many residues each embedding has.
        residue_states: keep the states themselves too.

    Raises:
        InputError: an embedding of another encoder, layer, length or kind than it should be, by name.
    """
    _check_origin(source, encoder, long)
    tokens: tuple[str, ...] = ()
    for name, foreign in source.read(chosen.keys()):
        _check_shapes(source, name, foreign, encoder, long.residues(len(chosen[name].sequence)), chosen[name])
        if foreign.layer is not None and foreign.layer != layers:
            raise wrong(source, name, f"its last layer is {foreign.layer}, that of {encoder.name} is {layers}")
        if residue_states and foreign.states is None:
            raise wrong(source, name, "it has no states of its residues", "Set residues=false.")
        held = _tokens(foreign)
        if tokens and held != tokens:
            raise wrong(
                source,
                name,
                f"it gives the tokens {', '.join(held)}, the ones before {', '.join(tokens)}",
                "Import the two kinds into stores of their own.",
            )
        tokens = held
    return Plan(source, chosen, encoder, long, tokens, residue_states)


def _tokens(foreign: Foreign) -> tuple[str, ...]:
    held = set(foreign.vectors) | ({*SEGMENT_NAMES, "mean"} if foreign.states is not None else set())
    return tuple(name for name in STORED_TOKENS if name in held)


def _check_shapes(
    source: Source, name: str, foreign: Foreign, encoder: EncoderIdentity, residues: int, protein: Protein
) -> None:
    if foreign.label is not None and protein.id not in spellings(foreign.label) and not _same(foreign.label, protein):
        raise wrong(source, name, f"the file says that it is {foreign.label!r}, its name that it is {protein.id!r}")
    unknown = [token for token in foreign.vectors if token not in STORED_TOKENS]
    if unknown:
        raise wrong(source, name, f"token {unknown[0]!r} is unknown")
    if foreign.lengths is not None and foreign.lengths != (len(protein.sequence), residues):
        raise wrong(source, name, _lengths(foreign.lengths[1], residues, protein))
    states: Sequence[Array] = () if foreign.states is None else (foreign.states,)
    for array in states:
        if len(array.shape) != 2 or array.shape[0] != residues:
            raise wrong(source, name, _lengths(array.shape[0], residues, protein), _remedy(array.shape[0], residues))
    for array in (*states, *foreign.vectors.values()):
        if array.shape[-1] != encoder.width or len(array.shape) not in (1, 2):
            raise wrong(source, name, f"it has shape {tuple(array.shape)}, {encoder} makes {encoder.width} dimensions")


def _lengths(given: int, wanted: int, protein: Protein) -> str:
    part = "" if wanted == len(protein.sequence) else f", of which {wanted} are encoded"
    return f"it has {given} residues, protein {protein.id} of the FASTA file {len(protein.sequence)}{part}"


def _remedy(given: int, wanted: int) -> str:
    if given == wanted + 2:
        return "Two more may be cls and eos: cut them off."
    if given < wanted:
        return "If long proteins were truncated, say features.long=truncate features.max_residues=NUMBER."
    return "Give the sequences that the embeddings were made of."


def _check_origin(source: Source, encoder: EncoderIdentity, long: LongPolicy) -> None:
    """Refuse an export of our own of another encoder or policy."""
    if "encoder" in source.origin:
        try:
            made = EncoderIdentity(**json.loads(source.origin["encoder"]))
        except (TypeError, ValueError) as error:
            raise InputError(f"what it says about its encoder is damaged ({error})", file=source.path) from error
        if not made.same_weights(encoder):
            raise InputError(
                f"it holds features of {made}, not of {encoder}", file=source.path, remedy="Name that encoder."
            )
        if source.origin.get("long") != str(long):
            raise InputError(
                f"it was made with long={source.origin.get('long')}, not {long}",
                file=source.path,
                remedy="Set features.long and features.max_residues so.",
            )


def _meant(name: str, proteins: ProteinSet) -> Protein | None:
    return next((protein for word in spellings(name) if (protein := proteins.get(word)) is not None), None)


def _same(label: str, protein: Protein) -> bool:
    """Whether a label names a protein by its accession."""
    return any(f"|{word}|" in protein.id for word in spellings(label))


def wrong(source: Source, name: str, what: str, remedy: str = "") -> InputError:
    """The mistake of one protein of a source."""
    return InputError(f"{name!r}: {what}", file=Path(source.path), remedy=remedy)
