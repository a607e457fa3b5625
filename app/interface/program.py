"""How Graft was called: as a command, or as functions in a foreign process."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

_owns_process = False


@contextmanager
def owning_process() -> Iterator[None]:
    """Declare that only Graft runs in this process within the context, as on the command line.

    Examples:
        >>> with owning_process():
        ...     owns_process()
        True
        >>> owns_process()
        False
    """
    global _owns_process
    before, _owns_process = _owns_process, True
    try:
        yield
    finally:
        _owns_process = before


def owns_process() -> bool:
    """Return whether only Graft runs in this process, so that it may redirect the process's file descriptors.

    Examples:
        >>> owns_process()
        False
        >>> with owning_process():
        ...     owns_process()
        True
    """
    return _owns_process


def command(*words: object) -> str:
    """Format a command line of Graft, with quotes where they are needed.

    The launcher sets `GRAFT_PROGRAM` to its own name, such as `./graft`.

    Args:
        *words: the verb and its arguments.

    Examples:
        >>> command("train", "my images").partition(" train ")[2]
        "'my images'"
        >>> command("predict", "runs/fruit", "apple.png").endswith("predict runs/fruit apple.png")
        True
    """
    program = os.environ.get("GRAFT_PROGRAM")
    parts = [*([program] if program else ["python", "-m", "app"]), *map(str, words)]
    return subprocess.list2cmdline(parts) if os.name == "nt" else shlex.join(parts)


def commands(words: Mapping[str, str]) -> str:
    """Format several command lines, each below a comment with its purpose.

    Args:
        words: for each purpose, the verb and its arguments.

    Examples:
        >>> commands({"a first run": "train images"}).splitlines()[0]
        '  # a first run'
        >>> len(commands({"a first run": "train images", "predict": "predict runs/images"}).splitlines())
        4
    """
    return "\n".join(f"  # {text}\n  {command()} {line}".rstrip() for text, line in words.items())


def missing_package(error: ModuleNotFoundError) -> str:
    """Return a message that names a missing package and how to install it.

    Raises:
        ModuleNotFoundError: the module belongs to Graft, so its absence is a defect.

    Examples:
        >>> missing_package(ModuleNotFoundError(name="keras")).endswith("it sets up all of them")
        True
        >>> missing_package(ModuleNotFoundError("no app.nothing", name="app.nothing"))
        Traceback (most recent call last):
        ModuleNotFoundError: no app.nothing
    """
    if (error.name or "").partition(".")[0] in ("app", "data", "models"):
        raise error
    return (
        f"{sys.executable} has no package {error.name}; call ./graft instead of python -m app: it sets up all of them"
    )
