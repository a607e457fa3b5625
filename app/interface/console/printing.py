"""Output and its width: a terminal, a notebook, or a pipe or file."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from contextvars import ContextVar
from typing import IO, Any

from rich.console import Console, ConsoleDimensions

from app.interface.console.wrapping import wrap

PIPE_WIDTH = 100  # columns, without a terminal


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
        """Whether a person looks at the output, rather than a file or another program."""
        return self.in_notebook or self.is_interactive

    @property
    def is_terminal(self) -> bool:
        """Whether colours are allowed. A kernel sets FORCE_COLOR, for the sake of its child processes."""
        return not self.in_notebook and super().is_terminal

    @property
    def is_interactive(self) -> bool:
        """Whether printed lines can be changed; this depends on the stream, not on a setting for colours."""
        descriptor = descriptor_of(self.file)
        return self.is_terminal and not self.is_dumb_terminal and descriptor is not None and os.isatty(descriptor)

    @is_interactive.setter
    def is_interactive(self, found: bool) -> None:
        """Ignore rich's value, which it computes once when the console is created; the stream can change later."""

    @property  # type: ignore[misc]
    def size(self) -> ConsoleDimensions:
        """Columns, which the environment variable COLUMNS overrides, and lines."""
        width, height = PIPE_WIDTH, 25
        descriptor = descriptor_of(self.file)
        if descriptor is not None and not self.in_notebook:  # in a notebook, it is the terminal of the server
            with contextlib.suppress(OSError):
                width, height = os.get_terminal_size(descriptor)
        given = os.environ.get("COLUMNS", "")
        width = int(given) if given.isdigit() else width
        return ConsoleDimensions((width or 80) - self.legacy_windows, height or 25)

    def print(self, *objects: Any, soft_wrap: bool | None = None, **options: Any) -> None:
        """Print; sentences wrap between words, and text marked by `app.interface.events.whole` does not wrap.

        Args:
            *objects: texts, as they are, or rich renderables.
            soft_wrap: do not wrap a line, such as a command to copy.
            **options: further options of rich.
        """
        if not soft_wrap:
            objects = tuple("\n".join(self._lines(one)) if isinstance(one, str) else one for one in objects)
        super().print(*objects, soft_wrap=True, **options)

    def on_broken_pipe(self) -> None:
        """Ignore that nobody reads the output any more, as after `head`: the work continues silently."""
        self.quiet = True
        descriptor = descriptor_of(self.file)
        if descriptor is not None:  # discards what Python has buffered for it
            os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)

    def _lines(self, text: str) -> Iterator[str]:
        for line in text.split("\n"):
            yield from wrap(line, self.width)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Keep writing to the current destination, even if the standard streams and their descriptors change."""
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
            text: plain text for a frontend without HTML.
            shown: result of an earlier call, which is replaced.

        Returns:
            A handle that a later call can replace.
        """
        from IPython.display import display  # installed in every kernel

        self.file.flush()  # keep the order of output
        bundle = {"text/html": page, "text/plain": text}
        if shown is None:
            return display(bundle, raw=True, display_id=True)  # type: ignore[no-untyped-call]
        shown.update(bundle, raw=True)
        return shown


def descriptor_of(stream: IO[str] | None) -> int | None:
    """Return the file descriptor that a stream writes to; None if it has none, as in a notebook.

    Examples:
        >>> import io
        >>> descriptor_of(io.StringIO()) is None
        True
        >>> with open("apple.png") as file:
        ...     descriptor_of(file) == file.fileno()
        True
    """
    try:
        return stream.fileno()  # type: ignore[union-attr]
    except (AttributeError, ValueError, OSError):
        return None


console = Output()
_beside = Output(stderr=True)
_aside: ContextVar[bool] = ContextVar("aside", default=False)


def output() -> Output:
    """Return the output of this thread: standard output, or standard error within `aside`.

    Examples:
        >>> output() is console
        True
        >>> with aside():
        ...     output() is console
        False
    """
    return _beside if _aside.get() else console


@contextlib.contextmanager
def aside(active: bool = True) -> Iterator[None]:
    """Write to standard error, if `active`, so that standard output holds only the requested result.

    Examples:
        >>> with aside():
        ...     output().stderr
        True
        >>> with aside(False):
        ...     output().stderr
        False
    """
    token = _aside.set(_aside.get() or active)
    try:
        yield
    finally:
        _aside.reset(token)


@contextlib.contextmanager
def held() -> Iterator[None]:
    """Keep writing to the current destination, even if the standard streams and their descriptors change.

    Examples:
        >>> with held():
        ...     output() is console
        True
        >>> with held(), aside():
        ...     output() is console
        False
    """
    with console.held(), _beside.held():
        yield
