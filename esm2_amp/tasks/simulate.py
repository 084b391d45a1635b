"""``esm2-amp simulate``: a world with a known interaction rule."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

from esm2_amp.errors import InputError
from esm2_amp.sources.simulate import simulate
from esm2_amp.sources.simulation_files import write_simulation
from esm2_amp.tasks.config import SimulateConfig
from esm2_amp.tasks.console import say, start_logging
from esm2_amp.tasks.options import at_least, typed


def run(cfg: DictConfig) -> Path:
    """Simulate and write; returns the folder."""
    config = typed(SimulateConfig, cfg)
    start_logging()
    at_least(seed=(config.seed, 0))
    spec = config.spec()
    folder = Path(config.output)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"output {config.output!r} exists already", remedy="Name a new folder.")
    simulation = simulate(spec, config.seed)
    write_simulation(simulation, folder)
    counts = ", ".join(f"{len(pairs)} {name}" for name, pairs in simulation.pairs.items())
    say(f"{len(simulation.proteins)} simulated proteins; pairs: {counts}. Written to {folder}")
    return folder
