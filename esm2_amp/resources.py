"""Where the files that ship with the project lie: in the checkout beside the package, or inside an installed one."""

from __future__ import annotations

from pathlib import Path

SHIPPED = "shipped:"
"""Prefix of a path in a configuration or model card that means a file of the project itself."""

_PACKAGE = Path(__file__).parent
ROOT = _PACKAGE.parent if (_PACKAGE.parent / "conf" / "train.yaml").exists() else _PACKAGE / "_shipped"
"""Folder with ``conf``, ``datasets`` and ``checkpoints``."""


def resolve(path: str) -> str:
    """``shipped:x/y`` as a path on this machine; any other path as it is."""
    return str(ROOT / path.removeprefix(SHIPPED)) if path.startswith(SHIPPED) else path
