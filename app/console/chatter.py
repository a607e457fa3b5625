"""Keeps what libraries have to say out of a person's sight, and in a log."""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from app.console.printing import console, descriptor_of


@contextlib.contextmanager
def chatter_to(log: Path) -> Iterator[None]:
    """Send what libraries write to the end of a log file; what Graft itself prints goes on to where it went.

    That is what they print, log and warn of in Python, also by logging handlers that were made before, and what C++ writes
    to the descriptors of standard output and standard error. A handler that is made meanwhile writes to the standard stream
    afterwards, as it would have done.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(console.held())
        file = stack.enter_context(open(log, "a", buffering=1, encoding="utf-8", errors="backslashreplace"))
        stack.enter_context(_descriptors_to(file))
        out, err = _Stream("stdout", file), _Stream("stderr", file)
        stack.enter_context(_handlers_to({id(sys.stdout): out, id(sys.stderr): err}))
        stack.enter_context(contextlib.redirect_stdout(out))  # type: ignore[type-var]
        stack.enter_context(contextlib.redirect_stderr(err))  # type: ignore[type-var]
        yield


class _Stream:
    """Stands for a standard stream: it is the log while that is open, and afterwards the stream that is there then."""

    def __init__(self, name: str, log: IO[str]) -> None:
        self._name, self._log = name, log

    def write(self, text: str) -> int:
        return self._now.write(text)

    def flush(self) -> None:
        self._now.flush()

    def close(self) -> None:
        """Leave it open: a handler that closes the stream it was given must not close standard error."""

    @property
    def _now(self) -> IO[str]:
        return getattr(sys, self._name) if self._log.closed else self._log

    def __getattr__(self, name: str) -> Any:
        return getattr(self._now, name)


@contextlib.contextmanager
def _descriptors_to(file: IO[str]) -> Iterator[None]:
    """Let descriptors 1 and 2 lead to a file: C++ writes to them, and so do child processes."""
    streams = [one for one in (sys.stdout, sys.stderr) if descriptor_of(one) in (1, 2)]
    _flush(streams)
    with contextlib.ExitStack() as stack:
        for descriptor in (1, 2):
            copy = os.dup(descriptor)
            stack.callback(os.close, copy)
            stack.callback(os.dup2, copy, descriptor)
            os.dup2(file.fileno(), descriptor)
        stack.callback(_flush, streams)  # what somebody who kept the stream has written meanwhile
        yield


def _flush(streams: list[Any]) -> None:
    for stream in streams:
        stream.flush()
    with contextlib.suppress(OSError, TypeError, AttributeError):  # Windows has no such library
        ctypes.CDLL(None).fflush(None)  # what C and C++ have printed and still hold back


@contextlib.contextmanager
def _handlers_to(streams: dict[int, _Stream]) -> Iterator[None]:
    """Let logging handlers that write to a stream, by its id, write to another: a notebook's has no descriptor to redirect."""
    handlers = [reference() for reference in logging._handlerList]  # type: ignore[attr-defined]
    # Not `handler.stream`, which some look up each time.
    kept = [(one, one.stream) for one in handlers if one and id(vars(one).get("stream")) in streams]
    for handler, stream in kept:
        handler.setStream(streams[id(stream)])
    try:
        yield
    finally:
        for handler, stream in kept:
            if isinstance(handler.stream, _Stream):
                handler.setStream(stream)
