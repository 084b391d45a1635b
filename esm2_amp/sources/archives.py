"""Members of zip and tar archives, read one at a time; nothing is unpacked under a name from inside an archive."""

from __future__ import annotations

import gzip
import lzma
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from esm2_amp.errors import InputError
from esm2_amp.io.atomic import atomic_path

_DAMAGED = (
    zipfile.BadZipFile,
    gzip.BadGzipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    NotImplementedError,
)


def members(archive: Path) -> list[str]:
    """List the paths of the files in a zip or tar archive.

    Raises:
        InputError: it is neither, or damaged.
    """
    with _readable(archive):
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as packed:
                return [entry.filename for entry in packed.infolist() if not entry.is_dir()]
        with tarfile.open(archive) as tape:
            return [entry.name for entry in tape if entry.isfile()]


def extract(archive: Path, targets: Mapping[str, Path]) -> None:
    """Write members of an archive to files, each of them atomically.

    Args:
        archive: a zip or tar archive.
        targets: for each member, by its path in :func:`members`, the file to write.

    Raises:
        InputError: the archive is damaged.
    """
    with _readable(archive):
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as packed:
                for member, target in targets.items():
                    with packed.open(member) as source, atomic_path(target) as path, path.open("wb") as sink:
                        shutil.copyfileobj(source, sink)
            return
        with tarfile.open(archive) as tape:
            for entry in tape:
                file = tape.extractfile(entry) if entry.isfile() and entry.name in targets else None
                if file is not None:
                    with file, atomic_path(targets[entry.name]) as path, path.open("wb") as sink:
                        shutil.copyfileobj(file, sink)


@contextmanager
def _readable(archive: Path) -> Iterator[None]:
    try:
        yield
    except _DAMAGED as error:
        raise InputError(
            f"the archive is damaged or of another kind than zip and tar ({error})",
            file=archive,
            remedy="Remove it and fetch again.",
        ) from error
