"""What a person sees: little of it, and TensorFlow's chatter not at all."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

Item = TypeVar("Item")

_WIDEST = 1000  # columns of a table that is not printed on a terminal
console = Console(highlight=False, soft_wrap=True)


class _Rate(ProgressColumn):
    """Pictures a second, or whatever is counted."""

    def __init__(self, unit: str) -> None:
        super().__init__()
        self.unit = unit

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        digits = 0 if (speed or 0) >= 10 else 1
        return Text(f"{speed:,.{digits}f} {self.unit}/s" if speed else "", style="progress.data.speed")


def progress(unit: str = "img") -> Progress:
    """Progress bars that count pictures, or what `unit` says, with room for a note beside each."""
    return Progress(
        TextColumn("{task.description:<10}"),
        BarColumn(bar_width=20),
        TaskProgressColumn(),
        _Rate(unit),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=console,
    )


def track(items: Iterable[Item], total: int, description: str, *, step: int = 1, unit: str = "img") -> Iterator[Item]:
    """Yield the items beside a progress bar that grows by `step` pictures, or what `unit` says, an item."""
    with progress(unit) as bars:
        task = bars.add_task(description, total=total, note="")
        for item in items:
            yield item
            bars.advance(task, step)
        bars.update(task, completed=total)


def table(title: str, columns: Iterable[str], rows: Iterable[Iterable[Any]]) -> None:
    """Print a table; cells are text as it is, without markup."""
    grid = Table(title=title or None, title_justify="left", title_style="bold", header_style="dim", box=SIMPLE_HEAD)
    for column in columns:
        grid.add_column(column, overflow="fold")
    for row in rows:
        grid.add_row(*(Text(str(cell)) for cell in row))
    if not console.is_terminal:  # in a file or a pipe, a row is a line
        grid.width = console.measure(grid, options=console.options.update(width=_WIDEST)).maximum
    console.print(grid)


@contextlib.contextmanager
def chatter_to(log: Path) -> Iterator[None]:
    """Send what libraries write to standard error, from Python and from C++, to the end of a log file.

    Standard output, which Graft itself writes to, stays as it is.
    """
    sys.stderr.flush()
    saved = os.dup(2)
    with open(log, "a", encoding="utf-8") as file, contextlib.redirect_stderr(file):
        os.dup2(file.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(saved, 2)
            os.close(saved)
