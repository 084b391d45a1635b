"""conf/: every file composes, every value has its type, and --help tells of every one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hydra
import pytest
from omegaconf import DictConfig, OmegaConf

from esm2_amp.tasks import config
from esm2_amp.tasks.cli import TASKS
from esm2_amp.tasks.teach import option_rows

CONF = Path(__file__).parents[2] / "conf"
ROOTS = sorted(file.stem for file in CONF.glob("*.yaml"))
FILES = sorted(CONF.rglob("*.yaml"))


def compose(root: str, *overrides: str) -> DictConfig:
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        return hydra.compose(root, list(overrides))


def checked(root: str, cfg: DictConfig) -> Any:
    """The composed configuration as its dataclass, with something for every value a user must give."""
    for key in OmegaConf.missing_keys(cfg):
        OmegaConf.update(cfg, key, "given")
    return config.typed(getattr(config, f"{root.title()}Config"), cfg)


def groups(root: str) -> Iterator[tuple[str, str]]:
    """Every choice of every group of a root."""
    text = (CONF / f"{root}.yaml").read_text()
    for folder in sorted(path.name for path in CONF.iterdir() if path.is_dir()):
        if f"\n  - {folder}: " in text:
            yield from ((folder, file.stem) for file in sorted((CONF / folder).glob("*.yaml")))


CHOICES = [(root, group, choice) for root in ROOTS for group, choice in groups(root)]


def leaves(node: Any, prefix: str = "") -> Iterator[str]:
    """Dotted keys of all values; a range of a search is one value."""
    for key, value in node.items():
        if isinstance(value, dict) and "type" not in value:
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"


def test_there_is_a_configuration_for_every_task() -> None:
    assert sorted(TASKS) == ROOTS


@pytest.mark.parametrize("root", ROOTS)
def test_a_root_composes_and_its_values_have_their_types(root: str) -> None:
    checked(root, compose(root))


@pytest.mark.parametrize(("root", "group", "choice"), CHOICES)
def test_a_choice_composes_with_its_root(root: str, group: str, choice: str) -> None:
    checked(root, compose(root, f"{group}={choice}"))


@pytest.mark.parametrize("folder", sorted(path for path in CONF.iterdir() if path.is_dir()), ids=lambda path: path.name)
def test_the_choices_of_a_group_have_the_same_keys(folder: Path) -> None:
    """Networks differ in their hyperparameters; everything else is the same under every choice."""
    loaded = [OmegaConf.to_container(OmegaConf.load(file)) for file in sorted(folder.glob("*.yaml"))]
    keys = [{key for key in leaves(values) if "network." not in key} for values in loaded]
    assert all(key_set == keys[0] for key_set in keys)


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(CONF)))
def test_every_value_has_a_sentence(file: Path) -> None:
    rows = option_rows(file.read_text(), "")
    assert [key for key, _, sentence in rows if len(sentence) < 5] == []
    values = OmegaConf.to_container(OmegaConf.load(file))
    values.pop("defaults", None)
    assert [key for key, _, _ in rows] == list(leaves(values))


@pytest.mark.parametrize("model", sorted(file.stem for file in (CONF / "model").glob("*.yaml")))
def test_the_ranges_follow_the_model(model: str) -> None:
    followed = compose("tune", f"model={model}").search
    assert followed == compose("tune", f"search={model}").search
    assert compose("tune", f"model={model}", "search=amps").search == compose("tune").search


@pytest.mark.parametrize("root", ROOTS)
def test_help_shows_every_key(root: str, cli: Callable[..., Any], tmp_path: Path) -> None:
    outcome = cli([root, "--help"], tmp_path)
    assert outcome.code == 0
    cfg = OmegaConf.to_container(compose(root))
    assert [key for key in leaves(cfg) if f"  {key}=" not in outcome.out] == []
    for group, choice in groups(root):
        assert f" {choice}" in outcome.out.split(f"\n{group}=")[1].splitlines()[0]
