"""Conditions on columns, as text: ``organism=9606,name~kinase,length<400``. Nothing of it is executed."""

from __future__ import annotations

import re
from dataclasses import dataclass

from esm2_amp.errors import InputError

_QUOTED = r'"(?:[^"]|"")*"'
_CONDITION = re.compile(
    rf'\s*(?P<column>{_QUOTED}|[^=!<>~,"]+?)\s*(?P<test>!=|<=|>=|=|~|<|>)\s*(?P<value>{_QUOTED}|[^,"]*?)\s*(?P<end>,|$)'
)
ORDERED = ("<", "<=", ">", ">=")
_LOOKS = (
    "Conditions are COLUMN=VALUE, != (not equal), ~ (contains), <, <=, > and >=, with commas between; put a value "
    "that holds a comma between double quotes."
)


@dataclass(frozen=True)
class Condition:
    """``column`` ``test`` ``value``; the test is one of = != ~ < <= > >=."""

    column: str
    test: str
    value: str

    def __str__(self) -> str:
        return f"{self.column}{self.test}{self.value}"

    def number(self) -> float:
        """The value as a number.

        Raises:
            InputError: it is none.
        """
        try:
            number = float(self.value)
        except ValueError:
            number = float("nan")
        if number != number:
            raise InputError(f"filter {self}: {self.value!r} is not a number", remedy="This column holds numbers.")
        return number


def parse_filter(expression: str) -> list[Condition]:
    """The conditions of an expression; all must hold.

    Raises:
        InputError: it cannot be understood, from some place on.
    """
    conditions, at = list[Condition](), 0
    while True:
        found = _CONDITION.match(expression, at)
        if found is None:
            raise InputError(f"filter {expression!r} cannot be understood at {expression[at:]!r}", remedy=_LOOKS)
        conditions.append(Condition(_plain(found["column"]), found["test"], _plain(found["value"])))
        at = found.end()
        if not found["end"]:
            return conditions


def _plain(text: str) -> str:
    return text[1:-1].replace('""', '"') if text.startswith('"') else text
