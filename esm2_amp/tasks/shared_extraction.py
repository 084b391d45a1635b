"""``esm2-amp extract`` by several processes, also on several machines: each computes its share of one plan.

The first process writes to the store itself, every other one to a part of it (see
:mod:`~esm2_amp.features.store_parts`), which the first one joins when all are done.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from esm2_amp.errors import InputError
from esm2_amp.features.encoder import Encoder
from esm2_amp.features.extract import WHOLE, ExtractionReport, ExtractionSettings, Share, compute, missing_proteins
from esm2_amp.features.identity import EncoderIdentity
from esm2_amp.features.store import FeatureStore
from esm2_amp.features.store_parts import join_parts, part_folder
from esm2_amp.features.store_writer import StoreWriter
from esm2_amp.records import Protein
from esm2_amp.tasks.config_groups import TrainerConfig
from esm2_amp.tasks.console import log, progress
from esm2_amp.tasks.embedding import EncoderChoice, limited_threads, settings_of, tell
from esm2_amp.tasks.team import assembled


class Meeting(Protocol):
    """What is needed of :class:`~esm2_amp.tasks.team.Team`."""

    rank: int
    count: int

    def check(self) -> None:
        """Raise if another process is known to be gone."""
        ...

    def meet(self) -> None:
        """Wait until every process is here."""
        ...


class Source(Protocol):
    """Who the encoder is, and how to load it."""

    identity: EncoderIdentity

    def load(self) -> Encoder:
        """Load it onto this process's device."""
        ...


def ensure_features_together(
    proteins: Sequence[Protein], choice: EncoderChoice, folder: str, trainer: TrainerConfig
) -> FeatureStore | None:
    """Compute what the store at ``folder`` lacks; gives the store to the first process and None to the others."""
    wanted = choice.features.device
    with limited_threads(choice.features.threads), assembled(trainer) as team:
        if wanted not in ("auto", team.device.type, str(team.device)):
            raise InputError(
                f"features.device={wanted}, but trainer.accelerator={trainer.accelerator} gives {team.device}",
                remedy="Leave features.device=auto where several processes share the work.",
            )
        choice.features = replace(choice.features, device=str(team.device))
        began, settings = time.monotonic(), settings_of(choice.features, choice.identity.width)
        # devices may differ in their memory; the plan may not
        settings = replace(settings, token_budget=team.smallest(settings.token_budget))
        report = extract_together(proteins, choice, folder, settings, team)
    if team.rank:
        return None
    tell(report, time.monotonic() - began, folder)
    return FeatureStore(folder)


def extract_together(
    proteins: Sequence[Protein], source: Source, folder: str, settings: ExtractionSettings, team: Meeting
) -> ExtractionReport:
    """One process's share of an extraction; every process calls this with the same proteins and settings.

    Returns:
        What all of them did.

    Raises:
        InputError: as :func:`~esm2_amp.features.extract.extract`, or another process stopped.
    """
    first, loaded = team.rank == 0, None
    with ExitStack() as closing:
        if first:
            # a new store is not begun before the weights are known to load: a mistake leaves nothing behind
            loaded = None if (Path(folder) / "manifest.json").exists() else source.load()
            main = closing.enter_context(_writer(folder, source, settings))
            join_parts(main)  # of an extraction that was killed
            main.add_ids([(protein.id, protein.key) for protein in proteins])
        team.meet()
        missing = missing_proteins(proteins, FeatureStore(folder))
        team.meet()  # nothing is added before all know what is missing: the plan is the same for all
        share = Share(team.rank, team.count)
        if first:
            _compute(missing, main, source, loaded, settings, share, team)
        else:
            with _writer(part_folder(folder, team.rank), source, settings) as part:
                _compute(missing, part, source, loaded, settings, share, team)
        team.meet()
        if first:
            join_parts(main)
            left = missing_proteins(proteins, FeatureStore(folder))  # none, unless a machine saw an old state of files
            _compute(left, main, source, loaded, settings, WHOLE, team)
    lengths = [len(protein.sequence) for protein in missing.values()]
    used = [settings.long.residues(length) for length in lengths]
    shortened = sum(one < length for one, length in zip(used, lengths, strict=True))
    distinct = len({protein.key for protein in proteins})
    return ExtractionReport(len(missing), distinct - len(missing), sum(used), shortened)


def _compute(
    missing: dict[str, Protein],
    writer: StoreWriter,
    source: Source,
    loaded: Encoder | None,
    settings: ExtractionSettings,
    share: Share,
    team: Meeting,
) -> None:
    with progress("features", "residues", shown=team.rank == 0) as (begin, advance):

        def start(sequences: int, residues: int) -> None:
            if missing:
                log.info(
                    "Computing features of %d sequences with %s; %d of them (%s residues) in this process of %d.",
                    len(missing), source.identity, sequences, f"{residues:,}", share.count,
                )  # fmt: skip
            begin(residues)

        def step(residues: int) -> None:
            advance(residues)
            team.check()

        compute(missing, writer, lambda: loaded or source.load(), settings, share, start, step)


def _writer(folder: str | Path, source: Source, settings: ExtractionSettings) -> StoreWriter:
    return StoreWriter(folder, source.identity, settings.long, residue_states=settings.residue_states)
