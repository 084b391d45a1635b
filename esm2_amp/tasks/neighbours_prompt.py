"""``esm2-amp neighbours prompt``: queries one after the other, with completion and history on a terminal."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.history import FileHistory, History, InMemoryHistory

from esm2_amp.errors import InputError
from esm2_amp.neighbours.answers import Answer
from esm2_amp.neighbours.queries import Neighbours
from esm2_amp.tasks.config_neighbours import NeighboursConfig
from esm2_amp.tasks.console import say
from esm2_amp.tasks.neighbours_output import Outputs, show_answer, write_answer
from esm2_amp.tasks.neighbours_queries import analogy_answer, check_query, closest_answer, open_near, similar_answer

HELP = """\
similar NAME [NAME ...]     the nearest to each of these
analogy A B                 pairs C, D that differ as A and B do
analogy A                   the best B, C, D for one
analogy A B C               D, such that A is to B as C is to D
closest                     the nearest pairs of all
find TEXT                   names that begin so
save FILE                   the last answer as .tsv or .csv, .md, or .html
help, quit
Options of a query, at its end: k=20 metric=l2 filter=organism=9606 max_similarity=0.8 op=sum
A name with a space or a quote in it goes between quotes; the tab key completes names."""
_OPTIONS: dict[str, Callable[[str], object]] = {
    "k": int,
    "metric": str,
    "filter": str,
    "max_similarity": float,
    "op": str,
}
_COMMANDS = ("similar", "analogy", "closest", "find", "save", "help", "quit")
_COMPLETIONS = 50


def prompt(config: NeighboursConfig) -> None:
    """Answer until the input ends; without a terminal, lines of standard input.

    Raises:
        InputError: without a terminal, at the end: lines that could not be answered, each complained about before.
    """
    near = open_near(config)
    lines: Iterable[str] = _typed(near) if sys.stdin.isatty() else (line.rstrip("\n") for line in sys.stdin)
    total, failed = Conversation(near, config).hold(lines)
    if failed and not sys.stdin.isatty():
        raise InputError(f"{failed} of {total} lines could not be answered")


class Conversation:
    """Answers to lines, by commands that :data:`HELP` lists."""

    def __init__(self, near: Neighbours, config: NeighboursConfig) -> None:
        self.near, self.config = near, config
        self.last: tuple[Answer, NeighboursConfig] | None = None

    def hold(self, lines: Iterable[str]) -> tuple[int, int]:
        """Answer lines until ``quit``; how many there were, and how many could not be answered."""
        total = failed = 0
        for line in lines:
            if not line.strip():
                continue
            total += 1
            try:
                command, *words = _words(line)
                if command in ("quit", "exit"):
                    break
                self._answer(command, words)
            except InputError as mistake:
                failed += 1
                print(f"error: {mistake}", file=sys.stderr)
        return total, failed

    def _answer(self, command: str, words: list[str]) -> None:
        if command == "help":
            say(HELP)
        elif command == "find":
            self._find(words)
        elif command == "save":
            self._save(words)
        elif command in ("similar", "analogy", "closest"):
            self._query(command, words)
        else:
            raise InputError(f"there is no command {command!r}", remedy=f"The commands are {', '.join(_COMMANDS)}.")

    def _query(self, command: str, words: list[str]) -> None:
        names, config = _options(words, self.config)
        config.action = "closest-pairs" if command == "closest" else command
        check_query(config)
        if command == "closest" and names:
            raise InputError(f"closest takes no name, as {names[0]!r}", remedy="It compares all with all.")
        if command == "similar":
            answer = similar_answer(self.near, config, self.near.named(names))
        elif command == "analogy":
            answer = analogy_answer(self.near, config, [tuple(names)])
        else:
            answer = closest_answer(self.near, config)
        show_answer(self.near, answer, config.shown)
        self.last = (answer, config)

    def _find(self, words: list[str]) -> None:
        found = self.near.names.complete(words[0] if words else "", _COMPLETIONS)
        say("\n".join(found) if found else "Nothing begins so.")

    def _save(self, words: list[str]) -> None:
        if self.last is None or len(words) != 1:
            raise InputError("save takes one file name, after an answer", remedy="As: save hits.tsv")
        answer, config = self.last
        config = replace(config, output=None, markdown=None, page=None)
        kind = {".md": "markdown", ".html": "page"}.get(Path(words[0]).suffix, "output")
        setattr(config, kind, words[0])
        write_answer(self.near, answer, config, Outputs.of(config))


def _words(line: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError as error:
        raise InputError(f"{line!r}: {error}".lower(), remedy="Put names with quotes between other quotes.") from None


def _options(words: list[str], config: NeighboursConfig) -> tuple[list[str], NeighboursConfig]:
    """Names, and the configuration with the options among the words."""
    names, config = list[str](), replace(config)
    for word in words:
        key, equals, value = word.partition("=")
        if equals and key in _OPTIONS:
            try:
                setattr(config, key, _OPTIONS[key](value))
            except ValueError:
                raise InputError(f"{key} is {value!r}", remedy="Give a number.") from None
        else:
            names.append(word)
    return names, config


def _typed(near: Neighbours) -> Iterator[str]:
    """Lines typed on a terminal, until Ctrl-D; Ctrl-C gives up a line."""
    say(f"{near.vectors.n:,} vectors. Type help for the commands, quit to leave.")
    session: PromptSession[str] = PromptSession(
        "neighbours> ", completer=NameCompleter(near), complete_while_typing=False, history=_history()
    )
    while True:
        try:
            yield session.prompt()
        except KeyboardInterrupt:
            continue
        except EOFError:
            return


class NameCompleter(Completer):
    """Completes the commands, and names by the beginning of an id or a symbol."""

    def __init__(self, near: Neighbours) -> None:
        self.near = near

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterator[Completion]:
        """What the word before the cursor may become, at most 50."""
        before = document.text_before_cursor
        word = before.rpartition(" ")[2]
        if not before[: len(before) - len(word)].strip():
            found = [command for command in _COMMANDS if command.startswith(word)]
        else:
            found = self.near.names.complete(word, _COMPLETIONS)
        for name in found:
            yield Completion(shlex.quote(name), start_position=-len(word), display=name)


def _history() -> History:
    """In the user's folder for such things; only in memory where that cannot be written."""
    base = os.environ.get("XDG_STATE_HOME") or Path("~/.local/state").expanduser()
    folder = Path(base) / "esm2-amp"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "neighbours_history").touch(mode=0o600)
    except OSError:
        return InMemoryHistory()
    return FileHistory(folder / "neighbours_history")
