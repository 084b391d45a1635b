"""``esm2-amp store import``: embeddings that exist already into a store."""

from __future__ import annotations

import json
from pathlib import Path

from esm2_amp.errors import InputError
from esm2_amp.features.archives import Source, open_source
from esm2_amp.features.import_plan import Matching, Plan, match, plan
from esm2_amp.features.imports import check_against, write
from esm2_amp.io.fasta import read_fasta
from esm2_amp.tasks.config import StoreConfig
from esm2_amp.tasks.console import log, progress, say
from esm2_amp.tasks.embedding import EncoderChoice, check_features, set_threads
from esm2_amp.tasks.options import at_least


def import_source(config: StoreConfig) -> None:
    """Match, check, compare, write."""
    _check(config)
    source = open_source(Path(str(config.source)))
    found = match(source, read_fasta(str(config.fasta)))
    _tell(config, source, found)
    choice = EncoderChoice(config.encoder, config.features)
    layers = int(json.loads((choice.folder / "config.json").read_text(encoding="utf-8"))["num_hidden_layers"])
    planned = plan(source, found.chosen, choice.identity, layers, config.features.policy(), config.residues)
    if config.check:
        _compare(choice, planned, config.check)
    with progress("import", "proteins") as (begin, advance):
        new = write(planned, config.store, found.ids, begin, advance)
    say(f"{new} sequences imported into {config.store}, {len(found.chosen) - new} were there already.")
    say(f"Tokens: {', '.join(planned.tokens)}{'; with residue states' if planned.residue_states else ''}.")


def _check(config: StoreConfig) -> None:
    if config.source is None:
        raise InputError("source is not given", remedy="Add source=FOLDER_OR_FILE.")
    if config.fasta is None:
        raise InputError("fasta is not given", remedy="Add fasta=FILE with the sequences of the embeddings.")
    if config.encoder.path is None and config.encoder.hub is None:
        raise InputError(
            "encoder is not given", remedy="Say who made the embeddings: encoder=esm2_650m or encoder.path=FOLDER."
        )
    if config.unknown not in ("error", "skip"):
        raise InputError(f"unknown is {config.unknown!r}", remedy="Use error or skip.")
    at_least(check=(config.check, 0))
    check_features(config.features)
    set_threads(config.features.threads)


def _tell(config: StoreConfig, source: Source, found: Matching) -> None:
    """Say what does not meet; refuse if nothing does, or if an embedding without a sequence is an error."""
    if not found.chosen:
        raise InputError(
            f"none of its {len(source.names)} ids is in {config.fasta}, first {next(iter(source.names), '')!r}",
            file=source.path,
            remedy="Give the FASTA file with these ids.",
        )
    if found.unknown and config.unknown == "error":
        raise InputError(
            f"{len(found.unknown)} of {len(source.names)} embeddings have no sequence in {config.fasta}, "
            f"first {found.unknown[0]!r}",
            file=source.path,
            remedy="Add the sequences, or skip these embeddings with unknown=skip.",
        )
    for names, what in (
        (found.unknown, "embeddings have no sequence and are skipped"),
        (found.repeated, "embeddings repeat a sequence and are left out"),
        (found.missing, "proteins of the FASTA file have no embedding"),
    ):
        if names:
            log.warning("%d %s, first %r.", len(names), what, names[0])


def _compare(choice: EncoderChoice, planned: Plan, count: int) -> None:
    least = check_against(choice.load(), planned, count)
    worst = min(least, key=lambda token: least[token])
    count = min(count, len(planned.chosen))
    log.info("%d computed again with %s: least cosine %.5f (%s).", count, choice.identity, least[worst], worst)
