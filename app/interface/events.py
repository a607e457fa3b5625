"""What happens while a verb works, told to listeners: the console unless another takes its place, a page, a log file.

A listener is a function that takes an event. It is called in the thread in which the event happens:

    >>> heard = []
    >>> with listening(heard.append, alone=True):
    ...     letters = list(track("ab", 2, "reading"))
    >>> [type(event).__name__ for event in heard]
    ['Started', 'Advanced', 'Advanced', 'Finished']

This imports nothing of the console, which imports this and listens by default.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Callable, Collection, Iterable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias, TypeVar

from app.interface.errors import Interrupted

Item = TypeVar("Item")

_HELD = "\ue000"  # of Unicode's private use: a space at which a line is not broken


@dataclass(frozen=True)
class Started:
    """A stage of the work begins.

    Attributes:
        stage: number that all events of this stage have, and no other stage of the process.
        name: what is done.
        total: how much there is to do; None where nobody knows.
        unit: what `done` and `total` count; None for a stage that does not advance, as starting TensorFlow.
        done: how much is done already, as in a resumed run.
        note: what is worked on.
        transient: leave nothing of it on display once it is finished.
    """

    stage: int
    name: str
    total: float | None
    unit: str | None
    done: float
    note: str
    transient: bool


@dataclass(frozen=True)
class Advanced:
    """A stage is further than before, or its total or note is another; attributes are as in `Started`."""

    stage: int
    name: str
    total: float | None
    done: float
    note: str


@dataclass(frozen=True)
class Finished:
    """A stage has ended, or broken off; attributes are as in `Started`."""

    stage: int
    name: str
    total: float | None
    done: float


@dataclass(frozen=True)
class Said:
    """A sentence or more for the user.

    Attributes:
        marked: the text, with marks where `whole` forbids to break a line.
        wraps: whether lines may be broken; a command to copy stays whole.
    """

    marked: str
    wraps: bool = True

    @property
    def text(self) -> str:
        """The text without marks."""
        return unmarked(self.marked)


@dataclass(frozen=True)
class SaidPath:
    """Where something is: `what` names it."""

    what: str
    path: Path | str


@dataclass(frozen=True)
class SaidTable:
    """A table; attributes are as in `print_table`."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    optional: tuple[str, ...] = ()


Event: TypeAlias = Started | Advanced | Finished | Said | SaidPath | SaidTable
Listener: TypeAlias = Callable[[Event], None]

_numbers = itertools.count()
_default: list[Listener] = []
_added: ContextVar[tuple[Listener, ...]] = ContextVar("added", default=())
_alone: ContextVar[bool] = ContextVar("alone", default=False)
_cancel: ContextVar[threading.Event | None] = ContextVar("cancel", default=None)
_telling: ContextVar[bool] = ContextVar("telling", default=False)


# --- Listening and cancelling -------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def listening(listener: Listener, *, alone: bool = False) -> Iterator[None]:
    """Tell a listener what happens in the calls that this thread makes within the `with` block.

    Args:
        listener: gets each event; what it raises ends the call.
        alone: leave out the console and the listeners that were there before.
    """
    added = _added.set((listener,) if alone else (*_added.get(), listener))
    only = _alone.set(alone or _alone.get())
    try:
        yield
    finally:
        _alone.reset(only)
        _added.reset(added)


@contextlib.contextmanager
def cancellable(cancel: threading.Event | None = None) -> Iterator[threading.Event]:
    """Let another thread end the calls that this thread makes within the `with` block, as Ctrl-C ends a command.

    A call ends when its next stage starts or advances. It raises `app.interface.errors.Interrupted`; a run can then be resumed.

        with cancellable() as cancel:
            button.on_click(lambda _: cancel.set())
            train("my_images")

    Args:
        cancel: the event to set; None makes a new event.
    """
    cancel = cancel or threading.Event()
    token = _cancel.set(cancel)
    try:
        yield cancel
    finally:
        _cancel.reset(token)


