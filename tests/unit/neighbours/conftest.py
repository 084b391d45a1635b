"""Compiled inner loops are those of the sources under test."""

from pathlib import Path

import esm2_amp.neighbours

FOLDER = Path(esm2_amp.neighbours.__file__).parent


def pytest_configure() -> None:
    """Forget loops kept on disk that are older than a source: numba compares each with its own file only."""
    newest = max(file.stat().st_mtime for file in FOLDER.rglob("*.py"))
    for file in FOLDER.rglob("__pycache__/*.nb[ci]"):
        if file.stat().st_mtime < newest:
            file.unlink(missing_ok=True)
