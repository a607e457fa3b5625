"""How Graft was called: a command that it advises works when it is pasted."""

from __future__ import annotations

import os
import shlex
import subprocess


def command(*words: object) -> str:
    """A command line of Graft, with quotes where they are needed.

    The launcher says in `GRAFT_PROGRAM` how it was called itself, such as `./graft`.

    Args:
        *words: the verb and what follows it.
    """
    program = os.environ.get("GRAFT_PROGRAM")
    parts = [*([program] if program else ["python", "-m", "app"]), *map(str, words)]
    return subprocess.list2cmdline(parts) if os.name == "nt" else shlex.join(parts)
