"""Proteins into the feature store: nothing computed twice, nothing lost, all cores at work, resumable."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from esm2_amp.features.embed import Embedder, Embedding
from esm2_amp.features.encoder import Encoder
from esm2_amp.features.identity import EncoderIdentity, LongPolicy
from esm2_amp.features.store import FeatureStore
from esm2_amp.features.store_parts import join_parts
from esm2_amp.features.store_writer import StoreWriter
from esm2_amp.records import Protein


@dataclass(frozen=True)
class ExtractionSettings:
    """How to compute.

    Attributes:
        long: policy for long proteins.
        token_budget: most positions encoded at a time, and of the proteins committed together.
        workers: batches in work at a time, each on one CPU thread; 1 for a GPU.
        residue_states: keep the states of all residues too.
    """

    long: LongPolicy
    token_budget: int
    workers: int
    residue_states: bool


@dataclass(frozen=True)
class ExtractionReport:
    """What an extraction did: distinct sequences and residues, new and already stored; how many were over-long."""

    computed: int
    present: int
    residues: int
    shortened: int


@dataclass(frozen=True)
class Share:
    """Which of the batches are this process's: number ``rank`` of ``count``."""

    rank: int
    count: int


WHOLE = Share(0, 1)


def plan_batches(positions: Sequence[int], token_budget: int) -> list[list[int]]:
    """Group proteins, longest first, so that a batch has at most ``token_budget`` positions in all.

    Longest first, memory runs out at once or never. A protein beyond the budget is a batch of its own.

    Args:
        positions: what the encoder sees of each protein: residues, and a cls and an eos for each piece.
        token_budget: most positions a batch.
    """
    batches: list[list[int]] = []
    used = 0
    for index in sorted(range(len(positions)), key=lambda i: (-positions[i], i)):
        if not batches or used + positions[index] > token_budget:
            batches.append([])
            used = 0
        batches[-1].append(index)
        used += positions[index]
    return batches


def missing_proteins(proteins: Iterable[Protein], store: FeatureStore) -> dict[str, Protein]:
    """The first protein of every distinct sequence that the store does not have, by sequence key."""
    distinct: dict[str, Protein] = {}
    for protein in proteins:
        distinct.setdefault(protein.key, protein)
    rows = store.find(list(distinct))
    return {key: protein for (key, protein), row in zip(distinct.items(), rows, strict=True) if row < 0}


def extract(
    proteins: Sequence[Protein],
    folder: str,
    identity: EncoderIdentity,
    load_encoder: Callable[[], Encoder],
    settings: ExtractionSettings,
    start: Callable[[int, int], None],
    advance: Callable[[int], None],
) -> ExtractionReport:
    """Put the tokens of every protein into the store at ``folder``, computing only what it lacks.

    Every batch is committed when it is done, in the order of the plan: a killed run loses the batches in work, one a
    worker, and at worst the one that is about to be written; the same call goes on. Parts that a killed extraction by
    several processes left are joined first (:mod:`~esm2_amp.features.store_parts`).

    Args:
        proteins: any number; a sequence under several ids is computed once.
        folder: the feature store, made if absent.
        identity: who ``load_encoder`` loads.
        load_encoder: called only if something is to be computed.
        settings: how to compute.
        start: told the number of sequences and residues to compute.
        advance: told the residues done after each batch.

    Raises:
        InputError: the store refuses (see :class:`~esm2_amp.features.store_writer.StoreWriter`), a protein does not
            fit into memory, or a state is not finite.
    """
    with StoreWriter(folder, identity, settings.long, residue_states=settings.residue_states) as writer:
        join_parts(writer)
        writer.add_ids([(protein.id, protein.key) for protein in proteins])
        missing = missing_proteins(proteins, FeatureStore(folder))
        report = compute(missing, writer, load_encoder, settings, WHOLE, start, advance)
    distinct = len({protein.key for protein in proteins})
    return ExtractionReport(report.computed, distinct - len(missing), report.residues, report.shortened)


def compute(
    missing: dict[str, Protein],
    writer: StoreWriter,
    load_encoder: Callable[[], Encoder],
    settings: ExtractionSettings,
    share: Share,
    start: Callable[[int, int], None],
    advance: Callable[[int], None],
) -> ExtractionReport:
    """Compute a share of the missing proteins (by sequence key) and append them batch by batch."""
    keys, todo, long = list(missing), list(missing.values()), settings.long
    used = [long.residues(len(protein.sequence)) for protein in todo]
    positions = [sum(stop - first + 2 for first, stop in long.pieces(len(protein.sequence))) for protein in todo]
    batches = plan_batches(positions, settings.token_budget)[share.rank :: share.count]
    mine = [i for batch in batches for i in batch]
    start(len(mine), sum(used[i] for i in mine))
    if batches:
        embedder = Embedder(load_encoder(), long, settings.token_budget, residue_states=settings.residue_states)
        work = ([todo[i] for i in batch] for batch in batches)
        for batch, embedding in zip(batches, embedded(embedder, work, settings.workers), strict=True):
            lengths, residues = [len(todo[i].sequence) for i in batch], [used[i] for i in batch]
            writer.append([keys[i] for i in batch], lengths, residues, embedding.tokens, embedding.residue_states)
            advance(sum(residues))
    shortened = sum(used[i] < len(todo[i].sequence) for i in mine)
    return ExtractionReport(len(mine), 0, sum(used[i] for i in mine), shortened)


def embedded(embedder: Embedder, batches: Iterable[list[Protein]], workers: int) -> Iterator[Embedding]:
    """Embed batches with several threads and hand them on in order; the caller writes while the next are in work.

    Tensors this small keep one thread busier than two: every worker computes on one thread, and all share the weights.
    """
    with threads_shared(workers), ThreadPoolExecutor(workers, thread_name_prefix="embed") as pool:
        waiting: deque[Future[Embedding]] = deque()
        try:
            for batch in batches:
                if len(waiting) == workers:
                    waiting[0].exception()  # wait, without raising: the next goes to work before the oldest is written
                    done = waiting.popleft()
                    waiting.append(pool.submit(embedder, batch))
                    yield done.result()
                else:
                    waiting.append(pool.submit(embedder, batch))
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


@contextmanager
def threads_shared(workers: int) -> Iterator[None]:
    """Divide torch's own threads among the workers, one each where there are as many."""
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(max(1, threads // workers))
        yield
    finally:
        torch.set_num_threads(threads)
