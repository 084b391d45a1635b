"""overrides=FILE: what is written comes out of Hydra as it was, and is nothing but values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from esm2_amp.errors import InputError
from esm2_amp.tasks.override_file import _as_word, as_given, leaves, with_overrides, write_overrides

plain = st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.floats(allow_nan=False, allow_infinity=False)
texts = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs"), exclude_characters="$"), max_size=12)


def through_hydra(word: str) -> Any:
    (override,) = OverridesParser.create().parse_overrides([word])
    return override.value()


@given(plain | texts | st.lists(plain | texts, max_size=3))
def test_a_value_comes_out_of_hydra_as_it_was(value: Any) -> None:
    assert through_hydra(f"key={_as_word(value)}") == value


@pytest.mark.parametrize(
    "value", ["null", "true", "1e-5", "a,b", "[a]", "it's", "C:\\new\\", "\\'", "", " a ", "a=b", "k:v"]
)
def test_text_stays_text(value: str) -> None:
    assert through_hydra(f"key={_as_word(value)}") == value


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0")) | st.text("\\\\\\${'\"}a,[", max_size=9))
def test_text_as_the_shell_gave_it_is_nothing_but_itself(value: str) -> None:
    (override,) = OverridesParser.create().parse_overrides([as_given(f"a={value}", ["a"])])
    assert OmegaConf.create({"a": override.value()}).a == value


def test_other_options_are_left_alone() -> None:
    assert [as_given(word, ["a"]) for word in ("aa=1e5", "a", "x.a=[b]")] == ["aa=1e5", "a", "x.a=[b]"]


def test_what_the_command_says_goes_before_the_file(tmp_path: Path) -> None:
    file = tmp_path / "best.yaml"
    options = {"model": "dpm", "model.optimizer.lr": 1e-06, "epochs": 3, "data.test": ["a b", "c"], "encoder.hub": None}
    write_overrides(file, ["A comment."], options)
    assert file.read_text().startswith("# A comment.\nmodel: ")
    assert yaml.safe_load(file.read_text()) == options  # any reader of YAML understands it
    words = with_overrides(["seed=1", f"overrides={file}", "epochs=5"])
    assert words == [
        "model=dpm",
        "model.optimizer.lr=1e-06",
        "data.test=['a b',c]",
        "encoder.hub=null",
        "seed=1",
        "epochs=5",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "- a\n",
        "hydra.run.dir: x\n",
        "hydra: {}\n",
        "+new: 1\n",
        "~model: null\n",
        "a/b: 1\n",
        "1: 2\n",
        "a: [\n",
        "a b: 1",
    ],
)
def test_what_is_no_list_of_options_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "f.yaml").write_text(text)
    with pytest.raises(InputError, match=r"f\.yaml"):
        with_overrides([f"overrides={tmp_path / 'f.yaml'}"])


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere"):
        with_overrides([f"overrides={tmp_path / 'nowhere'}"])


def test_leaves_name_every_value() -> None:
    assert leaves({"a": {"b": 1, "c": {"d": [2]}}, "e": None}) == {"a.b": 1, "a.c.d": [2], "e": None}
