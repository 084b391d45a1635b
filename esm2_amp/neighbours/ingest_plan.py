"""Whether an ingest may use a folder: what it belongs to, and whether there is space."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

from esm2_amp.errors import InputError
from esm2_amp.io.atomic import write_json
from esm2_amp.neighbours.readers.source import VectorSource
from esm2_amp.neighbours.vector_manifest import NAME, PROGRESS

DUPLICATES = ("error", "first", "last")
_PLAN = "plan.json"


def check_duplicates(policy: str) -> None:
    """Refuse an unknown policy by name."""
    if policy not in DUPLICATES:
        raise InputError(f"duplicates is {policy!r}", remedy=f"Use {', '.join(DUPLICATES[:-1])} or {DUPLICATES[-1]}.")


def fingerprint(source: VectorSource) -> str:
    """What tells a source from others and from its own earlier states: names, sizes and times of its files, options."""
    files = []
    for file in source.files:
        state = file.stat()
        files.append([file.name, state.st_size, state.st_mtime_ns])
    said = [source.form, source.dim, source.details, files]
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def wanted_plan(source: VectorSource, duplicates: str) -> dict[str, Any]:
    """What an ingest is of, as it is kept beside the unfinished data."""
    return {"fingerprint": fingerprint(source), "name": source.name, "duplicates": duplicates}


def check_same(folder: Path, found: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Refuse a folder that an ingest of another source, or with another policy, has made or begun."""
    if found.get("fingerprint") != wanted["fingerprint"]:
        name = f"{found.get('name')}"
        same = name == wanted["name"]
        what = f"{name}, which has changed since or was read otherwise" if same else f"another source, {name}"
        raise InputError(f"this folder holds vectors of {what}", file=folder, remedy="Name another folder.")
    if found.get("duplicates") != wanted["duplicates"]:
        raise InputError(
            f"this folder was made with duplicates={found.get('duplicates')}, not {wanted['duplicates']}",
            file=folder,
            remedy="Name another folder.",
        )


def read_plan(folder: Path) -> dict[str, Any] | None:
    """The plan whose ids are all written; None if there is none."""
    try:
        plan = json.loads((folder / PROGRESS / _PLAN).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise InputError(f"damaged ({error})", file=folder / PROGRESS / _PLAN, remedy="Delete the folder.") from error
    return plan if isinstance(plan, dict) else {}


def write_plan(folder: Path, plan: dict[str, Any]) -> None:
    """Say that all ids are written."""
    write_json(folder / PROGRESS / _PLAN, plan)


def check_free(folder: Path) -> None:
    """Refuse a folder that no ingest has made and that is not empty."""
    if not folder.exists():
        return
    ours = folder.is_dir() and ((folder / NAME).exists() or (folder / PROGRESS).is_dir())
    if not ours and (not folder.is_dir() or any(file.name != "lock" for file in folder.iterdir())):
        raise InputError("this is no folder of vectors and not empty", file=folder, remedy="Name another folder.")


def check_space(folder: Path, needed: int) -> None:
    """Refuse to begin what the disk cannot hold."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise InputError(
            f"the vectors need {needed / 1e9:,.1f} GB more, {free / 1e9:,.1f} GB are free",
            file=folder,
            remedy="Free space, or name a folder on another disk.",
        )
