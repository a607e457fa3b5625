"""How a verb ends when it does not end well. The command line turns each into one sentence and an exit code."""

from __future__ import annotations

from data.errors import DataError
from models.errors import ModelError


class UsageError(ValueError):
    """Options that cannot be carried out. The text says what was found and how to mend it."""


class GateError(RuntimeError):
    """A quality gate failed: the work is done and saved, and its result is not good enough."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C or SIGTERM during a run; the text says how to continue it."""


BAD_INPUT = (UsageError, DataError, ModelError)
