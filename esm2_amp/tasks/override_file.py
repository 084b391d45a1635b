"""``overrides=FILE``: options of a command from a YAML file, such as the best hyperparameters of a sweep."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from esm2_amp.errors import InputError
from esm2_amp.io.atomic import atomic_text

_PREFIX = "overrides="
_KEY = re.compile(r"(?!hydra\b)[A-Za-z]\w*(\.\w+)*", re.ASCII)


def with_overrides(words: Sequence[str]) -> list[str]:
    """Replace ``overrides=FILE`` by the options in the file, except for those that the command gives itself.

    Raises:
        InputError: the file cannot be read, or holds something other than ``option: value``.
    """
    files = [word.removeprefix(_PREFIX) for word in words if word.startswith(_PREFIX)]
    given = [word for word in words if not word.startswith(_PREFIX)]
    keys = {word.partition("=")[0] for word in given}
    found: dict[str, Any] = {}
    for file in files:
        found |= _read(Path(file))
    return [f"{key}={_as_word(value)}" for key, value in found.items() if key not in keys] + given


def as_given(word: str, keys: Sequence[str]) -> str:
    """``KEY=VALUE`` in Hydra's grammar such that the value of one of these keys is its very text."""
    key, equals, value = word.partition("=")
    if not equals or key not in keys:
        return word
    # OmegaConf's interpolations are escaped by a backslash, and backslashes before them doubled
    return f"{key}=" + _quoted(re.sub(r"(\\*)\$\{", lambda m: m[1] * 2 + r"\${", value))


def write_overrides(file: Path, comment: Sequence[str], options: Mapping[str, Any]) -> None:
    """Write options, one a line, below lines of comment."""
    with atomic_text(file) as stream:
        stream.writelines(f"# {line}\n" for line in comment)
        for key, value in options.items():
            # without a point, 1e-08 is text to most readers of YAML
            text = re.sub(r"^(-?[0-9]+)e", r"\1.0e", json.dumps(value, ensure_ascii=False))
            stream.write(f"{key}: {text}\n")


def _read(file: Path) -> dict[str, Any]:
    remedy = "Write one OPTION: VALUE a line, as esm2-amp tune does in best.yaml."
    values = read_yaml(file)
    for key in values:
        if not _KEY.fullmatch(key):
            raise InputError(f"{key!r} is not an option", file=file, remedy=remedy)
    return values


def read_yaml(file: Path) -> dict[str, Any]:
    """Read a YAML file of names and values.

    Raises:
        InputError: the file cannot be read, or holds something else.
    """
    try:
        values = OmegaConf.to_container(OmegaConf.load(file))  # and not PyYAML, to which 1e-5 is text
    except (OSError, UnicodeDecodeError, yaml.YAMLError, OmegaConfBaseException) as error:
        raise InputError(f"this YAML file cannot be read ({type(error).__name__})", file=file) from error
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise InputError("these are not names with values", file=file, remedy="Write NAME: VALUE lines.")
    return {str(key): value for key, value in values.items()}


def leaves(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Values of nested dictionaries by their dotted keys."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        found |= leaves(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return found


def _as_word(value: Any) -> str:
    """A value in Hydra's grammar, quoted so that it is nothing but itself."""
    if isinstance(value, str):
        if re.fullmatch(r"[A-Za-z]\w*", value, re.ASCII) and value.lower() not in (
            "null",
            "true",
            "false",
            "nan",
            "inf",
        ):
            return value
        return _quoted(value)
    if isinstance(value, list):
        return "[" + ",".join(map(_as_word, value)) + "]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{_as_word(item)}" for key, item in value.items()) + "}"
    return json.dumps(value)


def _quoted(value: str) -> str:
    escaped = re.sub(r"(\\*)('|\Z)", lambda m: m[1] * 2 + ("\\'" if m[2] else ""), value)
    return f"'{escaped}'"
