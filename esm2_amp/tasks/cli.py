"""``esm2-amp TASK [KEY=VALUE ...]``: hands a composed configuration to a task and turns mistakes into one message."""

from __future__ import annotations

import importlib
import os
import sys
import warnings
from collections.abc import Callable
from itertools import pairwise
from typing import Any

from esm2_amp import __version__
from esm2_amp.errors import InputError
from esm2_amp.resources import ROOT
from esm2_amp.tasks.teach import task_help

TASKS = {
    "train": "Train a model on labelled pairs and measure it.",
    "predict": "Score a list of pairs with a trained model.",
    "extract": "Compute the features of every protein of a FASTA file.",
    "store": "Look at a feature store, or export it to .npz.",
    "simulate": "Draw a simulated world of proteins and pairs with a known rule.",
    "fetch": "Fetch a public dataset from its home and check it.",
    "pretrain": "Pretrain a small encoder of ESM-2's architecture.",
}
_ACTIONS = {"store": ("info", "export")}
_HYDRA_TAKES_A_WORD = ("--cfg", "-c", "--package", "-p", "--info", "-i")
_QUIET = (
    "hydra/job_logging=none",
    "hydra/hydra_logging=none",
    "hydra.run.dir=.",
    "hydra.output_subdir=null",
    "hydra.sweep.dir=.",
    "hydra.sweep.subdir=.",
)
"""Hydra keeps no folders and no log of its own: a run's configuration is saved in its run folder."""


def main(argv: list[str] | None = None) -> None:
    """Entry point of the console script; exits with 2 on a user's mistake, 130 on Ctrl-C."""
    argv = sys.argv[1:] if argv is None else argv
    try:
        _main(argv)
    except InputError as error:
        sys.exit(_complain(str(error)))
    except KeyboardInterrupt:
        print("\nInterrupted; the same command goes on where it can.", file=sys.stderr)
        sys.exit(130)


def _main(argv: list[str]) -> None:
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(_overview())
        return
    if argv[0] == "--version":
        print(f"esm2-amp {__version__}")
        return
    task, overrides = argv[0], argv[1:]
    if task not in TASKS:
        raise InputError(f"there is no task {task!r}", remedy=f"The tasks are {', '.join(TASKS)}.")
    if "-h" in overrides or "--help" in overrides:
        print(task_help(ROOT / "conf", task))
        return
    if overrides and overrides[0] in _ACTIONS.get(task, ()):
        overrides = [f"action={overrides[0]}", *overrides[1:]]
    for before, word in pairwise(["", *overrides]):
        if before not in _HYDRA_TAKES_A_WORD:
            _check_word(word, task)
    warnings.filterwarnings("ignore", category=UserWarning, module="hydra")
    _compose_and_run(task, overrides, importlib.import_module(f"esm2_amp.tasks.{task}").run)


def _compose_and_run(task: str, overrides: list[str], run: Callable[[Any], Any]) -> None:
    import hydra
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    original, mistakes = sys.argv, list[InputError]()

    def job(cfg: Any) -> Any:
        sys.argv = original  # what a launcher of further processes repeats
        try:
            return run(cfg)
        except InputError as mistake:  # kept from Hydra, which would print its own account of it
            mistakes.append(mistake)

    os.environ["HYDRA_FULL_ERROR"] = "1"  # exceptions come out, instead of Hydra's own exit
    sys.argv = [original[0], *_QUIET, *overrides]
    try:
        hydra.main(version_base="1.3", config_path=str(ROOT / "conf"), config_name=task)(job)()
    except (HydraException, OmegaConfBaseException) as error:
        raise InputError(_first_lines(error), remedy=f"See: esm2-amp {task} --help") from error
    finally:
        sys.argv = original
    if mistakes:
        raise mistakes[0]


def _check_word(word: str, task: str) -> None:
    free = word.startswith(("-", "+hydra", "++hydra")) or "=" in word
    if not free:
        raise InputError(f"{word!r} is not KEY=VALUE", remedy=f"See: esm2-amp {task} --help")
    if word.startswith("+") and not word.lstrip("+").startswith("hydra"):
        raise InputError(f"{word!r} would add an unknown option", remedy=f"See: esm2-amp {task} --help")


def _first_lines(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    keep = [
        line for line in lines if not line.startswith(("full_key", "object_type", "Set the environment", "To append"))
    ]
    return ", ".join(keep[:12]).replace(":,", ":") or type(error).__name__


def _complain(message: str) -> int:
    print(f"error: {message}", file=sys.stderr)
    return 2


def _overview() -> str:
    rows = "\n".join(f"  {name:<10} {sentence}" for name, sentence in TASKS.items())
    return (
        "esm2-amp TASK [KEY=VALUE ...]\n\n"
        "From two protein sequences to an interaction probability, and the reason why.\n\n"
        f"Tasks:\n{rows}\n\n"
        "esm2-amp TASK --help shows the options of a task; esm2-amp --version the version.\n"
        "python train.py and python predict.py are esm2-amp train and esm2-amp predict."
    )
