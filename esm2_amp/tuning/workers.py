"""Which workers of a sweep are alive, and one at a time at its bookkeeping.

A worker is a process that holds a lock under its number for as long as it lives. The system, or the database server,
gives the lock back when the process dies, however it dies; so a number that nobody holds is a dead worker's, and there
is nothing to wait for and no clock to compare.
"""

from __future__ import annotations

import fcntl
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Protocol

from optuna.storages.journal import JournalFileOpenLock
from sqlalchemy import URL, Engine, create_engine, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from esm2_amp.errors import InputError


class Workers(Protocol):
    """The workers of one storage; made, it has joined them."""

    number: int
    """Of this worker, 1 or more."""

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Wait until no other worker is within this block."""

    def living(self) -> set[int]:
        """The numbers of the workers that live, this one's included; call it :meth:`alone`."""

    def leave(self) -> None:
        """Give the number back."""


class FileLock(JournalFileOpenLock):
    """A lock that the system gives back when the process dies; takes the place of Optuna's own at its journal."""

    def __init__(self, file: Path) -> None:
        super().__init__(str(file))
        self.file = file
        self._stream: IO[str] | None = None

    def acquire(self) -> bool:
        """Wait for the lock."""
        stream = self.file.open("w")
        fcntl.flock(stream, fcntl.LOCK_EX)
        self._stream = stream
        return True

    def release(self) -> None:
        """Give it back."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def __enter__(self) -> FileLock:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


class FileWorkers:
    """Workers that share a folder: those of one machine, or of a network file system whose locks hold everywhere.

    Args:
        folder: where a lock file for each living worker lies; made if absent.

    Raises:
        InputError: the folder cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with self.alone():
                self.number = _draw()
                self._file = folder / f"worker.{self.number}"
                self._stream = self._file.open("x")
                fcntl.flock(self._stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise InputError(f"cannot write here ({error.strerror})", file=folder) from error

    @contextmanager
    def alone(self) -> Iterator[None]:
        """See :class:`Workers`."""
        with FileLock(self.folder / "bookkeeping"):
            yield

    def living(self) -> set[int]:
        """See :class:`Workers`; takes away the files of the dead."""
        found = {self.number}
        for file in self.folder.glob("worker.*"):
            if file == self._file:
                continue
            with file.open("r+") as stream:
                try:
                    fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    file.unlink()
                except BlockingIOError:
                    found.add(int(file.suffix[1:]))
        return found

    def leave(self) -> None:
        """See :class:`Workers`."""
        self._file.unlink(missing_ok=True)
        self._stream.close()


class PostgresWorkers:
    """Workers that share a PostgreSQL server: each holds an advisory lock on a connection of its own.

    The server notices a worker whose machine is gone after a minute without an answer.

    Args:
        url: of the database.
    """

    _SPACE = 0x45534D32
    """The first of the two numbers of our advisory locks; the second is a worker's, or 0 for the bookkeeping."""

    def __init__(self, url: URL) -> None:
        self._engine: Engine = create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
        self._connection = self._engine.connect()
        for setting in ("idle = 30", "interval = 10", "count = 3"):
            self._connection.execute(text(f"SET tcp_keepalives_{setting}"))
        self.number = _draw()
        while not self._lock("pg_try_advisory_lock", self.number):
            self.number = _draw()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """See :class:`Workers`."""
        self._lock("pg_advisory_lock", 0)
        try:
            yield
        finally:
            self._lock("pg_advisory_unlock", 0)

    def living(self) -> set[int]:
        """See :class:`Workers`."""
        rows = self._connection.execute(
            text(
                "SELECT objid::bigint FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 2 AND "
                "classid = :space AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
            ),
            {"space": self._SPACE},
        )
        return {int(row[0]) for row in rows} - {0}

    def leave(self) -> None:
        """See :class:`Workers`."""
        with suppress(SQLAlchemyError):  # the server may be gone
            self._connection.close()

    def _lock(self, function: str, number: int) -> bool:
        statement = text(f"SELECT {function}(:space, :number)")
        return bool(self._connection.execute(statement, {"space": self._SPACE, "number": number}).scalar())


def _draw() -> int:
    return 1 + secrets.randbelow(2**31 - 2)
