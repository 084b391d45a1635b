"""Tables in Markdown with links, in which a name is nothing but text, whatever it looks like."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

_BACKSLASHED = "*_[]"
"""What every reader of Markdown takes back from behind a backslash."""
_REFERENCED = "&<>\"'|`~$\\@^"
"""What only a character reference makes text in every reader, and within a table."""
_AUTOMATIC = re.compile(r"(?i)(?<=[a-z]):(?=//)|(?<=www)\.|(?<=mailto):|(?<=xmpp):")
"""Where GitHub would make a link of plain text."""


@dataclass(frozen=True)
class Cell:
    """A word of a table, and where it leads: an ``https`` address, or None."""

    text: str
    url: str | None = None


def shown(text: str) -> str:
    """Text on one line, without characters that change what stands beside them.

    Line ends, control characters and the marks that turn the direction of writing become U+FFFD: a name with them
    could pass for another one.
    """
    return "".join("\N{REPLACEMENT CHARACTER}" if _disturbs(letter) else letter for letter in text)


def escaped(text: str) -> str:
    """Text as Markdown that shows it: neither markup, nor HTML, nor a link, nor a new cell or line."""
    text = "".join(_escaped_letter(letter) for letter in shown(text))
    return _AUTOMATIC.sub(lambda match: f"&#{ord(match[0])};", text)


def linked(cell: Cell) -> str:
    """A cell as Markdown; an address that is not ``https`` is left out."""
    if cell.url is None or not cell.url.startswith("https://"):
        return escaped(cell.text)
    return f"[{escaped(cell.text)}](<{quote(cell.url, safe=_IN_ADDRESSES)}>)"


_IN_ADDRESSES = "/:?=&%#;,+@.-_~"


def table(columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    """A table; columns of one name each, rows of as many cells."""
    lines = [" | ".join(map(escaped, columns)), " | ".join("---" for _ in columns)]
    lines += [" | ".join(map(linked, row)) for row in rows]
    return "".join(f"| {line} |\n" for line in lines)


def _escaped_letter(letter: str) -> str:
    if letter in _REFERENCED:
        return f"&#{ord(letter)};"
    return f"\\{letter}" if letter in _BACKSLASHED else letter


def _disturbs(letter: str) -> bool:
    # Cc: control characters; Cf: marks of direction and joining; Cs: halves of characters; Zl, Zp: line ends
    return unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Zl", "Zp")
