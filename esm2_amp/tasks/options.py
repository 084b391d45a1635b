"""From what Hydra composed to checked values."""

from __future__ import annotations

from typing import Any, TypeVar

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from esm2_amp.errors import InputError

T = TypeVar("T")


def several(value: Any) -> list[str]:
    """One name, a list of names or None, as a list."""
    if value is None:
        return []
    return [str(name) for name in value] if isinstance(value, list) else [str(value)]


def typed(kind: type[T], cfg: DictConfig) -> T:
    """Turn a composed configuration into its dataclass.

    Raises:
        InputError: a value of the wrong type, an unknown key, or a value the user must give.
    """
    try:
        typed_cfg = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(kind), cfg))
    except MissingMandatoryValue as error:
        key = str(error.full_key)
        raise InputError(f"{key} is not given", remedy=f"Add {key}=VALUE to the command.") from None
    except OmegaConfBaseException as error:
        message = (error.msg or str(error)).splitlines()[0]
        raise InputError(f"{error.full_key or 'configuration'}: {message}", remedy="See --help.") from error
    if not isinstance(typed_cfg, kind):
        raise TypeError(f"{type(typed_cfg)} instead of {kind}")
    return typed_cfg


def at_least(**bounds: tuple[float | None, float]) -> None:
    """Refuse values below their bounds by name: ``at_least(epochs=(cfg.epochs, 1))``; None passes."""
    for name, (value, least) in bounds.items():
        if value is not None and value < least:
            raise InputError(f"{name.replace('__', '.')} is {value}", remedy=f"Give {least:g} or more.")
