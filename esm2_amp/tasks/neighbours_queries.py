"""``esm2-amp neighbours similar``, ``analogy`` and ``closest-pairs``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from esm2_amp.errors import InputError
from esm2_amp.neighbours.answers import Answer, joined
from esm2_amp.neighbours.queries import Asked, Neighbours, metric, operation
from esm2_amp.neighbours.vectors import Vectors
from esm2_amp.tasks.config_neighbours import NeighboursConfig
from esm2_amp.tasks.console import log, progress
from esm2_amp.tasks.given_ids import ids_in_file, split_ids
from esm2_amp.tasks.neighbours_build import memory_gb, threads_of
from esm2_amp.tasks.neighbours_given import questions_in_file, read_vectors
from esm2_amp.tasks.neighbours_output import Outputs, show_answer, write_answer
from esm2_amp.tasks.options import at_least

_QUESTIONS = ("ids", "ids_file", "fasta", "query")

if TYPE_CHECKING:
    from esm2_amp.neighbours.vector_store import VectorStore


def similar(config: NeighboursConfig) -> None:
    """The nearest to each of some ids, sequences or vectors."""
    _one_of(config, _QUESTIONS)
    outputs, near = _open(config)
    _finish(near, similar_answer(near, config, _asked(near, config)), config, outputs)


def analogy(config: NeighboursConfig) -> None:
    """Analogies of one id, of a pair, or a completion; or of each line of a file."""
    _one_of(config, ("a", "ids_file"))
    if config.ids_file is not None and (config.b or config.c) is not None:
        raise InputError("b or c beside ids_file", remedy="Give a, b and c in the lines of the file.")
    if config.c is not None and config.b is None:
        raise InputError("c without b", remedy="Add b=ID: a is to b as c is to what is looked for.")
    outputs, near = _open(config)
    if config.ids_file is None:
        questions = [tuple(name for name in (config.a, config.b, config.c) if name is not None)]
    else:
        questions = questions_in_file(config.ids_file)
    _finish(near, analogy_answer(near, config, questions), config, outputs)


def closest_pairs(config: NeighboursConfig) -> None:
    """The nearest pairs of all."""
    outputs, near = _open(config)
    _finish(near, closest_answer(near, config), config, outputs)


def similar_answer(near: Neighbours, config: NeighboursConfig, asked: Asked) -> Answer:
    """Ask."""
    index = config.index
    return near.similar(
        asked,
        config.k,
        metric=config.metric,
        allowed=near.names.allowed(config.filter),
        candidates=index.candidates,
        nprobe=index.nprobe,
    )


def analogy_answer(near: Neighbours, config: NeighboursConfig, questions: Sequence[tuple[str, ...]]) -> Answer:
    """Ask each question, of one to three names."""
    allowed = near.names.allowed(config.filter)
    near.names.rows_of([name for names in questions for name in names])  # all names are known before any work
    answers = []
    with progress("analogies", "vectors") as (begin, advance):
        begin(near.vectors.n * len(questions))
        for names in questions:
            answers.append(
                near.analogy(
                    names,
                    config.k,
                    op=operation(config.op),
                    max_similarity=config.max_similarity,
                    allowed=allowed,
                    advance=advance,
                )
            )
    return joined(answers)


def closest_answer(near: Neighbours, config: NeighboursConfig) -> Answer:
    """Ask."""
    with progress("closest pairs", "vectors") as (begin, advance):
        allowed = near.names.allowed(config.filter)
        begin(near.vectors.n if allowed is None else int(allowed.sum()))
        return near.closest(config.k, metric=metric(config.metric), allowed=allowed, advance=advance)


def check_query(config: NeighboursConfig) -> None:
    """Refuse impossible settings before any work."""
    at_least(k=(config.k, 1), shown=(config.shown, 0), clusters=(config.clusters, 0), threads=(config.threads, 1))
    at_least(index__nprobe=(config.index.nprobe, 1), index__candidates=(config.index.candidates, 1))
    at_least(map__points=(config.map.points, 0), milvus__candidates=(config.milvus.candidates, 1))
    operation(config.op)
    metric(config.metric)
    if config.max_similarity is not None and not -1 <= config.max_similarity <= 1:
        raise InputError(f"max_similarity is {config.max_similarity}", remedy="Give a cosine, from -1 to 1.")
    if config.action == "analogy" and config.metric != "cosine":
        raise InputError(f"metric={config.metric} for analogies", remedy="Analogies are scored by cosines.")


def open_near(config: NeighboursConfig) -> Neighbours:
    """The vectors to ask, with index and metadata; says how they are searched."""
    near = Neighbours(
        config.vectors,
        exact=config.exact,
        link=config.link,
        threads=threads_of(config),
        memory=memory_gb(config) * 1e9,
        store=None if config.milvus.uri is None or config.exact else _milvus(config),
    )
    log.info("%s", near.said)
    return near


def _asked(near: Neighbours, config: NeighboursConfig) -> Asked:
    if config.fasta is not None:
        from esm2_amp.tasks.neighbours_embedded import embedded  # torch comes with it

        return embedded(near, config, config.fasta)
    if config.query is not None:
        return read_vectors(config.query)
    return near.named(ids_in_file(config.ids_file) if config.ids_file is not None else split_ids(config.ids))


def _open(config: NeighboursConfig) -> tuple[Outputs, Neighbours]:
    check_query(config)
    outputs = Outputs.of(config)
    return outputs, open_near(config)


def _finish(near: Neighbours, answer: Answer, config: NeighboursConfig, outputs: Outputs) -> None:
    show_answer(near, answer, config.shown)
    write_answer(near, answer, config, outputs)


def _one_of(config: NeighboursConfig, keys: Sequence[str]) -> None:
    given = [key for key in keys if getattr(config, key) is not None]
    if len(given) != 1:
        what = f"{' and '.join(given)} are given together" if given else "nothing is asked"
        raise InputError(what, remedy=f"Add one of {', '.join(f'{key}=' for key in keys)}.")


def _milvus(config: NeighboursConfig) -> Callable[[Vectors, str], VectorStore]:
    from esm2_amp.tasks.neighbours_milvus import filled_store  # pymilvus comes with it

    return lambda vectors, metric: filled_store(vectors, config.milvus, metric)
