"""Progress as the place allows: bars that move on a terminal, HTML in a notebook, and a line now and then in a pipe."""

from __future__ import annotations

import contextlib
import html
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

from rich.live import Live
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn
from rich.spinner import Spinner
from rich.table import Column
from rich.text import Text

from app.console.printing import console

__all__ = ["TaskID", "progress", "status", "track"]

Item = TypeVar("Item")

PIPE_SECONDS = 10.0  # between two lines of a stage that takes long
NOTEBOOK_SECONDS = 0.25  # between two states of a bar
BRIEF_SECONDS = 1.0  # of what a notebook does not mention

# Rich would put itself in the place of the standard streams, to print around its bar what others write to them: over its
# head if that is half a line, and also what has another place to go, as a log.
_ON_OUR_CONSOLE: dict[str, Any] = {"console": console, "redirect_stdout": False, "redirect_stderr": False}

_PAGE = '<div style="font-family:monospace;white-space:pre">{}</div>'
_BAR = (
    '<span style="display:inline-block;width:20ch;height:0.6em;border:1px solid currentColor;border-radius:0.3em">'
    '<span style="display:block;width:{:.1%};height:100%;background:currentColor;opacity:0.6"></span></span> '
)


def progress(unit: str = "img", *, transient: bool = False) -> Bars:
    """Progress bars; a task may have a `note`, which stands beside its bar.

    Args:
        unit: what they count.
        transient: leave nothing of them, unless they take long where they cannot be taken away again.
    """
    return Bars(unit, transient)


def track(
    items: Iterable[Item], total: int, description: str, *, step: int = 1, unit: str = "img", transient: bool = False
) -> Iterator[Item]:
    """Yield the items beside a progress bar that grows by `step` an item; the others are as in `progress`."""
    with progress(unit, transient=transient) as bars:
        task = bars.add_task(description, total=total)
        for item in items:
            yield item
            bars.advance(task, step)
        bars.update(task, completed=total)


@contextlib.contextmanager
def status(text: str) -> Iterator[None]:
    """Say what goes on, when nobody knows for how long; of a short time nothing is left."""
    if console.is_interactive:
        with Live(Spinner("dots", Text(text)), refresh_per_second=12.5, transient=True, **_ON_OUR_CONSOLE):
            yield
        return
    started = time.monotonic()

    def rows(ended: bool) -> list[Row]:
        seconds = time.monotonic() - started
        return [Row(text, f"in {clock(seconds)}" if ended else clock(seconds))] if _is_long(seconds) else []

    with _ticker(rows):
        yield


class Bars(Progress):
    """Rich's bookkeeping of tasks, with their speed and the time they need, and what is shown of it."""

    def __init__(self, unit: str, transient: bool) -> None:
        """Count `unit`, see `progress`."""
        name = TextColumn("{task.description:<10}", markup=False)
        super().__init__(name, BarColumn(bar_width=20), _Facts(unit), transient=transient, **_ON_OUR_CONSOLE)
        self._unit, self._transient = unit, transient
        self._started = time.monotonic()
        self._ticker: _Ticker | None = None

    def start(self) -> None:
        """Show the tasks from now on."""
        if console.is_interactive or self.disable:
            super().start()
        else:
            self._ticker = _ticker(self._rows)
            self._ticker.start()

    def stop(self) -> None:
        """Show how things are at the end."""
        if self._ticker is None:
            self.live.transient |= not self.tasks  # no empty line
            super().stop()
        else:
            self._ticker.stop()

    def _rows(self, ended: bool) -> list[Row]:
        if self._transient and not _is_long(time.monotonic() - self._started):
            return []
        return [Row.of_task(task, self._unit, ended) for task in self.tasks]


class Row(NamedTuple):
    """A bar, or a stage without one, as text.

    Attributes:
        name: what is done.
        facts: how far it is, how fast, and how long it takes.
        share: the part that is done, from 0 to 1; None where nobody knows.
    """

    name: str
    facts: str
    share: float | None = None

    @classmethod
    def of_task(cls, task: Task, unit: str, ended: bool = False) -> Row:
        """The row of a bar; at its end it says how long it took."""
        how_far = f"{task.percentage:3.0f}%" if task.total is not None else f"{task.completed:,.0f} {unit}"
        speed = task.finished_speed or task.speed
        rate = f"{speed:,.{0 if speed >= 10 else 1}f} {unit}/s" if speed else ""
        facts = (how_far, rate, _time_of(task, ended), task.fields.get("note", ""))
        return cls(task.description, " ".join(filter(None, facts)), task.percentage / 100 if task.total else None)

    def __str__(self) -> str:
        return f"{self.name:<10} {self.facts}"

    def as_html(self) -> str:
        """The same with a bar, in the colours of whatever theme it is shown in."""
        bar = "" if self.share is None else _BAR.format(self.share)
        return f"{html.escape(f'{self.name:<10} ')}{bar}{html.escape(self.facts)}"


class _Facts(ProgressColumn):
    """What stands beside a bar on a terminal."""

    def __init__(self, unit: str) -> None:
        super().__init__(Column(no_wrap=True))  # where there is little room, the bar is shorter
        self._unit = unit

    def render(self, task: Task) -> Text:
        return Text(Row.of_task(task, self._unit).facts, overflow="ellipsis")


def _time_of(task: Task, ended: bool) -> str:
    """How long it took, or has left, or has taken so far."""
    so_far = task.elapsed or 0.0
    if task.finished or ended:
        return f"in {clock(task.finished_time or so_far)}"
    if task.time_remaining is not None:
        return f"{clock(task.time_remaining)} left"
    return clock(so_far) if so_far >= 1 else ""


def clock(seconds: float) -> str:
    """Minutes and seconds, and hours where there are any."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}" if minutes >= 60 else f"{minutes}:{rest:02}"


def _is_long(seconds: float) -> bool:
    """Whether that is to be mentioned where it cannot be taken away again."""
    return seconds >= (BRIEF_SECONDS if console.in_notebook else PIPE_SECONDS)


class _Ticker(threading.Thread):
    """Shows rows again and again, whether they change or not, and once more at the end."""

    def __init__(self, rows: Callable[[bool], Sequence[Row]], seconds: float) -> None:
        super().__init__(daemon=True)
        self._rows, self._seconds = rows, seconds
        self._done = threading.Event()

    def run(self) -> None:
        while not self._done.wait(self._seconds):
            self.show(self._rows(False), False)

    def stop(self) -> None:
        """Show how things are at the end."""
        self._done.set()
        self.join()
        self.show(self._rows(True), True)

    def show(self, rows: Sequence[Row], ended: bool) -> None:
        """Show rows; `ended` says whether for the last time."""
        raise NotImplementedError

    def __enter__(self) -> None:
        self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()


class _Lines(_Ticker):
    """A line for the latest task now and then, and one for each at the end."""

    def show(self, rows: Sequence[Row], ended: bool) -> None:
        for row in rows if ended else rows[-1:]:
            line = Text(str(row).rstrip())
            line.truncate(console.width, overflow="ellipsis")
            console.print(line)


class _Html(_Ticker):
    """Bars that are changed in place."""

    shown: Any = None

    def show(self, rows: Sequence[Row], ended: bool) -> None:
        if rows:
            page = _PAGE.format("\n".join(row.as_html() for row in rows))
            self.shown = console.display(page, "\n".join(map(str, rows)), self.shown)


def _ticker(rows: Callable[[bool], Sequence[Row]]) -> _Ticker:
    return _Html(rows, NOTEBOOK_SECONDS) if console.in_notebook else _Lines(rows, PIPE_SECONDS)