def listen_by_default(listener: Listener) -> None:
    """Make a listener the one that is told where nobody listens alone, in place of an earlier one."""
    _default[:] = [listener]


def is_telling() -> bool:
    """Whether this thread is within a listener's call: what it prints now is the listener's."""
    return _telling.get()


def emit(event: Event) -> None:
    """Tell an event to whoever listens in this thread."""
    _tell(_listeners(), event)


def _listeners() -> tuple[Listener, ...]:
    return _added.get() if _alone.get() else (*_default, *_added.get())


def _tell(listeners: Iterable[Listener], event: Event) -> None:
    token = _telling.set(True)
    try:
        for listener in listeners:
            listener(event)
    finally:
        _telling.reset(token)


# --- What verbs call ----------------------------------------------------------------------------------------------------------


def whole(text: str | Path) -> str:
    """A path or a command for a sentence, in which no line is broken though it may hold spaces."""
    return str(text).replace(" ", _HELD)


def unmarked(text: str) -> str:
    """A text without the marks of `whole`."""
    return text.replace(_HELD, " ")


def print_text(text: str, *, wraps: bool = True) -> None:
    """Print a sentence or more; `wraps` is as in `Said`."""
    emit(Said(text, wraps))


def print_path(what: str, path: Path | str) -> None:
    """Print where something is."""
    emit(SaidPath(what, path))


def print_table(
    title: str, columns: Iterable[str], rows: Iterable[Iterable[object]], optional: Collection[str] = ()
) -> None:
    """Print a table.

    Args:
        title: stands above the table; may be empty.
        columns: their titles.
        rows: a cell for each column; cells are text as it is.
        optional: titles of columns that can be left out where there is no room, the last first.
    """
    emit(SaidTable(title, tuple(columns), tuple(tuple(map(str, row)) for row in rows), tuple(optional)))


class Stage:
    """A stage that is going on, made by `progress`."""

    def __init__(self, started: Started) -> None:
        """Begin as an event says. Whoever listens in this thread is told of all that follows, whichever thread says it."""
        self._listeners, self._cancel = _listeners(), _cancel.get()
        self._check()
        self._now = Advanced(started.stage, started.name, started.total, started.done, started.note)
        _tell(self._listeners, started)

    def advance(self, by: float = 1) -> None:
        """Say that so much more is done."""
        self.update(done=self._now.done + by)

    def update(self, *, done: float | None = None, total: float | None = None, note: str | None = None) -> None:
        """Say how much is done, or that the total or the note is another; None leaves it as it is.

        Raises:
            Interrupted: the work is cancelled.
        """
        self._check()
        given = {"done": done, "total": total, "note": note}
        self._now = replace(self._now, **{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]
        _tell(self._listeners, self._now)

    def finish(self) -> None:
        """Say that it has ended."""
        _tell(self._listeners, Finished(self._now.stage, self._now.name, self._now.total, self._now.done))

    def _check(self) -> None:
        if self._cancel is not None and self._cancel.is_set():
            raise Interrupted("Cancelled.")


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
    """Tell of a stage, which lasts as long as the `with` block; the arguments are as in `Started`.

    Raises:
        Interrupted: the work is cancelled; also when the stage advances.
    """
    stage = Stage(Started(next(_numbers), name, total, unit, done, note, transient))
    try:
        yield stage
    finally:
        stage.finish()


@contextlib.contextmanager
def status(text: str) -> Iterator[None]:
    """Tell of a stage when nobody knows how long it takes."""
    with progress(text, unit=None, transient=True):
        yield


def track(
    items: Iterable[Item], total: int, name: str, *, step: int = 1, unit: str = "img", transient: bool = False
) -> Iterator[Item]:
    """Yield the items of a stage, which advances by `step` with each; the others are as in `progress`."""
    with progress(name, total, unit=unit, transient=transient) as stage:
        done = 0
        for item in items:
            yield item
            done = min(done + step, total)
            stage.update(done=done)
        if done < total:
            stage.update(done=total)
