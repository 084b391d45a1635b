"""Ids as users give them: in a word, or in a file."""

from __future__ import annotations

import csv

from esm2_amp.errors import InputError
from esm2_amp.io.text import text_lines
from esm2_amp.tasks.options import several


def split_ids(value: object) -> list[str]:
    """Ids between commas, as ``A,B`` or ``[A,B]``; one with a comma goes between double quotes."""
    if not isinstance(value, str):
        return several(value)
    text = value[1:-1] if value.startswith("[") and value.endswith("]") else value
    try:
        names = next(csv.reader([text], skipinitialspace=True, strict=True), [])
    except csv.Error as error:
        raise InputError(f"ids {value!r}: {error}", remedy="Put an id with a comma between double quotes.") from None
    if "" in names or not names:
        raise InputError(f"ids {value!r} has an empty id", remedy="Write A,B.")
    return names


def ids_in_file(file: str) -> list[str]:
    """One name a line."""
    names = [text.rstrip("\r") for _, text in text_lines(file)]
    if not any(names):
        raise InputError("the file has no line", file=file, remedy="Write one id a line.")
    return [name for name in names if name]
