"""The prompt: completion offers what can be typed, and a completed name is read back as that name."""

from __future__ import annotations

import shlex
from pathlib import Path

import numpy as np
import pytest
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document
from prompt_toolkit.history import FileHistory, InMemoryHistory

from esm2_amp.neighbours.ingest import ingest_source
from esm2_amp.neighbours.queries import Neighbours
from esm2_amp.neighbours.readers.source import ArraySource
from esm2_amp.tasks.neighbours_prompt import NameCompleter, _history

NAMES = ["alpha", "al pha's", 'al"b"', "beta", *(f"many{i:03}" for i in range(200))]


@pytest.fixture(scope="module")
def near(tmp_path_factory: pytest.TempPathFactory) -> Neighbours:
    folder = tmp_path_factory.mktemp("prompt") / "near"
    x = np.random.default_rng(0).normal(size=(len(NAMES), 4)).astype(np.float32)
    ingest_source(ArraySource(NAMES, x), folder, "error", lambda n: None, lambda n: None)
    return Neighbours(folder)


def completions(near: Neighbours, text: str) -> list[str]:
    """Lines that a completion makes of this one."""
    found = NameCompleter(near).get_completions(Document(text), CompleteEvent())
    return [text[: len(text) + one.start_position] + one.text for one in found]


def test_the_first_word_is_a_command(near: Neighbours) -> None:
    assert completions(near, "s") == ["similar", "save"]


def test_a_completed_name_is_read_as_that_name(near: Neighbours) -> None:
    lines = completions(near, "similar beta al")
    assert [shlex.split(line)[2] for line in lines] == sorted(name for name in NAMES if name.startswith("al"))


def test_completions_are_bounded(near: Neighbours) -> None:
    assert len(completions(near, "analogy many")) == 50


def test_history_is_kept_where_it_can_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert isinstance(_history(), FileHistory)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "esm2-amp" / "neighbours_history"))  # a file, not a folder
    assert isinstance(_history(), InMemoryHistory)
