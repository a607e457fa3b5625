"""Progress: moving bars on a terminal, HTML in a notebook, and an occasional line in a pipe."""

from __future__ import annotations

import contextlib
import html
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from rich.live import Live
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
from rich.spinner import Spinner
from rich.table import Column
from rich.text import Text

from app.interface.console.printing import Output

PIPE_SECONDS = 10.0  # between two lines of a long stage
NOTEBOOK_SECONDS = 0.25  # between two states of a bar
BRIEF_SECONDS = 1.0  # stages shorter than this are not shown in a notebook

# Rich would replace the standard streams to print other programs' output around its bar: above it if it is half a line, and
# also output with another destination, such as a log.
_LEAVING_STREAMS: dict[str, Any] = {"redirect_stdout": False, "redirect_stderr": False}

_PAGE = '<div style="font-family:monospace;white-space:pre">{}</div>'
_BAR = (
    '<span style="display:inline-block;width:20ch;height:0.6em;border:1px solid currentColor;border-radius:0.3em">'
    '<span style="display:block;width:{:.1%};height:100%;background:currentColor;opacity:0.6"></span></span> '
)


@contextlib.contextmanager
def spinner(text: str, output: Output) -> Iterator[None]:
    """Show a stage of unknown length; a short one leaves nothing on display.

    Examples:
        >>> from app.interface.console.printing import console
        >>> with spinner("loading the model", console):
        ...     1 + 1
        2
        >>> with spinner("loading the model", console):
        ...     raise ValueError("no model")
        Traceback (most recent call last):
        ValueError: no model
    """
    if output.is_interactive:
        still = Live(
            Spinner("dots", Text(text)), console=output, refresh_per_second=12.5, transient=True, **_LEAVING_STREAMS
        )
        with still:
            yield
        return
    started = time.monotonic()

    def rows(ended: bool) -> list[Row]:
        seconds = time.monotonic() - started
        return [Row(text, f"in {clock(seconds)}" if ended else clock(seconds))] if _is_long(seconds, output) else []

    with _ticker(rows, output):
        yield


class Bars(Progress):
    """Progress bars: rich's bookkeeping of tasks, with their speed and remaining time, and their display.

    A task may have a `note`, which stands next to its bar.

    Attributes:
        kind: the arguments it was created with; stages of one kind can share it.
    """

    def __init__(self, unit: str, transient: bool, output: Output) -> None:
        """Create the display without a bar.

        Args:
            unit: what the bars count.
            transient: remove the bars at the end, except for long stages where they cannot be removed.
            output: where they are shown.
        """
        name = TextColumn("{task.description:<10}", markup=False)
        bar = BarColumn(bar_width=20)
        super().__init__(name, bar, _Facts(unit), console=output, transient=transient, **_LEAVING_STREAMS)
        self.kind, self._unit, self._transient, self._output = (unit, transient, output), unit, transient, output
        self._started = time.monotonic()
        self._ticker: _Ticker | None = None

    def start(self) -> None:
        """Start showing the tasks."""
        if self._output.is_interactive or self.disable:
            super().start()
        else:
            self._ticker = _ticker(self._rows, self._output)
            self._ticker.start()

    def stop(self) -> None:
        """Stop, and show the final state."""
        if self._ticker is None:
            super().stop()
        else:
            self._ticker.stop()

    def _rows(self, ended: bool) -> list[Row]:
        if self._transient and not _is_long(time.monotonic() - self._started, self._output):
            return []
        return [Row.of_task(task, self._unit, ended) for task in self.tasks]


