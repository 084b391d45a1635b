"""The folder of one run: made new, or gone on with, never overwritten."""

from __future__ import annotations

import csv
import json
import os
import platform
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from yaml import YAMLError

from esm2_amp.errors import InputError
from esm2_amp.io.atomic import atomic_text

_SHARED = "ESM2_AMP_RUN_DIR"
"""How the first process of a distributed run tells the others where the run is."""
_MAY_CHANGE = ("resume", "run_dir", "trainer", "logger", "features", "report", "partner_shuffle")


@contextmanager
def open_run(run_dir: str | None, name: str, cfg: DictConfig, *, resume: bool, child: bool) -> Iterator[Path]:
    """Make the folder of a run and save its configuration, or check that an unfinished run may go on.

    A new folder is taken away again when the block ends with an InputError before any epoch was finished.

    Args:
        run_dir: where; None makes ``runs/DATE/TIME-NAME``.
        name: of the model.
        cfg: the composed configuration; saved as ``config.yaml``.
        resume: go on with the run in ``run_dir``.
        child: True in the further processes of a distributed run, which take the first one's folder: the one that
            Lightning's launcher hands on, or ``run_dir``.

    Yields:
        The folder.

    Raises:
        InputError: the folder exists already, or, for ``resume``, is no unfinished run of this configuration.
    """
    if child:
        shared = os.environ.get(_SHARED, run_dir)
        if shared is None:
            raise InputError("several processes share this run", remedy="Name its folder: run_dir=FOLDER.")
        yield Path(shared)
        return
    folder, made = (_reopen(run_dir, cfg), []) if resume else _new(run_dir, name)
    os.environ[_SHARED] = str(folder)
    try:
        if not resume:
            with atomic_text(folder / "config.yaml") as stream:
                stream.write(OmegaConf.to_yaml(cfg, resolve=True))
        yield folder
    except InputError:
        if not resume and not (folder / "checkpoints" / "last.ckpt").exists():
            _take_away(folder, made)
        raise
    finally:
        os.environ.pop(_SHARED, None)


@contextmanager
def open_shared(run_dir: str | None, name: str, cfg: DictConfig, mark: str) -> Iterator[Path]:
    """The folder of work that several processes share and that the same command goes on with; made if absent.

    A new folder is taken away again when the block ends with an InputError before anything but the configuration
    and logs was put into it.

    Args:
        run_dir: where; None makes ``runs/DATE/TIME-NAME``.
        name: of the work.
        cfg: saved as ``config.yaml`` in a new folder.
        mark: a key of ``cfg`` by which the folder is known again.

    Yields:
        The folder.

    Raises:
        InputError: the folder holds something else, or cannot be made.
    """
    wanted = Path("runs") / time.strftime("%Y-%m-%d") / f"{time.strftime('%H-%M-%S')}-{name}"
    folder = Path(run_dir) if run_dir is not None else wanted
    made = _absent(folder)
    if run_dir is None:
        folder = _claim(wanted)
    _make(folder, exist_ok=True)
    file = folder / "config.yaml"
    # what begins with a dot is about to become the configuration that another process writes
    if not file.exists() and not all(path.name.startswith(".") for path in folder.iterdir()):
        raise InputError(f"run_dir {str(folder)!r} holds something else", remedy="Name a new folder.")
    if file.exists() and f"\n{mark}:" not in f"\n{file.read_text(encoding='utf-8')}":
        raise InputError(f"run_dir {str(folder)!r} holds another kind of run", remedy="Name a new folder.")
    if not file.exists():
        with atomic_text(file) as stream:
            stream.write(OmegaConf.to_yaml(cfg, resolve=True))
    try:
        yield folder
    except InputError:
        if made and all(path == file or path.suffix == ".log" for path in folder.iterdir()):
            _take_away(folder, made)
        raise


