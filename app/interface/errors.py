"""Errors that end a verb. The command line turns each into one sentence and an exit code."""

from __future__ import annotations

import errno
import os

from data.errors import DataError
from models.errors import ModelError


class UsageError(ValueError):
    """Invalid options. The message says what was found and how to fix it."""


class GateError(RuntimeError):
    """A quality gate failed: the work is finished and saved, but its result is not good enough."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C or SIGTERM during a run; the message says how to continue it."""


BAD_INPUT = (UsageError, DataError, ModelError)

_FULL = (errno.ENOSPC, errno.EDQUOT)


def is_disk_full(error: BaseException) -> bool:
    """Return whether an error, or its cause, is a full disk; libraries in C++ say so only in their message.

    Examples:
        >>> is_disk_full(OSError(errno.ENOSPC, "no space"))
        True
        >>> is_disk_full(ValueError("no number"))
        False
    """
    seen: set[int] = set()
    one: BaseException | None = error
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        if isinstance(one, OSError) and one.errno in _FULL:
            return True
        if any(os.strerror(number) in str(one) for number in _FULL):
            return True
        one = one.__cause__ or one.__context__
    return False
