"""How Graft was called: as a command, which works when it is pasted, or as functions in somebody else's process."""

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
    """Within it, nothing but Graft runs in this process: the command line, and no notebook or server."""
    global _owns_process
    before, _owns_process = _owns_process, True
    try:
        yield
    finally:
        _owns_process = before


def owns_process() -> bool:
    """Whether nothing but Graft runs in this process, so that its file descriptors are Graft's to redirect."""
    return _owns_process


def command(*words: object) -> str:
    """A command line of Graft, with quotes where they are needed.

    The launcher says in `GRAFT_PROGRAM` how it was called itself, such as `./graft`.

    Args:
        *words: the verb and what follows it.
    """
    program = os.environ.get("GRAFT_PROGRAM")
    parts = [*([program] if program else ["python", "-m", "app"]), *map(str, words)]
    return subprocess.list2cmdline(parts) if os.name == "nt" else shlex.join(parts)


def commands(words: Mapping[str, str]) -> str:
    """Several command lines, each below what it does.

    Args:
        words: by what a command does, the verb and what follows it.
    """
    return "\n".join(f"  # {text}\n  {command()} {line}".rstrip() for text, line in words.items())


def missing_package(error: ModuleNotFoundError) -> str:
    """Name a package that is not installed, and what installs it.

    Raises:
        ModuleNotFoundError: it is a module of Graft, so its absence is a defect.
    """
    if (error.name or "").partition(".")[0] in ("app", "data", "models"):
        raise error
    return (
        f"{sys.executable} has no package {error.name}; call ./graft instead of python -m app: it sets up all of them"
    )
