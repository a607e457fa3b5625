"""Stages of a verb's work: what has a beginning, a progress and an end, sent to listeners as events.

>>> from app.interface.events import listening
>>> heard = []
>>> with listening(heard.append, alone=True):
...     letters = list(track("ab", 2, "reading"))
>>> [type(event).__name__ for event in heard]
['Started', 'Advanced', 'Advanced', 'Finished']
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TypeVar

from app.interface.events import Advanced, Finished, Started, cancel_check, emitter

Item = TypeVar("Item")

_numbers = itertools.count()


class Stage:
    """A running stage, created by `progress`."""

    def __init__(self, started: Started) -> None:
        """Start the stage. The listeners of this thread receive its later events, from any thread."""
        self._emit, self._check = emitter(), cancel_check()
        self._check()
        self._now = Advanced(started.stage, started.name, started.total, started.done, started.note)
        self._emit(started)

    def advance(self, by: float = 1) -> None:
        """Advance the stage by an amount of work."""
        self.update(done=self._now.done + by)

    def update(self, *, done: float | None = None, total: float | None = None, note: str | None = None) -> None:
        """Set the finished work, the total or the note; None leaves it unchanged.

        Raises:
            Interrupted: the work was cancelled.
        """
        self._check()
        given = {"done": done, "total": total, "note": note}
        self._now = replace(self._now, **{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]
        self._emit(self._now)

    def finish(self) -> None:
        """End the stage."""
        self._emit(Finished(self._now.stage, self._now.name, self._now.total, self._now.done))


@contextlib.contextmanager
def progress(
    name: str,
    total: float | None = None,
    *,
    unit: str | None = "img",
    done: float = 0,
    note: str = "",
    transient: bool = False,
) -> Iterator[Stage]:
    """Run a stage for the duration of the `with` block; the arguments are as in `Started`.

    Raises:
        Interrupted: the work was cancelled; raised at the start or when the stage advances.

    Examples:
        >>> from app.interface.events import listening
        >>> heard = []
        >>> with listening(heard.append, alone=True), progress("reading", 2) as stage:
        ...     stage.advance()
        >>> [event.done for event in heard]
        [0, 1, 1]
        >>> heard[0].unit
        'img'
    """
    stage = Stage(Started(next(_numbers), name, total, unit, done, note, transient))
    try:
        yield stage
    finally:
        stage.finish()


@contextlib.contextmanager
def status(text: str) -> Iterator[None]:
    """Run a stage of unknown length.

    Examples:
        >>> from app.interface.events import listening
        >>> heard = []
        >>> with listening(heard.append, alone=True), status("loading the model"):
        ...     pass
        >>> [type(event).__name__ for event in heard]
        ['Started', 'Finished']
        >>> heard[0].total is None
        True
    """
    with progress(text, unit=None, transient=True):
        yield


def track(
    items: Iterable[Item], total: int, name: str, *, step: int = 1, unit: str = "img", transient: bool = False
) -> Iterator[Item]:
    """Yield the items of a stage, which advances by `step` with each item; the other arguments are as in `progress`.

    Examples:
        >>> from app.interface.events import listening
        >>> heard = []
        >>> with listening(heard.append, alone=True):
        ...     letters = list(track("abc", 3, "reading"))
        >>> letters
        ['a', 'b', 'c']
        >>> [event.done for event in heard]
        [0, 1, 2, 3, 3]
    """
    with progress(name, total, unit=unit, transient=transient) as stage:
        done = 0
        for item in items:
            yield item
            done = min(done + step, total)
            stage.update(done=done)
        if done < total:
            stage.update(done=total)
