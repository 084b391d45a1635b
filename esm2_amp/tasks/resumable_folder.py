"""The folder of a long work's results: new, or one that the same command was stopped in."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from esm2_amp.errors import InputError
from esm2_amp.io.atomic import write_json

SETTINGS, WORK = "settings.json", "work"


@contextmanager
def open_resumable(output: str | None, kind: str, settings: Mapping[str, Any]) -> Iterator[Path]:
    """Make the folder, or go on in it.

    ``settings.json`` is written first, ``KIND.json`` last, by the caller; what lies in ``work`` in between is taken
    away when the block ends. A new folder is taken away again when the block ends with an InputError before any work.

    Args:
        output: the folder; None makes ``KINDs/TIME``.
        kind: what the work is, as "explanation".
        settings: everything that the results depend on, as JSON.

    Raises:
        InputError: the folder holds something else, a work with other settings or a finished one.
    """
    folder = Path(output or f"{kind}s/{time.strftime('%Y-%m-%d_%H-%M-%S')}")
    wanted = json.loads(json.dumps(settings))
    new = not folder.exists() or (folder.is_dir() and not any(folder.iterdir()))
    if not new:
        _check(folder, kind, wanted)
    else:
        write_json(folder / SETTINGS, wanted)
    try:
        yield folder
    except InputError:
        if new and not (folder / WORK).exists():
            shutil.rmtree(folder)
        raise
    shutil.rmtree(folder / WORK, ignore_errors=True)


def _check(folder: Path, kind: str, wanted: Mapping[str, Any]) -> None:
    remedy = "Name a new folder: output=DIR."
    if not (folder / SETTINGS).is_file():
        raise InputError(f"output {str(folder)!r} holds something else", remedy=remedy)
    if (folder / f"{kind}.json").exists():
        raise InputError(f"the {kind} in {str(folder)!r} is finished", remedy=remedy)
    try:
        held = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"cannot be read ({error})", file=folder / SETTINGS, remedy=remedy) from error
    if held != wanted:
        other = sorted(key for key in {*held, *wanted} if held.get(key) != wanted.get(key))
        raise InputError(
            f"the {kind} begun in {str(folder)!r} has another {', '.join(other)}",
            remedy=f"Give the same options to go on with it, or: {remedy}",
        )