class Row(NamedTuple):
    """A bar, or a stage without one, as text.

    Attributes:
        name: name of the stage.
        facts: its progress, speed and time.
        share: finished part, from 0 to 1; None if unknown.
    """

    name: str
    facts: str
    share: float | None = None

    @classmethod
    def of_task(cls, task: Task, unit: str, ended: bool = False) -> Row:
        """Create the row of a bar; a finished bar shows how long it took."""
        how_far = f"{task.percentage:3.0f}%" if task.total is not None else f"{task.completed:,.0f} {unit}"
        speed = task.finished_speed or task.speed
        rate = f"{speed:,.{0 if speed >= 10 else 1}f} {unit}/s" if speed else ""
        facts = (how_far, rate, _time_of(task, ended), task.fields.get("note", ""))
        return cls(task.description, " ".join(filter(None, facts)), task.percentage / 100 if task.total else None)

    def __str__(self) -> str:
        return f"{self.name:<10} {self.facts}"

    def as_html(self) -> str:
        """Return the row with a bar as HTML, in the colours of the surrounding theme."""
        bar = "" if self.share is None else _BAR.format(self.share)
        return f"{html.escape(f'{self.name:<10} ')}{bar}{html.escape(self.facts)}"


class _Facts(ProgressColumn):
    """Column next to a bar on a terminal."""

    def __init__(self, unit: str) -> None:
        super().__init__(Column(no_wrap=True))  # if there is little room, the bar is shortened
        self._unit = unit

    def render(self, task: Task) -> Text:
        return Text(Row.of_task(task, self._unit).facts, overflow="ellipsis")


def _time_of(task: Task, ended: bool) -> str:
    """Return how long a task took, or its remaining or elapsed time."""
    so_far = task.elapsed or 0.0
    if task.finished or ended:
        return f"in {clock(task.finished_time or so_far)}"
    if task.time_remaining is not None:
        return f"{clock(task.time_remaining)} left"
    return clock(so_far) if so_far >= 1 else ""


def clock(seconds: float) -> str:
    """Format seconds as minutes and seconds, with hours if there are any.

    Examples:
        >>> clock(75)
        '1:15'
        >>> clock(3675)
        '1:01:15'
    """
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}" if minutes >= 60 else f"{minutes}:{rest:02}"


def _is_long(seconds: float, output: Output) -> bool:
    """Return whether a stage is long enough to be mentioned where its line cannot be removed."""
    return seconds >= (BRIEF_SECONDS if output.in_notebook else PIPE_SECONDS)


class _Ticker(threading.Thread):
    """A thread that shows rows repeatedly, whether they change or not, and once more at the end."""

    def __init__(self, rows: Callable[[bool], Sequence[Row]], seconds: float, output: Output) -> None:
        super().__init__(daemon=True)
        self._rows, self._seconds, self._output = rows, seconds, output
        self._done = threading.Event()

    def run(self) -> None:
        while not self._done.wait(self._seconds):
            self.show(self._rows(False), False)

    def stop(self) -> None:
        """Stop, and show the final state."""
        self._done.set()
        self.join()
        self.show(self._rows(True), True)

    def show(self, rows: Sequence[Row], ended: bool) -> None:
        """Show rows; `ended` is true for the last time."""
        raise NotImplementedError

    def __enter__(self) -> None:
        self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()


class _Lines(_Ticker):
    """Prints a line for the latest task occasionally, and one for each task at the end."""

    def show(self, rows: Sequence[Row], ended: bool) -> None:
        for row in rows if ended else rows[-1:]:
            line = Text(str(row).rstrip())
            line.truncate(self._output.width, overflow="ellipsis")
            self._output.print(line)


class _Html(_Ticker):
    """HTML bars that are updated in place."""

    shown: Any = None

    def show(self, rows: Sequence[Row], ended: bool) -> None:
        if rows:
            page = _PAGE.format("\n".join(row.as_html() for row in rows))
            self.shown = self._output.display(page, "\n".join(map(str, rows)), self.shown)


def _ticker(rows: Callable[[bool], Sequence[Row]], output: Output) -> _Ticker:
    return _Html(rows, NOTEBOOK_SECONDS, output) if output.in_notebook else _Lines(rows, PIPE_SECONDS, output)
