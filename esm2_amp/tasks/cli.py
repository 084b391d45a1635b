"""``esm2-amp TASK [KEY=VALUE ...]``: hands a composed configuration to a task and turns mistakes into one message."""

from __future__ import annotations

import importlib
import os
import sys
import tempfile
import warnings
from collections.abc import Callable
from typing import Any

from esm2_amp import __version__
from esm2_amp.errors import InputError
from esm2_amp.resources import ROOT
from esm2_amp.tasks.override_file import as_given, with_overrides
from esm2_amp.tasks.teach import task_help

TASKS = {
    "train": "Train a model on labelled pairs and measure it.",
    "tune": "Search for hyperparameters by cross-validation; resumable, shared by any number of workers.",
    "predict": "Score a list of pairs with a trained model.",
    "screen": "Score every pair of many proteins, keep the best, and draw their network.",
    "evaluate": "Measure scored pairs that have labels: every number, and one page.",
    "explain": "Say why a trained model scores pairs as it does: attributions, tables and pages.",
    "regions": "Hold ranked segments against annotated regions of UniProt or InterPro.",
    "neighbours": "Search embeddings: similar proteins, analogies, closest pairs; ingest, index, prompt.",
    "audit": "Find what is wrong or doubtful in labelled pairs and their splits.",
    "split": "Split labelled pairs into training, validation and test, or folds; draw negatives.",
    "extract": "Compute the features of every protein of a FASTA file.",
    "store": "Feature stores: info, verify, merge, prune, export, import.",
    "simulate": "Draw a simulated world of proteins and pairs with a known rule.",
    "fetch": "Fetch a public dataset from its home and check it.",
    "pretrain": "Pretrain a small encoder of ESM-2's architecture.",
}
_ACTIONS = {
    "store": ("info", "verify", "merge", "prune", "export", "import"),
    "neighbours": ("ingest", "info", "index", "recall", "similar", "analogy", "closest-pairs", "map", "prompt"),
}
_VERBATIM = {
    "screen": ("query",),
    "neighbours": ("ids", "a", "b", "c", "filter", "source", "link", "factory"),
}
"""Options whose value is text as the shell gave it, and not in Hydra's grammar: ids may look like anything."""
_FLAGS = ("-m", "--multirun", "--resolve", *(f"--cfg={kind}" for kind in ("job", "hydra", "all")))
"""Hydra's own that are handed on."""
_QUIET = (
    "hydra/job_logging=none",
    "hydra/hydra_logging=none",
    "hydra.run.dir=.",
    "hydra.output_subdir=null",
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
    overrides = [as_given(word, _VERBATIM.get(task, ())) for word in overrides]
    flags, values = _sorted_out(with_overrides(overrides), task)
    warnings.filterwarnings("ignore", category=UserWarning, module="hydra")
    _compose_and_run(task, flags, values, importlib.import_module(f"esm2_amp.tasks.{task}").run)


def _compose_and_run(task: str, flags: list[str], values: list[str], run: Callable[[Any], Any]) -> None:
    import hydra
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    original, mistakes, composed = sys.argv, list[InputError](), False

    def job(cfg: Any) -> Any:
        nonlocal composed
        composed, sys.argv = True, original  # argv: what a launcher of further processes repeats
        try:
            if {"-m", "--multirun"} & set(flags):
                _refuse_distributed(cfg)
            return run(cfg)
        except InputError as mistake:  # kept from Hydra, which would print its own account of it
            mistakes.append(mistake)

    os.environ["HYDRA_FULL_ERROR"] = "1"  # exceptions come out, instead of Hydra's own exit
    try:
        with tempfile.TemporaryDirectory() as scratch:  # for the multirun.yaml of a sweep
            sys.argv = [original[0], *flags, *_QUIET, f"hydra.sweep.dir={scratch}", *values]
            hydra.main(version_base="1.3", config_path=str(ROOT / "conf"), config_name=task)(job)()
    except (HydraException, OmegaConfBaseException, ValueError) as error:
        if composed and isinstance(error, ValueError):
            raise  # of the task, not of Hydra
        named = ", ".join(_blamed(error, values))
        message = f"{named}: {_first_lines(error)}" if named else _first_lines(error)
        raise InputError(message, remedy=f"See: esm2-amp {task} --help") from error
    finally:
        sys.argv = original
    if mistakes:
        raise mistakes[0]


def _refuse_distributed(cfg: Any) -> None:
    trainer = cfg.get("trainer")
    if trainer is not None and (trainer.strategy != "auto" or trainer.devices != 1):
        raise InputError(
            f"-m with trainer.strategy={trainer.strategy}, trainer.devices={trainer.devices}: every process would run "
            "the whole sweep",
            remedy="Start such runs one by one, or sweep with trainer.strategy=auto trainer.devices=1.",
        )


def _sorted_out(words: list[str], task: str) -> tuple[list[str], list[str]]:
    """Check the form of every word; Hydra's flags apart from the values, which must follow each other for Hydra."""
    flags, values, remedy = list[str](), list[str](), f"See: esm2-amp {task} --help"
    rest = iter(words)
    for word in rest:
        if word == "--cfg":
            word = f"--cfg={next(rest, '')}"
        if word in _FLAGS:
            flags.append(word)
        elif word.startswith("-"):
            raise InputError(f"there is no flag {word!r}", remedy=remedy)
        elif "=" not in word:
            raise InputError(f"{word!r} is not KEY=VALUE", remedy=remedy)
        elif word.startswith("+") and not word.lstrip("+").startswith("hydra"):
            raise InputError(f"{word!r} would add an unknown option", remedy=remedy)
        else:
            values.append(word)
    return flags, values


def _blamed(error: Exception, values: list[str]) -> list[str]:
    """The words an error is about, where its message does not say so."""
    if isinstance(error, ValueError):  # Hydra's about choices that are not names
        return [word for word in values if (ROOT / "conf" / word.partition("=")[0]).is_dir()]
    return [str(word) for word in (getattr(error, "override", None),) if word]


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
    rows = "\n".join(f"  {name:<11} {sentence}" for name, sentence in TASKS.items())
    return (
        "esm2-amp TASK [KEY=VALUE ...]\n\n"
        "From two protein sequences to an interaction probability, and the reason why.\n\n"
        f"Tasks:\n{rows}\n\n"
        "esm2-amp TASK --help shows the options of a task; esm2-amp --version the version.\n"
        "python train.py and python predict.py are esm2-amp train and esm2-amp predict."
    )
