"""``--help``, read from the comments of the configuration files, so that it cannot drift from them."""

from __future__ import annotations

import re
from pathlib import Path

_VALUE = re.compile(r"^(?P<indent> *)(?P<key>\w+):\s*(?P<value>[^#]*?)\s*(?:#\s*(?P<say>.*))?$")
_DEFAULT = re.compile(r"^  - (?P<group>\w+): (?P<choice>\w+|\$\{\w+\})\s*(?:#\s*(?P<say>.*))?$")


def task_help(conf: Path, task: str) -> str:
    """Help of one task: its opening comment, its options, the options of its groups."""
    text = (conf / f"{task}.yaml").read_text(encoding="utf-8")
    head = [line[2:] for line in text.splitlines() if line.startswith("#")]
    rows = option_rows(text, "")
    groups = [match for line in text.splitlines() if (match := _DEFAULT.match(line))]
    chosen = {match["group"]: match["choice"] for match in groups}
    parts = ["\n".join([head[0], "", *head[1:]]), "Options (write them as KEY=VALUE):", _table(rows)]
    for group, choice in chosen.items():
        choices = ", ".join(sorted(file.stem for file in (conf / group).glob("*.yaml")))
        leader = choice.strip("${}") if choice.startswith("$") else None
        choice = choice if leader is None else chosen[leader]
        follows = "" if leader is None else f" (follows {leader})"
        parts += [f"{group}={choice}{follows}   choose from: {choices}"]
        parts += [_table(option_rows((conf / group / f"{choice}.yaml").read_text(encoding="utf-8"), f"{group}."))]
    parts += [
        "Several runs: -m KEY=A,B. The whole configuration, without running: --cfg job.\n"
        "Options from a file, one KEY: VALUE a line: overrides=FILE; what the command says itself goes before it."
    ]
    return "\n\n".join(part for part in parts if part)


def option_rows(text: str, prefix: str) -> list[tuple[str, str, str]]:
    """(key, default, sentence) of every value in a configuration file."""
    rows, parents = [], list[str]()
    for line in text.split("defaults:")[-1].splitlines():
        match = _VALUE.match(line)
        if not match or line.startswith("  - "):
            continue
        depth = len(match["indent"]) // 2
        parents = [*parents[:depth], match["key"]]
        if match["value"]:
            rows.append((prefix + ".".join(parents), match["value"], match["say"] or ""))
    return rows


def _table(rows: list[tuple[str, str, str]]) -> str:
    if not rows:
        return ""
    left = [f"{key}={'(required)' if value == '???' else value}" for key, value, _ in rows]
    width = min(44, max(map(len, left)))
    return "\n".join(f"  {name:<{width}}  {say}" for name, (_, _, say) in zip(left, rows, strict=True))
