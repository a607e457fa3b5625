"""Events of a running verb, sent to listeners: the console unless another listener replaces it, a page, or a log file.

A listener is a function that takes an event. It is called in the thread in which the event happens:

    >>> with listening(print, alone=True):
    ...     print_text("hello")
    Said(marked='hello', wraps=True)

This module imports nothing of the console, which imports this module and listens by default.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from app.interface.errors import Interrupted

_HELD = "\ue000"  # from Unicode's private use area: a space at which lines do not break


@dataclass(frozen=True)
class Started:
    """A stage of the work starts.

    Attributes:
        stage: number of the stage, shared by its events and unique in the process.
        name: name of the stage.
        total: amount of work; None if unknown.
        unit: what `done` and `total` count; None for a stage that does not advance, such as starting TensorFlow.
        done: work that is done already, as in a resumed run.
        note: the current item.
        transient: leave nothing on display once the stage is finished.
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
    """A stage has advanced, or its total or note has changed; attributes are as in `Started`."""

    stage: int
    name: str
    total: float | None
    done: float
    note: str


@dataclass(frozen=True)
class Finished:
    """A stage has ended, or was interrupted; attributes are as in `Started`."""

    stage: int
    name: str
    total: float | None
    done: float


@dataclass(frozen=True)
class EpochEnded:
    """An epoch of training has ended, and a run that is interrupted from here on continues after it.

    Attributes:
        number: number of the epoch over all phases, from 1.
        record: its record in `Run.history`.
    """

    number: int
    record: Mapping[str, Any]


@dataclass(frozen=True)
class Said:
    """One or more sentences for the user.

    Attributes:
        marked: the text, with marks where `whole` prevents line breaks.
        wraps: whether lines may wrap; a command to copy does not.
    """

    marked: str
    wraps: bool = True

    @property
    def text(self) -> str:
        """The text without marks."""
        return unmarked(self.marked)


@dataclass(frozen=True)
class SaidPath:
    """The location of something, named by `what`."""

    what: str
    path: Path | str


