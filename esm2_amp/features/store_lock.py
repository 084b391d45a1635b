"""One writer at a time: the lock of a feature store."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import IO

from esm2_amp.errors import InputError


class StoreLock:
    """Hold the lock of a store's folder (made if absent); the system gives it back when the process dies.

    Args:
        folder: the store.
        what: what lies there, for messages.

    Raises:
        InputError: another process is writing, or the folder cannot be written.
    """

    def __init__(self, folder: str | os.PathLike[str], what: str = "this feature store") -> None:
        self.folder, self._what = Path(folder), what
        self._stream: IO[str] | None = None

    def __enter__(self) -> StoreLock:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._stream = (self.folder / "lock").open("w")
            fcntl.flock(self._stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._close()
            raise InputError(
                f"another process is writing to {self._what}", file=self.folder, remedy="Wait until it is done."
            ) from None
        except OSError as error:
            self._close()
            raise InputError(f"cannot write here ({error.strerror})", file=self.folder) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def _close(self) -> None:
        if self._stream is not None:
            self._stream.close()
