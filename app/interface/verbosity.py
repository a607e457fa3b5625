"""How much a verb prints when it is called as a function: `verbose`, with the meaning it has in Keras."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from app.interface.console import show
from app.interface.errors import UsageError
from app.interface.events import Advanced, Event, Finished, Said, Started, listening, without_default

LEVELS = (0, 1, 2)


def check_verbose(verbose: Any) -> None:
    """Refuse a value that is not 0, 1 or 2; a bool is taken as 0 or 1.

    Raises:
        UsageError: another value.

    Examples:
        >>> check_verbose(2) is None
        True
        >>> check_verbose("no")
        Traceback (most recent call last):
        app.interface.errors.UsageError: verbose must be 0 (nothing), 1 (bars) or 2 (a line for each stage), not 'no'
    """
    if verbose not in LEVELS:
        raise UsageError(f"verbose must be 0 (nothing), 1 (bars) or 2 (a line for each stage), not {verbose!r}")


@contextlib.contextmanager
def verbosity(verbose: int) -> Iterator[None]:
    """Set how much calls within the `with` block print. Listeners hear everything.

    Args:
        verbose: 0 for nothing, 1 for the console as it is, 2 for lines in place of bars: each change of a stage's note, such as
            the end of an epoch, and the end of each stage.

    Examples:
        >>> from app.interface.events import print_text
        >>> from app.interface.stages import track
        >>> with verbosity(0):
        ...     print_text("hello")
        ...     len("hello")
        5
        >>> with verbosity(2):
        ...     letters = list(track("ab", 2, "reading"))
        reading   100%
    """
    if verbose == 1:
        yield
        return
    with contextlib.ExitStack() as stack:
        stack.enter_context(without_default())
        if verbose == 2:
            stack.enter_context(listening(_Lines()))
        yield


class _Lines:
    """A listener that prints a line when the note of a stage changes and when the stage ends."""

    def __init__(self) -> None:
        self._notes: dict[int, str] = {}
        self._last = ""

    def __call__(self, event: Event) -> None:
        match event:
            case Started():
                self._notes[event.stage] = event.note
            case Advanced():
                if event.note != self._notes.get(event.stage):
                    self._print(event)
            case Finished():
                if event.total is not None:
                    self._print(event)
                self._notes.pop(event.stage, None)
            case _:
                show(event)

    def _print(self, event: Advanced | Finished) -> None:
        share = f"{event.done / event.total:4.0%}" if event.total else ""
        note = event.note if isinstance(event, Advanced) else self._notes.get(event.stage, "")
        if isinstance(event, Advanced):
            self._notes[event.stage] = event.note
        line = f"{event.name:<10}{share} {note}".rstrip()
        if line != self._last:  # the end of the last epoch is that of its stage
            show(Said(line, wraps=False))
        self._last = line
