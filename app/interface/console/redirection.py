"""Redirect the output of libraries to a log.

Other threads of the process may belong to other code, as in a notebook or a server, and their output stays where it is. So
only the output of this thread in Python is redirected; the file descriptors of the process, which C++ writes to, are
redirected only in a process of the command line, and for moments in which no other thread may print.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import sys
import threading
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import IO, Any

from app.interface.console.printing import descriptor_of, held
from app.interface.events import is_telling
from app.interface.program import owns_process
from data.threads import THREAD_NAME

# Packages whose threads write to no descriptor: those of the kernel of a notebook, and of progress bars.
_SILENT = ("app.interface", "ipykernel", "IPython", "google.colab", "rich", "tqdm")
_log: ContextVar[IO[str] | None] = ContextVar("log", default=None)


@contextlib.contextmanager
def redirect_output(log: Path) -> Iterator[None]:
    """Append the output of libraries to a log file; Graft's own output keeps its destination.

    This covers everything that libraries print, log and warn in Python in this thread, including through existing logging
    handlers. A handler that is created within the context writes to the standard stream afterwards. In a process of the
    command line, it also covers everything written to the descriptors of standard output and standard error.

    Examples:
        >>> with redirect_output(Path("log.txt")):
        ...     print("from a library")
        >>> print(Path("log.txt").read_text())
        from a library
        >>> with redirect_output(Path("log.txt")):
        ...     print("once more")
        >>> Path("log.txt").read_text().splitlines()
        ['from a library', 'once more']
    """
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(open(log, "a", buffering=1, encoding="utf-8", errors="backslashreplace"))
        if owns_process():
            stack.enter_context(held())
            stack.enter_context(_descriptors_to(file))
        stack.enter_context(_streams.in_place())
        token = _log.set(file)
        try:
            yield
        finally:
            _log.reset(token)


@contextlib.contextmanager
def quiet_descriptors() -> Iterator[None]:
    """Within `redirect_output`, log what C++ writes too, unless another thread may print meanwhile.

    Use it around a short call that is known to write, such as an import: the descriptors belong to the whole process.

    Examples:
        >>> with redirect_output(Path("quiet.txt")), quiet_descriptors():
        ...     print("from a library")
        >>> print(Path("quiet.txt").read_text())
        from a library
        >>> with quiet_descriptors():  # without a log it changes nothing
        ...     print("from a library")
        from a library
    """
    log = _log.get()
    if log is None or owns_process() or any(map(_may_print, threading.enumerate())):
        yield
        return
    with held(), _descriptors_to(log):
        yield


def _may_print(thread: threading.Thread) -> bool:
    """Return whether a thread is neither this one nor known to write to no descriptor."""
    runs = getattr(thread, "_target", None) or type(thread)  # a function, or a class with a `run` of its own
    module = getattr(runs, "__module__", None) or ""
    is_ours = thread is threading.current_thread() or thread.name.startswith(THREAD_NAME)
    return not is_ours and not module.startswith(_SILENT)


def redirected_to() -> IO[str] | None:
    """Return the log of this thread, for child processes to write to as well; None if its output is not redirected.

    Examples:
        >>> redirected_to() is None
        True
        >>> with redirect_output(Path("log.txt")):
        ...     log = redirected_to()
        >>> log is None
        False
    """
    return _log.get()


class _Stream:
    """Replaces a standard stream: writes to the log in a thread that redirects its output, and to the stream in others."""

    def __init__(self, name: str) -> None:
        stream = getattr(sys, name)
        self._name = name
        self.original: IO[str] = stream.original if isinstance(stream, _Stream) else stream

    def write(self, text: str) -> int:
        return self._now.write(text)

    def flush(self) -> None:
        self._now.flush()

    def close(self) -> None:
        """Do nothing: a handler that closes its stream must not close standard error."""

    @property
    def _now(self) -> IO[str]:
        log = _log.get()
        if log is not None and not is_telling():
            return log
        stream = getattr(sys, self._name)  # a handler may write to this long after the stream was restored
        now: IO[str] = self.original if stream is self else stream
        return now

    def __getattr__(self, name: str) -> Any:
        return getattr(self._now, name)


class _Streams:
    """Replaces each standard stream by a `_Stream` while any thread redirects its output."""

    def __init__(self) -> None:
        self._lock, self._users = threading.Lock(), 0
        self._placed: list[_Stream] = []
        self._handlers: list[tuple[Any, _Stream]] = []

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        with self._lock:
            if not self._users:
                self._place()
            self._users += 1
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                if not self._users:
                    self._remove()

    def _place(self) -> None:
        self._placed = [_Stream(name) for name in ("stdout", "stderr")]
        ours = {id(placed.original): placed for placed in self._placed}
        handlers = [handler for reference in logging._handlerList if (handler := reference())]  # type: ignore[attr-defined]
        # Not `handler.stream`, which some handlers look up each time.
        self._handlers = [(one, ours[id(stream)]) for one in handlers if id(stream := vars(one).get("stream")) in ours]
        for handler, stream in self._handlers:
            handler.setStream(stream)
        sys.stdout, sys.stderr = self._placed

    def _remove(self) -> None:
        for name, placed in zip(("stdout", "stderr"), self._placed, strict=True):
            if getattr(sys, name) is placed:  # otherwise other code has replaced the stream, and will restore it
                setattr(sys, name, placed.original)
        for handler, stream in self._handlers:
            if handler.stream is stream:
                handler.setStream(stream.original)


_streams = _Streams()


@contextlib.contextmanager
def _descriptors_to(file: IO[str]) -> Iterator[None]:
    """Redirect descriptors 1 and 2 to a file: C++ and child processes write to them."""
    streams = [one for one in (sys.stdout, sys.stderr) if descriptor_of(one) in (1, 2)]
    _flush(streams)
    with contextlib.ExitStack() as stack:
        for descriptor in (1, 2):
            copy = os.dup(descriptor)
            stack.callback(os.close, copy)
            stack.callback(os.dup2, copy, descriptor)
            os.dup2(file.fileno(), descriptor)
        stack.callback(_flush, streams)  # output that code which kept the stream has written meanwhile
        yield


def _flush(streams: list[Any]) -> None:
    for stream in streams:
        stream.flush()
    with contextlib.suppress(OSError, TypeError, AttributeError):  # Windows has no such library
        ctypes.CDLL(None).fflush(None)  # output that C and C++ have buffered
