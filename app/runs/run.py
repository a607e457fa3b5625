"""A run, as verbs take and return it."""

from __future__ import annotations

from app.runs.display import run_html
from app.runs.folder import RunFolder


class Run(RunFolder):
    """A run folder that displays itself in a notebook.

    Examples:
        >>> Run.open("runs/fruit").class_names
        ('apple', 'banana', 'cherry')
        >>> Run.open("runs/no_such_run")
        Traceback (most recent call last):
        app.interface.errors.UsageError: runs/no_such_run is not a run folder: it has no config.json
    """

    def _repr_html_(self) -> str:
        return run_html(self)
