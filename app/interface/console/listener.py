"""The console as a listener: it prints messages, and shows the running stages."""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

from rich.progress import TaskID

from app.interface.console.bars import Bars, spinner
from app.interface.console.printing import Output, output
from app.interface.console.tables import draw_table
from app.interface.events import Advanced, Event, Finished, Said, SaidPath, SaidTable, Started


def show(event: Event) -> None:
    """Print or show an event.

    Examples:
        >>> from app.interface.events import Said, SaidPath
        >>> show(Said("Trained in 3 s."))
        Trained in 3 s.
        >>> show(SaidPath("report", "runs/fruit/report.html"))
        report    runs/fruit/report.html
    """
    match event:
        case Said():
            output().print(event.marked, soft_wrap=not event.wraps)
        case SaidPath():
            output().print(f"{event.what:<10}{event.path}", soft_wrap=True)
        case SaidTable():
            draw_table(event, output())
        case Started():
            stages.start(event, output())
        case Advanced():
            stages.advance(event)
        case Finished():
            stages.finish(event)


class _Bar(NamedTuple):
    """A task of `bars`, shown by a thread."""

    bars: Bars
    task: TaskID
    thread: int


class _Stages:
    """The stages on display, by number."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.bars: dict[int, _Bar] = {}
        self._spinners: dict[int, AbstractContextManager[Any]] = {}

    def start(self, event: Started, output: Output) -> None:
        """Show a stage, below unfinished stages of the same kind in its thread."""
        if event.unit is None:
            self._spinners[event.stage] = spinner(event.name, output)
            self._spinners[event.stage].__enter__()
            return
        thread, kind = threading.get_ident(), (event.unit, event.transient, output)
        shown = next((one.bars for one in [*self.bars.values()] if (one.thread, one.bars.kind) == (thread, kind)), None)
        bars = shown or Bars(*kind)
        task = bars.add_task(event.name, total=event.total, completed=int(event.done), note=event.note)
        self.bars[event.stage] = _Bar(bars, task, thread)
        if not shown:
            bars.start()

    def advance(self, event: Advanced) -> None:
        """Show the progress of a stage."""
        if event.stage in self.bars:
            bar = self.bars[event.stage]
            bar.bars.update(bar.task, completed=event.done, total=event.total, note=event.note)

    def finish(self, event: Finished) -> None:
        """Show the end of a stage, once all stages shown with it have ended."""
        if event.stage in self._spinners:
            self._spinners.pop(event.stage).__exit__(None, None, None)
            return
        with self._lock:
            bar = self.bars.pop(event.stage, None)
            is_last = bar is not None and all(one.bars is not bar.bars for one in self.bars.values())
        if bar is not None and is_last:
            bar.bars.stop()


stages = _Stages()
