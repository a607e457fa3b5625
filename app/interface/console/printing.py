"""Where output goes and how wide it may be: a terminal, a notebook, or a pipe or file."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from contextvars import ContextVar
from typing import IO, Any

from rich.console import Console, ConsoleDimensions

from app.interface.console.wrapping import wrap

PIPE_WIDTH = 100  # columns, where there is no terminal to ask


class Output(Console):
    """Rich's console; in a notebook it writes plain lines to standard output, instead of displaying each as HTML."""

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, highlight=False, markup=False, emoji=False, force_jupyter=False)

    @property
    def in_notebook(self) -> bool:
        """Whether this process is the kernel of a notebook."""
        ipython = sys.modules.get("IPython")
        return ipython is not None and hasattr(ipython.get_ipython(), "kernel")

    @property
    def is_watched(self) -> bool:
        """Whether somebody looks at it, instead of a file or another program."""
        return self.in_notebook or self.is_interactive

    @property
    def is_terminal(self) -> bool:
        """Whether there may be colours. A kernel sets FORCE_COLOR, for the sake of its child processes."""
        return not self.in_notebook and super().is_terminal

    @property
    def is_interactive(self) -> bool:
        """Whether a line that is there can be changed, which the stream tells, not a wish for colours."""
        descriptor = descriptor_of(self.file)
        return self.is_terminal and not self.is_dumb_terminal and descriptor is not None and os.isatty(descriptor)

    @is_interactive.setter
    def is_interactive(self, found: bool) -> None:
        """Rich finds it out once, when the console is made; the stream can be another later."""

    @property  # type: ignore[misc]
    def size(self) -> ConsoleDimensions:
        """Columns, which the environment's COLUMNS overrides, and lines."""
        width, height = PIPE_WIDTH, 25
        descriptor = descriptor_of(self.file)
        if descriptor is not None and not self.in_notebook:  # a notebook's leads to wherever its server was started
            with contextlib.suppress(OSError):
                width, height = os.get_terminal_size(descriptor)
        given = os.environ.get("COLUMNS", "")
        width = int(given) if given.isdigit() else width
        return ConsoleDimensions((width or 80) - self.legacy_windows, height or 25)

    def print(self, *objects: Any, soft_wrap: bool | None = None, **options: Any) -> None:
        """Print; sentences are broken between words, and what `app.interface.events.whole` was asked for is not.

        Args:
            *objects: texts, as they are, or what rich can draw.
            soft_wrap: leave a line as long as it is, as a command to copy.
            **options: as rich has them.
        """
        if not soft_wrap:
            objects = tuple("\n".join(self._lines(one)) if isinstance(one, str) else one for one in objects)
        super().print(*objects, soft_wrap=True, **options)

    def on_broken_pipe(self) -> None:
        """Nobody reads what is printed any more, as after `head`: the work goes on in silence."""
        self.quiet = True
        descriptor = descriptor_of(self.file)
        if descriptor is not None:  # what Python still holds back for it goes nowhere
            os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)

    def _lines(self, text: str) -> Iterator[str]:
        for line in text.split("\n"):
            yield from wrap(line, self.width)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Go on writing to where it writes now, whatever becomes of the standard streams and their descriptors."""
        before, stream = self._file, self.file
        stream.flush()
        with contextlib.ExitStack() as stack:
            if descriptor_of(stream) in (1, 2):
                copy = os.dup(stream.fileno())
                stream = stack.enter_context(open(copy, "w", encoding=stream.encoding, errors=stream.errors))  # type: ignore[attr-defined]
            self._file = stream
            try:
                yield
            finally:
                self._file = before

    def display(self, page: str, text: str, shown: Any = None) -> Any:
        """Show HTML in a notebook.

        Args:
            page: the HTML.
            text: the same for whatever cannot show it.
            shown: what an earlier call gave, whose place it takes.

        Returns:
            What a later call can take the place of.
        """
        from IPython.display import display  # there is one in every kernel

        self.file.flush()  # what was printed before comes before
        bundle = {"text/html": page, "text/plain": text}
        if shown is None:
            return display(bundle, raw=True, display_id=True)  # type: ignore[no-untyped-call]
        shown.update(bundle, raw=True)
        return shown


def descriptor_of(stream: IO[str] | None) -> int | None:
    """The file descriptor that a stream writes to; None where it has none, as a notebook's."""
    try:
        return stream.fileno()  # type: ignore[union-attr]
    except (AttributeError, ValueError, OSError):
        return None


console = Output()
_beside = Output(stderr=True)
_aside: ContextVar[bool] = ContextVar("aside", default=False)


def output() -> Output:
    """Where this thread's output goes: standard output, or standard error within `aside`."""
    return _beside if _aside.get() else console


@contextlib.contextmanager
def aside(active: bool = True) -> Iterator[None]:
    """Write to standard error, if `active`, so that standard output holds nothing but what was asked for."""
    token = _aside.set(_aside.get() or active)
    try:
        yield
    finally:
        _aside.reset(token)


@contextlib.contextmanager
def held() -> Iterator[None]:
    """Go on writing to where it goes now, whatever becomes of the standard streams and their descriptors."""
    with console.held(), _beside.held():
        yield
