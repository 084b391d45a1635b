"""Where a study is kept: a journal file, an SQLite file, or a PostgreSQL database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from esm2_amp.errors import InputError
from esm2_amp.tuning.workers import FileLock, FileWorkers, PostgresWorkers, Workers

_SQLITE_SUFFIXES = (".db", ".sqlite", ".sqlite3")
_BEGIN = {"journal": b'{"op_code":', "sqlite": b"SQLite format 3\0"}
_WAIT_S = 60
"""How long a process waits for others that write to the same SQLite file."""


@dataclass(frozen=True)
class StorageTarget:
    """A place for studies: ``file`` for a journal or SQLite, ``url`` for a server."""

    kind: Literal["journal", "sqlite", "postgresql"]
    file: Path | None
    url: URL | None

    def __str__(self) -> str:
        """For messages and files: never with a password."""
        if self.url is None:
            return str(self.file)
        return self.url.set(drivername="postgresql", query={}).render_as_string(hide_password=True)


def parse_target(text: str) -> StorageTarget:
    """Understand ``FILE``, ``FILE.db``, ``sqlite:///FILE`` or ``postgresql://USER:PASSWORD@HOST/DATABASE``.

    Raises:
        InputError: another kind of address, or PostgreSQL's driver is not installed. No message shows a password.
    """
    if "://" not in text:
        return _file_target(Path(text))
    scheme = text.partition(":")[0]
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise InputError(f"tune.storage={scheme}://... is not an address", remedy="See --help.") from None
    if scheme.partition("+")[0] == "sqlite" and url.database:
        return StorageTarget("sqlite", Path(url.database), None)
    if scheme.partition("+")[0] not in ("postgresql", "postgres"):
        raise InputError(
            f"tune.storage={scheme}://... is not understood", remedy="Give a file, sqlite:///FILE or postgresql://..."
        )
    if find_spec("psycopg") is None:
        raise InputError("tune.storage=postgresql://... needs psycopg", remedy="pip install 'esm2-amp[postgres]'")
    query = {"connect_timeout": "10", **url.query}
    return StorageTarget("postgresql", None, url.set(drivername="postgresql+psycopg", query=query))


def _file_target(file: Path) -> StorageTarget:
    kind: Literal["journal", "sqlite"] = "sqlite" if file.suffix.lower() in _SQLITE_SUFFIXES else "journal"
    return StorageTarget(kind, file, None)


@contextmanager
def open_storage(target: StorageTarget) -> Iterator[tuple[BaseStorage, Workers]]:
    """Open a place for studies, made if absent, as one of its workers.

    Raises:
        InputError: also from within the block: a file that is something else or cannot be written, or a server that
            cannot be reached.
    """
    workers: Workers | None = None
    try:
        workers = _join(target)
        with workers.alone():  # of two workers that make the same tables one would fail
            storage = _open(target, workers)
        yield storage, workers
    except (StorageInternalError, SQLAlchemyError) as error:
        raise InputError(
            f"the storage {target} cannot be used: {_reason(error, target)}",
            remedy="Start the same command again when it can be: it goes on, and a trial in work is retried.",
        ) from error
    finally:
        if workers is not None:
            workers.leave()


def _join(target: StorageTarget) -> Workers:
    if target.url is not None:
        return PostgresWorkers(target.url)
    _check_file(target)
    return FileWorkers(_locks(target))


def _open(target: StorageTarget, workers: Workers) -> BaseStorage:
    if target.kind == "journal":
        lock = FileLock(_locks(target) / "journal")
        with lock:
            _cut_torn_end(target)
        return JournalStorage(JournalFileBackend(str(target.file), lock_obj=lock))
    if target.kind == "sqlite":
        return RDBStorage(f"sqlite:///{target.file}", engine_kwargs={"connect_args": {"timeout": _WAIT_S}})
    if target.url is None:
        raise ValueError("a server without an address")
    return RDBStorage(target.url.render_as_string(hide_password=False), engine_kwargs={"pool_pre_ping": True})


def _locks(target: StorageTarget) -> Path:
    if target.file is None:
        raise ValueError("a file storage without a file")
    return target.file.with_name(target.file.name + ".workers")


def _check_file(target: StorageTarget) -> None:
    """Refuse a file that is there but holds something else.

    Raises:
        InputError: naming it.
    """
    file = target.file
    if file is None or not file.exists():
        return
    try:
        with file.open("rb") as stream:
            begin = stream.readline(65_536)
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", file=file, remedy="Name another storage.") from error
    if begin and not begin.startswith(_BEGIN[target.kind]):
        raise InputError(
            f"this is no {'journal' if target.kind == 'journal' else 'SQLite file'} of a sweep",
            file=file,
            remedy="Name another file: a journal, or one that ends in .db for SQLite.",
        )


def _cut_torn_end(target: StorageTarget) -> None:
    """Remove a last line that a crash of the machine left unfinished: it was never counted as written."""
    if target.file is None or not target.file.exists():
        return
    with target.file.open("rb+") as stream:
        content = stream.read()
        if content and not content.endswith(b"\n"):
            stream.truncate(content.rfind(b"\n") + 1)


def _reason(error: Exception, target: StorageTarget) -> str:
    """The first line of what the driver says, without a password."""
    cause: BaseException = error
    while isinstance(cause, StorageInternalError) and cause.__cause__ is not None:
        cause = cause.__cause__
    if isinstance(cause, DBAPIError) and cause.orig is not None:
        cause = cause.orig
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
    said = lines[0] if lines else type(cause).__name__
    password = None if target.url is None else target.url.password
    return said.replace(str(password), "***") if password else said
