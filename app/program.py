"""How Graft was called: a command that it advises works when it is pasted."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys


def command(*words: object) -> str:
    """A command line of Graft, with quotes where they are needed.

    The launcher says in `GRAFT_PROGRAM` how it was called itself, such as `./graft`.

    Args:
        *words: the verb and what follows it.
    """
    program = os.environ.get("GRAFT_PROGRAM")
    parts = [*([program] if program else ["python", "-m", "app"]), *map(str, words)]
    return subprocess.list2cmdline(parts) if os.name == "nt" else shlex.join(parts)


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