@dataclass(frozen=True)
class SaidTable:
    """A table; attributes are as in `print_table`."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    optional: tuple[str, ...] = ()


Event: TypeAlias = Started | Advanced | Finished | EpochEnded | Said | SaidPath | SaidTable
Listener: TypeAlias = Callable[[Event], None]

_default: list[Listener] = []
_added: ContextVar[tuple[Listener, ...]] = ContextVar("added", default=())
_alone: ContextVar[bool] = ContextVar("alone", default=False)
_cancel: ContextVar[threading.Event | None] = ContextVar("cancel", default=None)
_telling: ContextVar[bool] = ContextVar("telling", default=False)


# --- Listening and cancelling -------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def listening(listener: Listener, *, alone: bool = False) -> Iterator[None]:
    """Send the events of calls that this thread makes within the `with` block to a listener.

    Args:
        listener: receives each event; an exception that it raises ends the call.
        alone: replace the console and the current listeners.

    Examples:
        >>> with listening(lambda event: print(type(event).__name__), alone=True):
        ...     print_text("hello")
        Said
        >>> heard = []
        >>> with listening(heard.append, alone=True):
        ...     print_text("hello")
        >>> heard[0].text
        'hello'
    """
    added = _added.set((listener,) if alone else (*_added.get(), listener))
    only = _alone.set(alone or _alone.get())
    try:
        yield
    finally:
        _alone.reset(only)
        _added.reset(added)


@contextlib.contextmanager
def without_default() -> Iterator[None]:
    """Keep the events of calls that this thread makes within the `with` block from the default listener, the console.

    Examples:
        >>> with without_default(), listening(lambda event: print("heard", event.text)):
        ...     print_text("hello")
        heard hello
        >>> with without_default():
        ...     print_text("hello")
        ...     len("hello")
        5
    """
    only = _alone.set(True)
    try:
        yield
    finally:
        _alone.reset(only)


@contextlib.contextmanager
def cancellable(cancel: threading.Event | None = None) -> Iterator[threading.Event]:
    """Let another thread cancel the calls that this thread makes within the `with` block, as Ctrl-C ends a command.

    A call ends when its next stage starts or advances. It raises `app.interface.errors.Interrupted`; a run can then be resumed.

        with cancellable() as cancel:
            button.on_click(lambda _: cancel.set())
            train("my_images")

    Args:
        cancel: the event to set; None creates a new event.

    Examples:
        >>> from app.interface.stages import track
        >>> with cancellable() as cancel:
        ...     cancel.set()
        ...     try:
        ...         list(track("ab", 2, "reading"))
        ...     except Interrupted as error:
        ...         print(error)
        Cancelled.
        >>> with cancellable() as cancel:
        ...     cancel.is_set()
        False
    """
    cancel = cancel or threading.Event()
    token = _cancel.set(cancel)
    try:
        yield cancel
    finally:
        _cancel.reset(token)


def listen_by_default(listener: Listener) -> None:
    """Set the listener for threads without a listener that listens alone; it replaces an earlier one.

    Examples:
        >>> from app.interface.console import show
        >>> listen_by_default(lambda event: print("default:", event.text))
        >>> print_text("hello")
        default: hello
        >>> with listening(lambda event: print("alone:", event.text), alone=True):
        ...     print_text("hello")
        alone: hello
        >>> listen_by_default(show)  # the console again
    """
    _default[:] = [listener]


def is_telling() -> bool:
    """Return whether this thread is within a listener's call, so that its output is the listener's.

    Examples:
        >>> is_telling()
        False
        >>> with listening(lambda event: print(is_telling()), alone=True):
        ...     print_text("hello")
        True
    """
    return _telling.get()


def emitter() -> Callable[[Event], None]:
    """Return a function that sends events to the present listeners of this thread, from any thread.

    Examples:
        >>> with listening(print, alone=True):
        ...     emit = emitter()
        >>> emit(Said("hello"))
        Said(marked='hello', wraps=True)
        >>> with listening(lambda event: print("first"), alone=True), listening(lambda event: print("second")):
        ...     emitter()(Said("hello"))
        first
        second
    """
    listeners = _added.get() if _alone.get() else (*_default, *_added.get())

    def emit(event: Event) -> None:
        token = _telling.set(True)
        try:
            for listener in listeners:
                listener(event)
        finally:
            _telling.reset(token)

    return emit


def cancel_check() -> Callable[[], None]:
    """Return a function that raises `Interrupted` once the present calls of this thread are cancelled, from any thread.

    Examples:
        >>> cancel_check()() is None
        True
        >>> with cancellable() as cancel:
        ...     check = cancel_check()
        >>> cancel.set()
        >>> try:
        ...     check()
        ... except Interrupted as error:
        ...     print(error)
        Cancelled.
    """
    cancel = _cancel.get()

    def check() -> None:
        if cancel is not None and cancel.is_set():
            raise Interrupted("Cancelled.")

    return check


# --- What verbs call ----------------------------------------------------------------------------------------------------------


def whole(text: str | Path) -> str:
    """Mark a path or a command, so that lines do not break at its spaces.

    Examples:
        >>> len(whole("my images"))
        9
        >>> " " in whole("my images")
        False
    """
    return str(text).replace(" ", _HELD)


def unmarked(text: str) -> str:
    """Return a text without the marks of `whole`.

    Examples:
        >>> unmarked(whole("my images"))
        'my images'
        >>> unmarked("hello")
        'hello'
    """
    return text.replace(_HELD, " ")


def print_text(text: str, *, wraps: bool = True) -> None:
    """Print one or more sentences; `wraps` is as in `Said`.

    Examples:
        >>> with listening(lambda event: print(event.text), alone=True):
        ...     print_text("Trained in 3 s.")
        Trained in 3 s.
        >>> with listening(lambda event: print(event.wraps), alone=True):
        ...     print_text("python -m app train images", wraps=False)
        False
    """
    emitter()(Said(text, wraps))


def print_path(what: str, path: Path | str) -> None:
    """Print the location of something.

    Examples:
        >>> with listening(print, alone=True):
        ...     print_path("report", "runs/fruit/report.html")
        SaidPath(what='report', path='runs/fruit/report.html')
        >>> with listening(lambda event: print(event.path.name), alone=True):
        ...     print_path("report", Path("runs/fruit/report.html"))
        report.html
    """
    emitter()(SaidPath(what, path))


def print_table(
    title: str, columns: Iterable[str], rows: Iterable[Iterable[object]], optional: Collection[str] = ()
) -> None:
    """Print a table.

    Args:
        title: printed above the table; may be empty.
        columns: titles of the columns.
        rows: a cell for each column; cells are plain text.
        optional: titles of columns that are left out if there is no room, starting with the last.

    Examples:
        >>> with listening(lambda event: print(event.rows), alone=True):
        ...     print_table("classes", ["class", "images"], [("apple", 8), ("pear", 3)])
        (('apple', '8'), ('pear', '3'))
        >>> with listening(lambda event: print(event.optional), alone=True):
        ...     print_table("", ["class", "note"], [("apple", "")], optional=["note"])
        ('note',)
    """
    emitter()(SaidTable(title, tuple(columns), tuple(tuple(map(str, row)) for row in rows), tuple(optional)))