def _new(run_dir: str | None, name: str) -> tuple[Path, list[Path]]:
    """The folder of a new run, and which folders had to be made for it, the innermost first."""
    if run_dir is None:
        wanted = Path("runs") / time.strftime("%Y-%m-%d") / f"{time.strftime('%H-%M-%S')}-{name}"
        made = _absent(wanted)
        folder = _claim(wanted)
        return folder, made if folder == wanted else [folder]
    folder = Path(run_dir)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(
            f"run_dir {run_dir!r} exists already",
            remedy="Name a new folder, or add resume=true to go on with an unfinished run.",
        )
    made = _absent(folder)
    _make(folder, exist_ok=True)
    return folder, made


def _absent(folder: Path) -> list[Path]:
    return [path for path in (folder, *folder.parents) if not path.exists()]


def _claim(wanted: Path) -> Path:
    """Make a folder of this name, or with a number behind it where the name is taken."""
    for suffix in ("", *(f"-{i}" for i in range(2, 1000))):
        folder = wanted.with_name(wanted.name + suffix)
        with suppress(FileExistsError):
            _make(folder, exist_ok=False)
            return folder
    raise InputError("no free name for the run", file=wanted.parent, remedy="Give run_dir=FOLDER.")


def _make(folder: Path, *, exist_ok: bool) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=exist_ok)
    except OSError as error:
        if folder.is_dir():
            raise
        raise InputError(
            f"the run folder cannot be made ({error.strerror})", file=folder, remedy="Give run_dir=FOLDER elsewhere."
        ) from error


def _take_away(folder: Path, made: Sequence[Path]) -> None:
    """Empty the folder and remove those of ``made`` that nobody else has put anything into."""
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    for path in made:
        with suppress(OSError):
            path.rmdir()


def _reopen(run_dir: str | None, cfg: DictConfig) -> Path:
    if run_dir is None:
        raise InputError("resume=true needs run_dir", remedy="Add run_dir=FOLDER of the run to go on with.")
    folder = Path(run_dir)
    if not (folder / "config.yaml").exists():
        raise InputError(f"run_dir {run_dir!r} holds no run", remedy="Leave out resume=true to begin one.")
    if (folder / "metrics.json").exists():
        raise InputError(f"the run in {run_dir!r} is finished", remedy="Name a new run_dir for another one.")
    try:
        old = OmegaConf.to_container(OmegaConf.load(folder / "config.yaml"))
    except (YAMLError, OSError, ValueError) as error:
        raise InputError("the configuration cannot be read", file=folder / "config.yaml") from error
    new = OmegaConf.to_container(cfg, resolve=True)
    for key in sorted(set(old) | set(new)):  # type: ignore[arg-type]
        if key not in _MAY_CHANGE and old.get(key) != new.get(key):  # type: ignore[union-attr]
            raise InputError(
                f"{key} differs from the run to go on with",
                file=folder / "config.yaml",
                remedy="Give the same options again, or begin a new run.",
            )
    return folder


def write_table(path: Path, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Write a table, comma-separated for .csv and tab-separated otherwise, atomically."""
    with atomic_text(path) as stream:
        writer = csv.writer(stream, delimiter="," if path.suffix == ".csv" else "\t", lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)


class HistoryFile:
    """``history.csv``: one row of metrics an epoch; a resumed run replaces the rows it computes again."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def rows(self) -> list[dict[str, float]]:
        """The rows written so far."""
        if not self.path.exists():
            return []
        with self.path.open(encoding="utf-8", newline="") as stream:
            rows = [{key: float(value) for key, value in row.items()} for row in csv.DictReader(stream)]
        return [{**row, "epoch": int(row["epoch"])} for row in rows]

    def add(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Append an epoch."""
        rows = [row for row in self.rows() if row["epoch"] < epoch]
        rows.append({"epoch": epoch, **{key: metrics[key] for key in sorted(metrics)}})
        write_table(self.path, list(rows[-1]), [list(row.values()) for row in rows])


def read_json(path: Path) -> Any:
    """Read one of our own JSON files."""
    return json.loads(path.read_text(encoding="utf-8"))


def versions() -> dict[str, str]:
    """Versions of what the numbers depend on."""
    packages = ("esm2-amp", "torch", "pytorch-lightning", "transformers", "numpy", "scikit-learn")
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}
