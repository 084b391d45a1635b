"""What people see while a task works: log lines and progress bars on standard error, tables on standard output."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

log = logging.getLogger("esm2_amp")


def start_logging(file: Path | None = None) -> None:
    """Log to standard error and, where given, to a file; quieten what libraries say about themselves."""
    log.setLevel(logging.INFO)
    log.propagate = False
    if not log.handlers:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("%(message)s"))
        log.addHandler(handler)
    if file is not None:
        to_file = logging.FileHandler(file, encoding="utf-8")
        to_file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        log.addHandler(to_file)
    for name in ("pytorch_lightning", "lightning_fabric", "pytorch_lightning.utilities.rank_zero"):
        logging.getLogger(name).setLevel(logging.ERROR)
    for message in (
        ".*does not have many workers.*",
        ".*Checkpoint directory .* exists and is not empty.*",
        ".*LeafSpec.*",
        ".*The number of training batches.*",
        ".*isinstance.treespec.*",
        ".*not supported by the model summary.*",
        ".*litlogger.*",
        ".*Setting forward, backward hooks.*",
    ):
        warnings.filterwarnings("ignore", message=message)


def stop_logging_to_files() -> None:
    """Close the log files (a second run of the same process writes to its own)."""
    for handler in list(log.handlers):
        if isinstance(handler, logging.FileHandler):
            log.removeHandler(handler)
            handler.close()


@contextmanager
def progress(
    title: str, unit: str, shown: bool = True
) -> Iterator[tuple[Callable[[int], None], Callable[[int], None]]]:
    """A progress bar on a terminal, silence elsewhere.

    Yields:
        ``begin(total)`` and ``advance(amount)``.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not (shown and console.is_terminal), transient=True) as bar:
        task = bar.add_task(title, total=None, rate="")

        def begin(total: int) -> None:
            bar.update(task, total=total)

        def advance(amount: int) -> None:
            bar.advance(task, amount)
            speed = bar.tasks[0].finished_speed or bar.tasks[0].speed
            bar.update(task, rate=f"{speed:,.0f} {unit}/s" if speed else "")

        yield begin, advance


@contextmanager
def live_line() -> Iterator[Callable[[str], None]]:
    """A line that tells how far the work is, below the log lines, on a terminal; silence elsewhere.

    Yields:
        What changes the line.
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda text: None
        return
    handlers = [handler for handler in log.handlers if type(handler) is logging.StreamHandler]
    with console.status("") as status:
        before = [handler.setStream(sys.stderr) for handler in handlers]  # rich's now, which keeps the line below
        try:
            yield lambda text: status.update(Text(text))
        finally:
            for handler, stream in zip(handlers, before, strict=True):
                handler.setStream(stream or sys.__stderr__)


def show_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], names: int = 1) -> None:
    """Print a table; the first ``names`` columns are text, the others are numbers."""
    table = Table(title=Text(title), title_justify="left", box=SIMPLE_HEAD)
    for i, name in enumerate(columns):
        table.add_column(Text(name), justify="left" if i < names else "right", no_wrap=True)
    for row in rows:
        table.add_row(*map(Text, row))  # as text: rich would read "[red]" in a name as a colour
    console = Console(width=None if Console().is_terminal else 160)
    console.print(table)


def say(text: str) -> None:
    """Print a line of result."""
    print(text)
