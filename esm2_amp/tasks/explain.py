"""``esm2-amp explain``: why a trained model scores pairs as it does."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from omegaconf import DictConfig

from esm2_amp.errors import InputError
from esm2_amp.explain.batch import Batch, Explainer
from esm2_amp.explain.methods import METHODS, OF_A_SURROGATE, methods_for
from esm2_amp.explain.randomised import fresh_networks
from esm2_amp.io.blocks import compute_block
from esm2_amp.tasks.config import ExplainConfig
from esm2_amp.tasks.console import progress, say, start_logging
from esm2_amp.tasks.embedding import check_features
from esm2_amp.tasks.explain_input import Inputs, Scored
from esm2_amp.tasks.explain_pages import write_everything
from esm2_amp.tasks.explain_regions import Regions, regions_for
from esm2_amp.tasks.explain_results import Explained
from esm2_amp.tasks.explain_surrogate import Taught, teach
from esm2_amp.tasks.options import at_least, several, typed
from esm2_amp.tasks.resumable_folder import WORK, open_resumable
from esm2_amp.tasks.training_data import file_hash


def run(cfg: DictConfig) -> Path:
    """Explain every pair; returns the folder written."""
    config = typed(ExplainConfig, cfg)
    start_logging()
    _check(config)
    inputs = Inputs(config)
    methods = _methods(config, inputs)
    regions = regions_for(inputs)
    with open_resumable(config.output, "explanation", _settings(config, inputs, methods)) as folder:
        with_training = bool(config.evidence) or any(name in OF_A_SURROGATE for name in methods)
        with progress("scoring", "pairs") as (begin, advance):
            begin(len(inputs.rows))
            scored = inputs.score(with_training, advance)
        taught = teach(scored, methods)
        explainer = _explainer(config, scored, methods)
        blocks = _explain(explainer, scored, regions, taught, folder)
        explained = write_everything(Explained(folder, explainer, scored, regions, taught, blocks))
    say(f"{explained.lead}\nReport: {folder / 'report.html'}")
    return folder


def _check(config: ExplainConfig) -> None:
    at_least(
        batch_size=(config.batch_size, 1),
        pages=(config.pages, 0),
        evidence=(config.evidence, 0),
        background=(config.background, 1),
        seed=(config.seed, 0),
        ig__max_steps=(config.ig.max_steps, 1),
        faithfulness__pairs=(config.faithfulness.pairs, 0),
        faithfulness__resamples=(config.faithfulness.resamples, 1),
    )
    if not 0 < config.ig.tolerance < 1:
        raise InputError(f"ig.tolerance is {config.ig.tolerance}", remedy="Give a share between 0 and 1, as 0.01.")
    check_features(config.features)


def _methods(config: ExplainConfig, inputs: Inputs) -> tuple[str, ...]:
    """The methods asked for, in the order of :data:`METHODS`."""
    network = inputs.model.network
    possible = methods_for(network, inputs.training is not None)
    wanted = several(config.method)
    if wanted == ["all"]:
        return possible
    for name in wanted:
        if name not in METHODS:
            raise InputError(f"method is {name!r}", remedy=f"Use all, or one or several of {', '.join(METHODS)}.")
        if name not in possible and name in OF_A_SURROGATE:
            raise InputError(
                f"method={name} needs the pairs that the model was trained on, which are not where they were",
                remedy="Give train_pairs=FILE, with their sequences in fasta.",
            )
        if name not in possible:
            raise InputError(
                f"method={name}: {type(network).__name__} has no attention", remedy=f"Use {', '.join(possible)}."
            )
    return tuple(name for name in METHODS if name in wanted)


def _settings(config: ExplainConfig, inputs: Inputs, methods: tuple[str, ...]) -> dict[str, Any]:
    """What the results depend on: work of other settings is not gone on with."""
    files = {"pairs": inputs.pairs_file, "fasta": inputs.fasta_file}
    files["model"] = str(inputs.model.folder / "model.safetensors")
    if inputs.files is not None:
        files["train_pairs"] = inputs.files.pairs
    values = asdict(config)
    plain = ("seed", "batch_size", "background", "ig", "faithfulness", "surrogate", "evidence", "pages", "regions")
    hashes = {name: file_hash(file) for name, file in files.items()}
    return {"methods": list(methods), **{name: values[name] for name in plain}, **hashes}


def _explainer(config: ExplainConfig, scored: Scored, methods: tuple[str, ...]) -> Explainer:
    network = scored.inputs.model.network
    fresh = fresh_networks(network, config.seed)
    return Explainer(network, fresh, scored.baselines(), methods, config.ig.tolerance, config.ig.max_steps, config.seed)


def _explain(
    explainer: Explainer, scored: Scored, regions: Regions, taught: Taught, folder: Path
) -> list[NDArray[np.int64]]:
    """Compute all blocks that are not there; returns the numbers of the rows of each."""
    config, numbers = scored.inputs.config, scored.explained
    chosen = np.zeros(len(scored.rows), dtype=bool)
    size = min(config.faithfulness.pairs, len(numbers))
    chosen[np.random.default_rng(config.seed).choice(numbers, size, replace=False)] = True
    blocks = [numbers[i : i + config.batch_size] for i in range(0, len(numbers), config.batch_size)]
    with progress("explaining", "pairs") as (begin, advance):
        begin(len(numbers))
        for i, rows in enumerate(blocks):
            places = scored.places(rows)
            a, b = map(scored.tokens, places)
            batch = Batch(a, b, rows, scored.called(rows), chosen[rows], regions.truth(scored, rows))
            compute_block(folder / WORK, i, lambda: explainer.arrays(batch, lambda name: taught.explain(name, *places)))  # noqa: B023
            advance(len(rows))
    return blocks
