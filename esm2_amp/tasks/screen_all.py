"""``screen.strategy=all``: the model scores every pair."""

from __future__ import annotations

from pathlib import Path

from esm2_amp.screening.background import edges_around
from esm2_amp.screening.engine import sample, screen
from esm2_amp.screening.finish import finish
from esm2_amp.screening.keep import Keep
from esm2_amp.screening.parts import open_parts
from esm2_amp.screening.scorer import Scorer
from esm2_amp.tasks.console import log, progress
from esm2_amp.tasks.resumable_folder import WORK
from esm2_amp.tasks.screen_input import ScreenInputs
from esm2_amp.tasks.screen_plan import PILOT_PAIRS, make_plan, show_plan
from esm2_amp.tasks.screen_scored import PAIRS, Crew, ScoredScreen
from esm2_amp.tasks.screen_worth import Prior


def score_all(inputs: ScreenInputs, scorer: Scorer, crew: Crew, folder: Path) -> ScoredScreen | None:
    """This process's share; the first one gets all results, when every process is done."""
    options = inputs.config.screen
    prior = Prior(inputs.model.card, options.negatives_per_positive)
    plan = make_plan(inputs, scorer, inputs.pairs, crew.count)
    grid = inputs.grid(plan.tile)
    if crew.rank == 0:
        show_plan(plan, [])
    parts = open_parts(
        folder / WORK / "parts",
        inputs.sides.ids,
        {**inputs.settings(), "tile": plan.tile},
        lambda: edges_around(sample(grid, inputs.tokens, scorer, PILOT_PAIRS)),
        options.commit_seconds,
    )
    done = sum(grid.size(number) for number in parts.done())
    if done and crew.rank == 0:
        log.info("%s of %s pairs are scored already.", f"{done:,}", f"{grid.pairs:,}")
    keep = Keep(options.threshold, options.top)
    with progress("screening", "pairs", shown=crew.rank == 0) as (begin, advance):
        begin(-(-(grid.pairs - done) // crew.count))
        share = (crew.rank, crew.count)
        screen(
            grid, inputs.tokens, scorer, keep, prior.probability, parts, share=share, advance=advance, check=crew.check
        )
    crew.meet()
    if crew.rank:
        return None
    summary = finish(parts, len(grid), keep, prior.at_prevalence, None, folder / PAIRS)
    return ScoredScreen(inputs, plan, prior, summary, parts.background(), grid.pairs, ())
