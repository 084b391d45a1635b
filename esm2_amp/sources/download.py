"""Files from the web: resumed where they were cut, and kept only if their hash is right."""

from __future__ import annotations

import hashlib
import http.client
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from esm2_amp.errors import InputError
from esm2_amp.sources.web import PATIENT, InterruptionError, Retry, check_url, gave_up, open_url

Progress = Callable[[int, int], None]
"""Called with the bytes that are there and the bytes of the whole file."""

_CHUNK = 2**18


@dataclass(frozen=True)
class RemoteFile:
    """A file that a service offers.

    Attributes:
        name: its name there.
        url: where it is.
        size: its number of bytes.
        md5: its MD5 in hexadecimal; empty if the service does not say.
        mirror: where to ask if ``url`` refuses; empty for nowhere.
    """

    name: str
    url: str
    size: int
    md5: str
    mirror: str


def download(remote: RemoteFile, target: Path, progress: Progress | None = None, retry: Retry = PATIENT) -> bool:
    """Fetch a file, unless ``target`` already is that file.

    The bytes go to ``<target>.part``, which survives a cut connection and the end of this process, and is
    continued by an HTTP range request; ``target`` appears when size and MD5 are right.

    Args:
        remote: what to fetch.
        target: where to put it; an existing file with another content is replaced.
        progress: told after every chunk.
        retry: how often to try again when nothing new arrives.

    Returns:
        Whether anything was transferred.

    Raises:
        InputError: an address that is not http(s); the server refuses or keeps failing; the wrong content (the
            partial file is removed); the folder cannot be written.
    """
    check_url(remote.url)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.is_file() and _is_right(target, remote):
            return False
        part = target.with_name(target.name + ".part")
        if not _complete(part, remote, progress, retry):
            # the bytes of an earlier process may be of an earlier version of the file: once more, from the start
            _complete(part, remote, progress, retry)
        part.replace(target)
    except OSError as error:
        raise InputError(
            f"cannot write the file ({error.strerror or error})", file=target, remedy="Is the disk full or protected?"
        ) from error
    return True


def _complete(part: Path, remote: RemoteFile, progress: Progress | None, retry: Retry) -> bool:
    """Transfer what ``part`` lacks and verify it; False if what was there before spoilt it."""
    transfer = _Transfer(remote, part, progress)
    resumed = 0 < transfer.have() <= remote.size
    best, failures = transfer.have(), 0
    while not transfer.is_whole():
        try:
            transfer.attempt()
        except InterruptionError as error:
            # progress is a new start; "best" bounds the loop where a server always begins again
            failures = 1 if transfer.have() > best else failures + 1
            best = max(best, transfer.have())
            if failures >= retry.attempts:
                raise gave_up(remote.url, failures, error) from error
            retry.pause(failures, error.wanted)
    if _is_right(part, remote):
        return True
    found = _md5(part)
    part.unlink()
    if resumed:
        return False
    raise InputError(
        f"{remote.url}: the MD5 of what arrived is {found}, but {remote.md5} was announced",
        file=part,
        remedy="The partial file was removed: try again, and mistrust the source if this stays.",
    )


class _Transfer:
    """Requests for one file, until its partial file is whole."""

    def __init__(self, remote: RemoteFile, part: Path, progress: Progress | None) -> None:
        self._remote, self._part, self._progress = remote, part, progress
        self._tag = ""  # the server's name for the version it sent, if it has one

    def have(self) -> int:
        """Number of bytes in the partial file."""
        return self._part.stat().st_size if self._part.exists() else 0

    def is_whole(self) -> bool:
        """Whether there is nothing left to ask for."""
        return self._part.exists() and self.have() == self._remote.size

    def attempt(self) -> None:
        """Ask once for what is missing.

        Raises:
            InterruptionError: it did not all arrive.
        """
        if self.have() > self._remote.size:
            self._part.unlink()
        have = self.have()
        headers = {"Range": f"bytes={have}-"} if have else {}
        if have and self._tag:
            headers["If-Range"] = self._tag
        with self._open(headers) as response:
            start = self._start(response, have)
            tag = response.headers.get("ETag", "")
            self._tag = "" if tag.startswith("W/") else tag  # a weak one may not be used with ranges
            self._receive(response, start)
        if not self.is_whole():
            raise InterruptionError(f"the connection was cut after {self.have()} of {self._remote.size} bytes")

    def _open(self, headers: dict[str, str]) -> http.client.HTTPResponse:
        if not self._remote.mirror:
            return open_url(self._remote.url, headers)
        try:
            response = open_url(self._remote.url, headers)
        except InputError:
            return open_url(self._remote.mirror, headers)
        if response.status in (200, 206):
            return response
        response.close()
        return open_url(self._remote.mirror, headers)

    def _start(self, response: http.client.HTTPResponse, have: int) -> int:
        """From which byte on the answer continues the file: ``have``, or 0 where the server ignored the range."""
        if response.status == 206:
            span = re.match(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
            if span and int(span[1]) == have and span[2] in ("*", str(self._remote.size)):
                return have
            self._part.unlink()
            raise InterruptionError("the server sent another part of the file than it was asked for")
        length = response.headers.get("Content-Length", "")
        if response.status != 200 or (length.isdigit() and int(length) != self._remote.size):
            raise InputError(
                f"{response.url}: the server answered {response.status} with {length or 'an unknown number of'} bytes "
                f"instead of the file of {self._remote.size} bytes",
                remedy="A page that asks who you are? Download the file by hand.",
            )
        return 0

    def _receive(self, response: http.client.HTTPResponse, start: int) -> None:
        with self._part.open("ab" if start else "wb") as stream:
            done = start
            while chunk := _read(response):
                done += len(chunk)
                if done > self._remote.size:
                    break
                stream.write(chunk)
                if self._progress:
                    self._progress(done, self._remote.size)
            stream.flush()
            os.fsync(stream.fileno())
        if done > self._remote.size:
            self._part.unlink()
            raise InputError(
                f"{response.url}: more than the announced {self._remote.size} bytes arrived",
                remedy="The partial file was removed: try again, and mistrust the source if this stays.",
            )


def _read(response: http.client.HTTPResponse) -> bytes:
    try:
        return response.read(_CHUNK)
    except (OSError, http.client.HTTPException) as error:
        raise InterruptionError(f"the connection broke: {error or type(error).__name__}") from error


def _is_right(path: Path, remote: RemoteFile) -> bool:
    return path.stat().st_size == remote.size and remote.md5 in ("", _md5(path))


def _md5(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
