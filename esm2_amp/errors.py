"""The one exception that means "the user can fix this"."""

from __future__ import annotations

from os import PathLike


class InputError(Exception):
    """A mistake in what the user gave: a file, a value, a combination of options.

    The command line prints it as one message and exits with code 2; any other exception is a bug of ours,
    keeps its traceback and exits with code 1.

    Args:
        what: what is wrong, naming the offending value.
        file: the file it is wrong in.
        line: its line, counted from 1.
        remedy: what to do about it, as a sentence.
    """

    def __init__(
        self, what: str, *, file: str | PathLike[str] | None = None, line: int | None = None, remedy: str = ""
    ) -> None:
        self.what, self.file, self.line, self.remedy = what, file, line, remedy
        place = "" if file is None else f"{file}" + ("" if line is None else f", line {line}") + ": "
        super().__init__(f"{place}{what.rstrip('.')}." + (f" {remedy}" if remedy else ""))
