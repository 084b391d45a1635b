"""``esm2-amp screen``: every pair of many proteins, and the network of the best."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from omegaconf import DictConfig

from esm2_amp.errors import InputError
from esm2_amp.screening.scorer import Scorer
from esm2_amp.screening.scorers import scorer_for
from esm2_amp.tasks.config import ScreenConfig
from esm2_amp.tasks.console import log, say, start_logging
from esm2_amp.tasks.embedding import IS_CHILD, check_features, limited_threads, pick_device
from esm2_amp.tasks.options import at_least, typed
from esm2_amp.tasks.resumable_folder import open_resumable
from esm2_amp.tasks.screen_all import score_all
from esm2_amp.tasks.screen_input import ScreenInputs
from esm2_amp.tasks.screen_results import write_results
from esm2_amp.tasks.screen_retrieve import retrieve
from esm2_amp.tasks.screen_scored import Crew, ScoredScreen
from esm2_amp.tasks.team import Alone, assembled, check_team, is_shared


def run(cfg: DictConfig) -> Path:
    """Score, keep the best, write everything; returns the folder written."""
    config = typed(ScreenConfig, cfg)
    start_logging()
    if IS_CHILD:
        log.setLevel(logging.WARNING)  # the first process speaks for all
    _check(config)
    inputs = ScreenInputs(config)
    if IS_CHILD:
        _score(inputs, Path(str(config.output)))
        return Path(str(config.output))
    with open_resumable(config.output, "screen", inputs.settings()) as folder:
        scored = _score(inputs, folder)
        if scored is None:
            raise RuntimeError("the first process has no results")
        lead = write_results(scored, folder)
    say(f"{lead}\nReport: {folder / 'report.html'}")
    return folder


def _check(config: ScreenConfig) -> None:
    config.check()
    check_features(config.features)
    check_team(config.trainer)
    at_least(trainer__threads=(config.trainer.threads, 1))
    if is_shared(config.trainer) and config.output is None:
        raise InputError("several processes share the work, but no output is given", remedy="Add output=DIR.")


def _score(inputs: ScreenInputs, folder: Path) -> ScoredScreen | None:
    """This process's share of the scores; the first one gets all results, when every process is done."""
    inputs.open_features()
    with limited_threads(inputs.config.trainer.threads), _crew(inputs.config) as crew:
        crew.meet()  # the folder is there
        strategy = {"all": score_all, "retrieve": retrieve}[inputs.config.screen.strategy]
        return strategy(inputs, _scorer(inputs, crew), crew, folder)


def _scorer(inputs: ScreenInputs, crew: Crew) -> Scorer:
    options = inputs.config.screen
    return scorer_for(inputs.model.network, crew.device, options.precision, options.compile)


@contextmanager
def _crew(config: ScreenConfig) -> Iterator[Crew]:
    """The processes that share the work: those that ``trainer`` asks for, or this one alone."""
    if not is_shared(config.trainer):
        yield Alone(pick_device(config.features.device))
        return
    with assembled(config.trainer) as team:
        yield team
